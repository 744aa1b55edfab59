# SPDX-License-Identifier: Apache-2.0
list "hythe_account" "all" {
  provider = hythe
}
