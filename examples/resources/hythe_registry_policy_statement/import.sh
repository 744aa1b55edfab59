# SPDX-License-Identifier: Apache-2.0
terraform import hythe_registry_policy_statement.team_b TeamBMayPull
