# SPDX-License-Identifier: Apache-2.0

# Also one that every account has: `ReadOnly`, `PowerUser`, `PullOnly` or `FullAccess`.
data "hythe_policy" "read_only" {
  name = "ReadOnly"
}

output "read_only_actions" {
  value = jsondecode(data.hythe_policy.read_only.policy).Statement
}
