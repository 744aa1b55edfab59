# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_group_policy_attachment.developers
  id = "developers/arn:aws:iam::aws:policy/PowerUser"
}
