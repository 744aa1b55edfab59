# SPDX-License-Identifier: Apache-2.0

resource "hythe_repository_creation_template" "team_a" {
  prefix               = "team-a"
  applied_for          = ["CREATE_ON_PUSH"]
  description          = "What the first push of team A makes"
  image_tag_mutability = "IMMUTABLE_WITH_EXCLUSION"

  image_tag_mutability_exclusion_filter = [{ filter = "dev-*" }]

  resource_tags = {
    team = "a"
  }

  lifecycle_policy = jsonencode({
    rules = [{
      rulePriority = 1
      selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }
      action       = { type = "expire" }
    }]
  })
}

# For every repository that no other template is for.
resource "hythe_repository_creation_template" "rest" {
  prefix      = "ROOT"
  applied_for = ["CREATE_ON_PUSH", "REPLICATION"]
}
