# SPDX-License-Identifier: Apache-2.0

# What everybody in the account may do who has it.
data "hythe_policy_document" "base" {
  statement {
    sid       = "LogIn"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
}

# The same, and more: pulls of what is tagged for a release, from the office only.
data "hythe_policy_document" "releases" {
  source_policy_documents = [data.hythe_policy_document.base.json]

  statement {
    sid       = "PullReleases"
    actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = ["arn:aws:ecr:*:*:repository/&{aws:PrincipalTag/team}/*"]

    condition {
      test     = "StringLike"
      variable = "ecr:ImageTag"
      values   = ["v*"]
    }

    condition {
      test     = "IpAddress"
      variable = "aws:SourceIp"
      values   = ["192.0.2.0/24"]
    }
  }
}

resource "hythe_policy" "releases" {
  name   = "releases"
  policy = data.hythe_policy_document.releases.json
}
