# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_user_policy_attachment.alice
  identity = {
    user       = "alice"
    policy_arn = "arn:aws:iam::aws:policy/PowerUser"
  }
}
