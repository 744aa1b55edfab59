# SPDX-License-Identifier: Apache-2.0
list "hythe_role_policy_attachment" "of_ci" {
  provider = hythe

  config {
    role = "ci"
  }
}
