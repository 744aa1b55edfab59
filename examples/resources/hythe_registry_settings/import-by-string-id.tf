# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_registry_settings.this
  id = "000000000000"
}
