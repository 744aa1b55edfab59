# SPDX-License-Identifier: Apache-2.0

data "hythe_repository_policy" "web" {
  repository = "team/web"
}

locals {
  pull_for_all = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = "*"
      Action    = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    }]
  })
}

# Whether the policy that is managed elsewhere still says this, however it is written there.
check "everybody_may_pull" {
  assert {
    condition     = provider::hythe::normalize_policy(data.hythe_repository_policy.web.policy) == provider::hythe::normalize_policy(local.pull_for_all)
    error_message = "The policy of team/web is another one."
  }
}
