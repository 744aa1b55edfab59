# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_pull_time_update_exclusion.scanner
  id = "arn:aws:iam::000000000000:user/scanner"
}
