# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_group.developers
  id = "developers"
}
