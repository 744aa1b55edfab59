# SPDX-License-Identifier: Apache-2.0

data "hythe_group" "developers" {
  name = "developers"
}

output "developers" {
  value = data.hythe_group.developers.members
}
