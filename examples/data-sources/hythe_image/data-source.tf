# SPDX-License-Identifier: Apache-2.0

# The digest behind a tag, so that a deployment stays with the image that it was planned with.
data "hythe_image" "web" {
  repository = "team/web"
  tag        = "stable"
}

output "image" {
  value = data.hythe_image.web.uri
}
