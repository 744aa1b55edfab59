# SPDX-License-Identifier: Apache-2.0

locals {
  image = provider::hythe::parse_image_uri("registry.example.com/team-a/web:1.2")
}

output "repository" {
  value = local.image.repository # "team-a/web"
}

output "tag" {
  value = local.image.tag # "1.2"
}
