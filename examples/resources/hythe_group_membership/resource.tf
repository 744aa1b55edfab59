# SPDX-License-Identifier: Apache-2.0

resource "hythe_group" "developers" {
  name = "developers"
}

resource "hythe_user" "people" {
  for_each = toset(["alice", "bob"])
  name     = each.key
}

resource "hythe_group_membership" "developers" {
  for_each = hythe_user.people
  group    = hythe_group.developers.name
  user     = each.value.name
}
