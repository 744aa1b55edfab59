# SPDX-License-Identifier: Apache-2.0
list "hythe_user_policy_attachment" "of_alice" {
  provider = hythe

  config {
    user = "alice"
  }
}
