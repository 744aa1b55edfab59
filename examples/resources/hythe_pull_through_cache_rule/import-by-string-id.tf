# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_pull_through_cache_rule.k8s
  id = "k8s"
}
