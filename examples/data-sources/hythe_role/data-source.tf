# SPDX-License-Identifier: Apache-2.0

data "hythe_role" "ci" {
  name = "ci"
}

output "role_arn" {
  value = data.hythe_role.ci.arn
}
