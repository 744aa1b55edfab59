# SPDX-License-Identifier: Apache-2.0

# One statement of a policy that several configurations share.
resource "hythe_registry_policy_statement" "team_b" {
  sid = "TeamBMayPull"

  statement = jsonencode({
    Effect    = "Allow"
    Principal = { AWS = "111111111111" }
    Action    = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    Resource  = "arn:aws:ecr:*:*:repository/shared/*"
  })
}
