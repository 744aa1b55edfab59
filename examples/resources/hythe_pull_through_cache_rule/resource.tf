# SPDX-License-Identifier: Apache-2.0

# docker pull registry.example.com/k8s/pause:3.10
resource "hythe_pull_through_cache_rule" "k8s" {
  ecr_repository_prefix = "k8s"
  upstream_registry_url = "registry.k8s.io"
}

# Fetched twice a day, before anybody pulls it.
resource "hythe_pull_through_cache_rule" "quay" {
  ecr_repository_prefix = "quay"
  upstream_registry_url = "quay.io"
  mirror = {
    interval_minutes = 720
    repositories     = ["prometheus/prometheus", "prometheus/alertmanager"]
    exclude_tags     = ["*-rc*"]
    newest_tags      = 3
  }
}

variable "hub_token" {
  type      = string
  ephemeral = true
  default   = "a-token"
}

# With a credential, which is in neither plan nor state.
resource "hythe_pull_through_cache_rule" "hub" {
  ecr_repository_prefix   = "hub"
  upstream_registry_url   = "registry-1.docker.io"
  username                = "somebody"
  access_token_wo         = var.hub_token
  access_token_wo_version = 1
  tag_freshness_seconds   = 3600
}
