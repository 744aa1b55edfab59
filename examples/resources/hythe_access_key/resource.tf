# SPDX-License-Identifier: Apache-2.0

resource "hythe_user" "mirror" {
  name = "mirror"
  kind = "SERVICE_ACCOUNT"
}

# A random text of 40 letters and digits: from an ephemeral `random_password`, or from the secret store that has it.
variable "mirror_secret" {
  type      = string
  ephemeral = true
  sensitive = true
}

resource "hythe_access_key" "mirror" {
  user                         = hythe_user.mirror.name
  secret_access_key_wo         = var.mirror_secret
  secret_access_key_wo_version = 1

  # Rotating makes the new key first; a user can have two.
  lifecycle {
    create_before_destroy = true
  }
}

output "mirror_access_key_id" {
  value = hythe_access_key.mirror.access_key_id
}
