# SPDX-License-Identifier: Apache-2.0

# The last five releases.
data "hythe_images" "releases" {
  repository  = "team/web"
  tag_pattern = "v*"
  limit       = 5
}

output "releases" {
  value = flatten(data.hythe_images.releases.images[*].tags)
}
