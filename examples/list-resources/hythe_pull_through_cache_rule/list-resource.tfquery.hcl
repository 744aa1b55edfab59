# SPDX-License-Identifier: Apache-2.0
list "hythe_pull_through_cache_rule" "all" {
  provider = hythe
}
