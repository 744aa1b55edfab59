# SPDX-License-Identifier: Apache-2.0

data "hythe_pull_through_cache_rule" "k8s" {
  ecr_repository_prefix = "k8s"
}

output "upstream" {
  value = data.hythe_pull_through_cache_rule.k8s.upstream_registry_url
}
