# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_user.alice
  identity = {
    name = "alice"
  }
}
