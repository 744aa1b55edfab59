# SPDX-License-Identifier: Apache-2.0

resource "hythe_user" "alice" {
  name = "alice"
}

resource "hythe_user_policy_attachment" "alice" {
  user       = hythe_user.alice.name
  policy_arn = "arn:aws:iam::aws:policy/PowerUser"
}
