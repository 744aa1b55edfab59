# SPDX-License-Identifier: Apache-2.0

output "repository" {
  value = provider::hythe::parse_arn("arn:aws:ecr:local:000000000000:repository/team-a/web").repository # "team-a/web"
}
