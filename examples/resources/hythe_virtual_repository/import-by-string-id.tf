# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_virtual_repository.all
  id = "all"
}
