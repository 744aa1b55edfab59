# SPDX-License-Identifier: Apache-2.0

# A scanner reads every image; none of them is in use because of that.
resource "hythe_user" "scanner" {
  name = "scanner"
}

resource "hythe_pull_time_update_exclusion" "scanner" {
  principal = hythe_user.scanner.arn
}
