# SPDX-License-Identifier: Apache-2.0

# The digest behind a tag, so that a deployment stays with the image that it was planned with.
data "hythe_image" "web" {
  repository = "team/web"
  tag        = "stable"
}

output "image" {
  value = data.hythe_image.web.uri
}

# The greatest version of the first major one.
data "hythe_image" "release" {
  repository = "team/web"
  semver     = "~> 1.0"
}

output "release" {
  value = data.hythe_image.release.tag
}
