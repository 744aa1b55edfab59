# SPDX-License-Identifier: Apache-2.0

data "hythe_replication_destination" "eu" {
  name = "eu"
}

output "endpoint" {
  value = data.hythe_replication_destination.eu.endpoint
}
