# SPDX-License-Identifier: Apache-2.0

data "hythe_policy_document" "push" {
  statement {
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  # Push and pull in the repositories of the own team.
  statement {
    actions = [
      "ecr:BatchCheckLayerAvailability",
      "ecr:BatchGetImage",
      "ecr:CompleteLayerUpload",
      "ecr:GetDownloadUrlForLayer",
      "ecr:InitiateLayerUpload",
      "ecr:PutImage",
      "ecr:UploadLayerPart",
    ]
    resources = ["arn:aws:ecr:*:*:repository/&{aws:PrincipalTag/team}/*"]
  }
}

resource "hythe_policy" "push" {
  name        = "push-own-team"
  description = "Push and pull in the repositories of the own team"
  policy      = data.hythe_policy_document.push.json
}
