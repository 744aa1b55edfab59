# SPDX-License-Identifier: Apache-2.0

data "hythe_registry" "current" {}

# A role of another account, which has to trust whoever runs this.
ephemeral "hythe_role_session" "release" {
  role_arn     = "arn:aws:iam::222222222222:role/release"
  session_name = "terraform"
  ttl          = 1800
}

# Whatever this makes, it makes in that account.
provider "hythe" {
  alias    = "release"
  endpoint = data.hythe_registry.current.endpoint
  token    = ephemeral.hythe_role_session.release.password
}
