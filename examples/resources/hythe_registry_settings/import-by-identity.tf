# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_registry_settings.this
  identity = {
    registry_id = "000000000000"
  }
}
