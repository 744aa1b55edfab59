# SPDX-License-Identifier: Apache-2.0
list "hythe_user" "all" {
  provider = hythe
}
