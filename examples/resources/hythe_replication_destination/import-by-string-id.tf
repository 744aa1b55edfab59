# SPDX-License-Identifier: Apache-2.0

import {
  to = hythe_replication_destination.eu
  id = "eu"
}
