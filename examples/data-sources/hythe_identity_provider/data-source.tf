# SPDX-License-Identifier: Apache-2.0

data "hythe_identity_provider" "github" {
  name = "token.actions.githubusercontent.com"
}

output "provider_arn" {
  value = data.hythe_identity_provider.github.arn
}
