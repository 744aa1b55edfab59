# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_registry_policy.guard
  identity = {
    registry_id = "000000000000"
  }
}
