# SPDX-License-Identifier: Apache-2.0
terraform import hythe_pull_time_update_exclusion.scanner arn:aws:iam::000000000000:user/scanner
