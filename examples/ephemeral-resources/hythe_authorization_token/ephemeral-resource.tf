# SPDX-License-Identifier: Apache-2.0

data "hythe_registry" "current" {}

# Good for pulls of one team, for as long as Terraform runs.
ephemeral "hythe_authorization_token" "pull" {
  scope = [{
    repositories = ["team-a/*"]
    actions      = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
  }]
}

# A second way to the same server, which can do no more than the token.
provider "hythe" {
  alias    = "limited"
  endpoint = data.hythe_registry.current.endpoint
  token    = ephemeral.hythe_authorization_token.pull.password
}
