# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_role.ci
  id = "ci"
}
