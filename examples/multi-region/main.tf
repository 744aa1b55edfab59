# SPDX-License-Identifier: Apache-2.0
#
# Two deployments: what is pushed to the one is pulled from the other, from repositories with the same settings and tags.
#
# Each has its own provider configuration. The first one's is taken from the environment (HYTHE_ENDPOINT and so on); the
# second one's comes from variables. If both are on one machine, start the first with `--outgoing-allow 127.0.0.0/8`.

terraform {
  required_version = ">= 1.11"

  required_providers {
    hythe = {
      source = "hythe/hythe"
    }
  }
}

variable "there" {
  description = "The other deployment: its region, its control plane, its registry, and an administrator's access key"
  type = object({
    region            = string
    endpoint          = string
    registry          = string
    access_key_id     = string
    secret_access_key = string
  })
  sensitive = true
}

variable "replicator_secret" {
  description = "The secret of the access key that images are sent with: 40 to 128 random letters and digits"
  type        = string
  sensitive   = true
  ephemeral   = true
}

provider "hythe" {}

provider "hythe" {
  alias    = "there"
  endpoint = var.there.endpoint
  username = var.there.access_key_id
  password = var.there.secret_access_key
}

# There: somebody who may bring images and what their repositories are like, and nothing else; and what new ones are like
# at first.

resource "hythe_policy" "replicator" {
  provider = hythe.there
  name     = "replicator"
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = [
        "ecr:GetAuthorizationToken", "ecr:ReplicateImage", "ecr:CreateRepository",
        # What the rule brings beside images:
        "ecr:DescribeRepositories", "ecr:PutImageTagMutability", "ecr:PutImageScanningConfiguration",
        "ecr:TagResource", "ecr:UntagResource",
      ]
      Resource = "*"
    }]
  })
}

resource "hythe_user" "replicator" {
  provider = hythe.there
  name     = "replicator"
  kind     = "SERVICE_ACCOUNT"
}

resource "hythe_user_policy_attachment" "replicator" {
  provider   = hythe.there
  user       = hythe_user.replicator.name
  policy_arn = hythe_policy.replicator.arn
}

resource "hythe_access_key" "replicator" {
  provider                     = hythe.there
  user                         = hythe_user.replicator.name
  secret_access_key_wo         = var.replicator_secret
  secret_access_key_wo_version = 1
}

resource "hythe_repository_creation_template" "replicas" {
  provider             = hythe.there
  prefix               = "ROOT"
  applied_for          = ["REPLICATION"]
  description          = "Repositories of replicated images"
  image_tag_mutability = "MUTABLE"
}

# Here: the repository, where its images go, and the rule.

resource "hythe_repository" "web" {
  name                 = "team-a/web"
  image_tag_mutability = "IMMUTABLE"
  force_delete         = true
  tags                 = { team = "team-a" }
}

resource "hythe_replication_destination" "there" {
  name                = nonsensitive(var.there.region)
  endpoint            = nonsensitive(var.there.registry)
  control_endpoint    = nonsensitive(var.there.endpoint)
  username            = hythe_access_key.replicator.access_key_id
  password_wo         = var.replicator_secret
  password_wo_version = 1

  depends_on = [hythe_user_policy_attachment.replicator]

  # For another name: the rule has to let go of the old destination before that can be deleted.
  lifecycle {
    create_before_destroy = true
  }
}

resource "hythe_replication_rule" "team_a" {
  name                = "team-a"
  destination         = [{ region = hythe_replication_destination.there.name, registry_id = hythe_repository.web.registry_id }]
  repository_filter   = [{ filter = "team-a/" }]
  replicated_settings = ["REPOSITORY_SETTINGS", "RESOURCE_TAGS"]
}

output "push_to" {
  value = hythe_repository.web.repository_url
}
