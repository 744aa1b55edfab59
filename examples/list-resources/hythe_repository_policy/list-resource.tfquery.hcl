# SPDX-License-Identifier: Apache-2.0
list "hythe_repository_policy" "of_team_a" {
  provider = hythe

  config {
    repository_prefix = "team-a/"
  }
}
