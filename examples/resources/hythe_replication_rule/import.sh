# SPDX-License-Identifier: Apache-2.0
terraform import hythe_replication_rule.team_a team-a
