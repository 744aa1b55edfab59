# SPDX-License-Identifier: Apache-2.0

resource "hythe_repository" "web" {
  name = "team-a/web"
}

output "image" {
  value = provider::hythe::build_image_uri(hythe_repository.web.repository_url, "1.2")
}
