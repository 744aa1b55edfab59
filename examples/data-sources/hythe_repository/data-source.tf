# SPDX-License-Identifier: Apache-2.0

data "hythe_repository" "web" {
  name = "team-a/web"
}

output "push_here" {
  value = data.hythe_repository.web.repository_url
}
