# SPDX-License-Identifier: Apache-2.0
list "hythe_group_membership" "developers" {
  provider = hythe

  config {
    group = "developers"
  }
}
