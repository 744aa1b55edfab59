# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_identity_provider.github
  identity = {
    name = "token.actions.githubusercontent.com"
  }
}
