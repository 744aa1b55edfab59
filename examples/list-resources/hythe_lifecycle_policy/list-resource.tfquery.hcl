# SPDX-License-Identifier: Apache-2.0
list "hythe_lifecycle_policy" "team" {
  provider = hythe

  config {
    repository_prefix = "team/"
  }
}
