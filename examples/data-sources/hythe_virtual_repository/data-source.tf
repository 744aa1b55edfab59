# SPDX-License-Identifier: Apache-2.0

data "hythe_virtual_repository" "all" {
  name = "all"
}

output "sources" {
  value = data.hythe_virtual_repository.all.sources[*].repository_prefix
}
