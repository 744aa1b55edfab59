# SPDX-License-Identifier: Apache-2.0
terraform import hythe_repository_creation_template.team_a team-a
