# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_repository.web
  id = "team-a/web"
}
