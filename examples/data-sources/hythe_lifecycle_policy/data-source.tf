# SPDX-License-Identifier: Apache-2.0

data "hythe_lifecycle_policy" "web" {
  repository = "team/web"
}

output "rules" {
  value = data.hythe_lifecycle_policy.web.rules
}
