# SPDX-License-Identifier: Apache-2.0

data "hythe_repositories" "production" {
  name_prefix = "team-a/"

  tags = {
    stage = "production"
  }
}

output "urls" {
  value = { for it in data.hythe_repositories.production.repositories : it.name => it.repository_url }
}
