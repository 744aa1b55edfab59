# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_policy.push
  id = "push-own-team"
}
