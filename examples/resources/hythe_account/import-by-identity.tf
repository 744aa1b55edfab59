# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_account.moved
  identity = {
    account_id = "111111111111"
  }
}
