# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_access_key.mirror
  identity = {
    user          = "mirror"
    access_key_id = "HYTHEABCDEFGHIJKLMNO"
  }
}
