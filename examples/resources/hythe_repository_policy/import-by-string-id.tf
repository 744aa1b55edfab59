# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_repository_policy.web
  id = "team-a/web"
}
