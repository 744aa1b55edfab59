# SPDX-License-Identifier: Apache-2.0

data "hythe_repository_policy" "web" {
  repository = "team-a/web"
}

output "statements" {
  value = jsondecode(data.hythe_repository_policy.web.policy).Statement
}
