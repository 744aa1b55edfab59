# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_replication_configuration.this
  identity = {
    registry_id = "000000000000"
  }
}
