# SPDX-License-Identifier: Apache-2.0

data "hythe_role" "ci" {
  name = "ci"
}

resource "hythe_policy" "pull" {
  name = "pull"

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = {
      Effect   = "Allow"
      Action   = ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      Resource = "*"
    }
  })
}

resource "hythe_role_policy_attachment" "ci" {
  role       = data.hythe_role.ci.name
  policy_arn = hythe_policy.pull.arn
}
