# SPDX-License-Identifier: Apache-2.0

resource "hythe_repository" "web" {
  name = "team/web"
}

# Releases stay; builds of branches go after two weeks, and what has lost its tag after a day.
resource "hythe_lifecycle_policy" "this" {
  repository = hythe_repository.web.name

  rules = [
    {
      priority    = 1
      description = "Releases stay"
      selection   = { tag_status = "tagged", tag_patterns = ["v*"] }
      action      = "retain"
    },
    {
      priority  = 2
      selection = { tag_status = "tagged", tag_prefixes = ["branch-"], count_type = "sinceImagePushed", count_number = 14 }
    },
    {
      priority  = 3
      selection = { tag_status = "untagged", count_type = "sinceImagePushed", count_number = 1 }
    },
  ]
}
