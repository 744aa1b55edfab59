# SPDX-License-Identifier: Apache-2.0

resource "hythe_replication_configuration" "this" {
  rule = [
    {
      destination       = [{ region = "eu", registry_id = "000000000000" }]
      repository_filter = [{ filter = "prod" }, { filter = "release" }]
    },
    {
      # A copy of everything.
      destination = [{ region = "backup", registry_id = "000000000000" }]
    },
  ]
}
