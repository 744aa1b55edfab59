# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_lifecycle_policy.this
  id = "team/web"
}
