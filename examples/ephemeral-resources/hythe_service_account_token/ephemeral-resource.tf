# SPDX-License-Identifier: Apache-2.0

# A machine with rights of its own, and no access key that somebody has to keep.
resource "hythe_user" "ci" {
  name = "ci"
  kind = "SERVICE_ACCOUNT"
}

# Needs `hythe:CreateUserToken` on the service account.
ephemeral "hythe_service_account_token" "ci" {
  service_account = hythe_user.ci.name
  ttl             = 900

  scope = [{
    repositories = ["team/*"]
    actions      = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
  }]
}

data "hythe_registry" "current" {}

# Whatever this does, it does as the service account.
provider "hythe" {
  alias    = "ci"
  endpoint = data.hythe_registry.current.endpoint
  token    = ephemeral.hythe_service_account_token.ci.password
}
