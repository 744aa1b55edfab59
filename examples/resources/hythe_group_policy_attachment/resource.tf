# SPDX-License-Identifier: Apache-2.0

resource "hythe_group" "developers" {
  name = "developers"
}

resource "hythe_group_policy_attachment" "developers" {
  group      = hythe_group.developers.name
  policy_arn = "arn:aws:iam::aws:policy/PowerUser"
}
