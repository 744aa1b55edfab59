# SPDX-License-Identifier: Apache-2.0
list "hythe_access_key" "of_mirror" {
  provider = hythe

  config {
    user = "mirror"
  }
}
