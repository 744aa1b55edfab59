# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_access_key.mirror
  id = "mirror/HYTHEABCDEFGHIJKLMNO"
}
