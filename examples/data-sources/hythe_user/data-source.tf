# SPDX-License-Identifier: Apache-2.0

data "hythe_user" "alice" {
  name = "alice"
}

output "groups_of_alice" {
  value = data.hythe_user.alice.groups
}
