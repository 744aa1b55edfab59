# SPDX-License-Identifier: Apache-2.0
list "hythe_registry_policy_statement" "all" {
  provider = hythe
}
