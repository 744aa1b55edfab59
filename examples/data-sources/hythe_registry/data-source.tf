# SPDX-License-Identifier: Apache-2.0

data "hythe_registry" "current" {}

output "login_command" {
  value = "docker login ${data.hythe_registry.current.registry_uri}"
}
