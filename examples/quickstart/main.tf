# SPDX-License-Identifier: Apache-2.0
#
# A repository for images that move, and one whose releases stay as they were pushed.
#
# With a server started by `hythe serve` on this machine, run Terraform in the folder that holds `hythe-data`:
# endpoint and access key are found there. Elsewhere, set HYTHE_ENDPOINT, HYTHE_ACCESS_KEY_ID and
# HYTHE_SECRET_ACCESS_KEY.

terraform {
  required_providers {
    hythe = {
      source = "hythe/hythe"
    }
  }
}

provider "hythe" {}

resource "hythe_repository" "web" {
  name = "team-a/web"

  # Deleting a repository deletes its images: say so first.
  force_delete = true

  tags = {
    team = "a"
  }
}

resource "hythe_repository" "releases" {
  name                 = "team-a/releases"
  image_tag_mutability = "IMMUTABLE_WITH_EXCLUSION"

  image_tag_mutability_exclusion_filter = [
    { filter = "latest" },
  ]
}

output "web_url" {
  description = "Where to push: docker push <this>:<tag>"
  value       = hythe_repository.web.repository_url
}
