# SPDX-License-Identifier: Apache-2.0
list "hythe_policy" "own" {
  provider = hythe
}
