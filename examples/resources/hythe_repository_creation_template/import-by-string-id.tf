# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_repository_creation_template.team_a
  id = "team-a"
}
