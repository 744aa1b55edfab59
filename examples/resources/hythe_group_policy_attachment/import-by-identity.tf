# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_group_policy_attachment.developers
  identity = {
    group      = "developers"
    policy_arn = "arn:aws:iam::aws:policy/PowerUser"
  }
}
