# SPDX-License-Identifier: Apache-2.0
list "hythe_pull_time_update_exclusion" "all" {
  provider = hythe
}
