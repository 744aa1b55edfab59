# SPDX-License-Identifier: Apache-2.0

# Another deployment, whose region is `eu`.
resource "hythe_replication_destination" "eu" {
  name     = "eu"
  endpoint = "registry.eu.example.com"
  username = "HYTHEEXAMPLEKEY"

  # For rules that bring settings of repositories.
  control_endpoint = "control.eu.example.com"

  # Neither in the plan nor in the state; raise the version to send another one.
  password_wo         = var.replicator_secret
  password_wo_version = 1

  # Another name makes a new destination, and rules have to let go of the old one before that can be deleted.
  lifecycle {
    create_before_destroy = true
  }
}

# Any other registry, not faster than 10 MiB in a second.
resource "hythe_replication_destination" "backup" {
  name                       = "backup"
  kind                       = "OCI"
  endpoint                   = "registry.example.com"
  repository_prefix          = "copies"
  bandwidth_bytes_per_second = 10 * 1024 * 1024
}

variable "replicator_secret" {
  description = "The secret of the access key of a user there that may replicate images"
  type        = string
  sensitive   = true
  ephemeral   = true
}
