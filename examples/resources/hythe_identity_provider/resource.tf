# SPDX-License-Identifier: Apache-2.0

resource "hythe_identity_provider" "github" {
  url         = "https://token.actions.githubusercontent.com"
  client_ids  = ["hythe"]
  description = "GitHub Actions"
}

# The text of the cluster's `/openid/v1/jwks`.
variable "cluster_keys" {
  type = string
}

# A cluster that the server cannot reach: its keys are given.
resource "hythe_identity_provider" "cluster" {
  url        = "https://kubernetes.default.svc.cluster.local"
  client_ids = ["hythe"]
  jwks       = var.cluster_keys
}
