# SPDX-License-Identifier: Apache-2.0

# Whoever a job of the repository `example/app` is, on its branch `main`.
data "hythe_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = ["arn:aws:iam::000000000000:oidc-provider/token.actions.githubusercontent.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:example/app:ref:refs/heads/main"]
    }
  }
}

resource "hythe_role" "ci" {
  name                 = "ci"
  description          = "Builds of example/app"
  assume_role_policy   = data.hythe_policy_document.trust.json
  max_session_duration = 7200
}
