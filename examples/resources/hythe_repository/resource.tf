# SPDX-License-Identifier: Apache-2.0

# Tags move freely.
resource "hythe_repository" "web" {
  name = "team-a/web"

  tags = {
    team = "a"
  }
}

# Releases stay as they were pushed; development builds may be overwritten.
resource "hythe_repository" "releases" {
  name                 = "team-a/releases"
  image_tag_mutability = "IMMUTABLE_WITH_EXCLUSION"

  image_tag_mutability_exclusion_filter = [
    { filter = "dev-*" },
    { filter = "latest" },
  ]

  scan_on_push = true
}

# Destroying this one deletes its images too.
resource "hythe_repository" "scratch" {
  name         = "scratch"
  force_delete = true
}
