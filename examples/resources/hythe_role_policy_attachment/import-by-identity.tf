# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_role_policy_attachment.ci
  identity = {
    role       = "ci"
    policy_arn = "arn:aws:iam::000000000000:policy/pull"
  }
}
