# SPDX-License-Identifier: Apache-2.0
terraform import hythe_role_policy_attachment.ci ci/arn:aws:iam::000000000000:policy/pull
