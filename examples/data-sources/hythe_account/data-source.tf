# SPDX-License-Identifier: Apache-2.0

data "hythe_account" "moved" {
  account_id = "111111111111"
}

output "is_open" {
  value = data.hythe_account.moved.status == "ACTIVE"
}
