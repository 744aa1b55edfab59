# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_repository.web
  identity = {
    name = "team-a/web"
  }
}
