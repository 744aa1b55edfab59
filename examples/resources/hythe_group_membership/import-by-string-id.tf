# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_group_membership.developers["alice"]
  id = "developers/alice"
}
