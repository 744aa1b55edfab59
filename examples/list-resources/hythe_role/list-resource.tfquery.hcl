# SPDX-License-Identifier: Apache-2.0
list "hythe_role" "all" {
  provider = hythe
}
