# SPDX-License-Identifier: Apache-2.0

resource "hythe_repository" "web" {
  name = "team-a/web"
}

# Good for pulls of one team, for as long as Terraform runs.
ephemeral "hythe_authorization_token" "pull" {
  scope = [{
    repositories = ["team-a/*"]
    actions      = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
  }]
}

# A second way to the same server that can do no more than the token.
provider "hythe" {
  alias = "limited"
  token = ephemeral.hythe_authorization_token.pull.password
}
