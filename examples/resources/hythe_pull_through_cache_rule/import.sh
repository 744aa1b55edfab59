# SPDX-License-Identifier: Apache-2.0
terraform import hythe_pull_through_cache_rule.k8s k8s
