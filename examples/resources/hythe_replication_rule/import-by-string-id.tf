# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_replication_rule.team_a
  id = "team-a"
}
