# SPDX-License-Identifier: Apache-2.0

resource "hythe_group" "developers" {
  name        = "developers"
  description = "Everybody who writes code"
}
