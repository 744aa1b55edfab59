# SPDX-License-Identifier: Apache-2.0
list "hythe_replication_rule" "all" {
  provider = hythe
}
