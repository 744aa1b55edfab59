# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_replication_configuration.this
  id = "000000000000"
}
