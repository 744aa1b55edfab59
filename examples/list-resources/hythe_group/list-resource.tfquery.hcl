# SPDX-License-Identifier: Apache-2.0
list "hythe_group" "all" {
  provider = hythe
}
