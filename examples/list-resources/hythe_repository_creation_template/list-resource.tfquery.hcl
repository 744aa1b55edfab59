# SPDX-License-Identifier: Apache-2.0
list "hythe_repository_creation_template" "all" {
  provider = hythe
}
