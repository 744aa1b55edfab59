# SPDX-License-Identifier: Apache-2.0
list "hythe_group_policy_attachment" "of_developers" {
  provider = hythe

  config {
    group = "developers"
  }
}
