# SPDX-License-Identifier: Apache-2.0

resource "hythe_repository" "web" {
  name = "team-a/web"
}

# Another account may pull; its own policies have to allow it too.
data "hythe_policy_document" "shared" {
  statement {
    sid     = "PullFromTeamB"
    actions = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]

    principals {
      type        = "AWS"
      identifiers = ["111111111111"]
    }
  }
}

resource "hythe_repository_policy" "web" {
  repository = hythe_repository.web.name
  policy     = data.hythe_policy_document.shared.json
}
