# SPDX-License-Identifier: Apache-2.0
terraform import hythe_group_policy_attachment.developers developers/arn:aws:iam::aws:policy/PowerUser
