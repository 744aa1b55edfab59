# SPDX-License-Identifier: Apache-2.0
terraform import hythe_user_policy_attachment.alice alice/arn:aws:iam::aws:policy/PowerUser
