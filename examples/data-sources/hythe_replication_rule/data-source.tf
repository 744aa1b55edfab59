# SPDX-License-Identifier: Apache-2.0

data "hythe_replication_rule" "team_a" {
  name = "team-a"
}

output "destinations" {
  value = data.hythe_replication_rule.team_a.destination
}
