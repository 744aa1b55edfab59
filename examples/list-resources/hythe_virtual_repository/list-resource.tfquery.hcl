# SPDX-License-Identifier: Apache-2.0
list "hythe_virtual_repository" "all" {
  provider = hythe
}
