# SPDX-License-Identifier: Apache-2.0
list "hythe_registry_policy" "current" {
  provider = hythe
}
