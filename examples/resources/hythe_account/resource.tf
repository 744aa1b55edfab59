# SPDX-License-Identifier: Apache-2.0

# The server chooses the id.
resource "hythe_account" "team_b" {
  name = "Team B"
}

# The id that images and policies already use.
resource "hythe_account" "moved" {
  account_id = "111111111111"
  name       = "Moved from Amazon"

  # Close it even while it has repositories.
  force_close = true
}
