# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_identity_provider.github
  id = "token.actions.githubusercontent.com"
}
