# SPDX-License-Identifier: Apache-2.0

data "hythe_repository_creation_template" "team_a" {
  prefix = "team-a"
}

output "applied_for" {
  value = data.hythe_repository_creation_template.team_a.applied_for
}
