# SPDX-License-Identifier: Apache-2.0
list "hythe_identity_provider" "all" {
  provider = hythe
}
