# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_registry_policy_statement.team_b
  identity = {
    sid = "TeamBMayPull"
  }
}
