# SPDX-License-Identifier: Apache-2.0

# What is pushed below `team-a/` goes to Europe, with the policies of its repositories, and what is deleted here is deleted
# there.
resource "hythe_replication_rule" "team_a" {
  name                = "team-a"
  destination         = [{ region = "eu", registry_id = "000000000000" }]
  repository_filter   = [{ filter = "team-a/" }]
  delete_replication  = true
  replicated_settings = ["REPOSITORY_SETTINGS", "REPOSITORY_POLICY", "LIFECYCLE_POLICY", "RESOURCE_TAGS"]
}
