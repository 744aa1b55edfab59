# SPDX-License-Identifier: Apache-2.0
list "hythe_registry_settings" "current" {
  provider = hythe
}
