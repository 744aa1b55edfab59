# SPDX-License-Identifier: Apache-2.0

# Releases stay; builds of branches go after two weeks, what has lost its tag after a day, and what nobody has pulled for
# three months goes to the archive.
data "hythe_lifecycle_policy_document" "web" {
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
    {
      priority  = 4
      selection = { tag_status = "any", count_type = "sinceImagePulled", count_number = 90 }
      action    = "transition"
    },
  ]
}

output "policy" {
  value = data.hythe_lifecycle_policy_document.web.json
}
