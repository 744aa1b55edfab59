# SPDX-License-Identifier: Apache-2.0
list "hythe_repository" "of_team_a" {
  provider = hythe

  config {
    name_prefix = "team-a/"
  }
}
