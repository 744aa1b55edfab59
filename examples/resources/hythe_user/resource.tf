# SPDX-License-Identifier: Apache-2.0

# A person.
resource "hythe_user" "alice" {
  name        = "alice"
  description = "Alice, team A"

  tags = {
    team = "a"
  }
}

# A machine, for as long as the migration takes.
resource "hythe_user" "mirror" {
  name       = "mirror"
  kind       = "SERVICE_ACCOUNT"
  expires_at = "2027-12-31T23:59:59Z"
}
