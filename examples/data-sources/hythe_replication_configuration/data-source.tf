# SPDX-License-Identifier: Apache-2.0

data "hythe_replication_configuration" "this" {}

output "rules" {
  value = data.hythe_replication_configuration.this.rule
}
