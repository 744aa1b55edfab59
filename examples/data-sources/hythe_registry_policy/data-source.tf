# SPDX-License-Identifier: Apache-2.0

data "hythe_registry_policy" "current" {}

output "registry_policy" {
  value = data.hythe_registry_policy.current.policy
}
