# SPDX-License-Identifier: Apache-2.0
list "hythe_replication_destination" "all" {
  provider = hythe
}
