# SPDX-License-Identifier: Apache-2.0

data "hythe_registry_settings" "current" {}

output "deleted_image_retention_days" {
  value = data.hythe_registry_settings.current.deleted_image_retention_days
}
