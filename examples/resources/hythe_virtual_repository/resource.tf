# SPDX-License-Identifier: Apache-2.0

resource "hythe_virtual_repository" "all" {
  name        = "all"
  description = "Everything that builds may use"

  sources = [
    { repository_prefix = "team-a" },
    { repository_prefix = "docker-hub", includes = ["library/*"], excludes = ["library/internal-*"] },
  ]
}
