# SPDX-License-Identifier: Apache-2.0

# What is deleted can be restored for a month.
resource "hythe_registry_settings" "this" {
  deleted_image_retention_days = 30
}
