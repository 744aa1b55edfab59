# SPDX-License-Identifier: Apache-2.0

data "hythe_caller_identity" "current" {}

output "logged_in_as" {
  value = data.hythe_caller_identity.current.arn
}
