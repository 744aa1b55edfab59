# SPDX-License-Identifier: Apache-2.0

# Nobody deletes images of production but the administrators.
resource "hythe_registry_policy" "guard" {
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "KeepProduction"
      Effect    = "Deny"
      Principal = "*"
      Action    = ["ecr:BatchDeleteImage", "ecr:DeleteRepository"]
      Resource  = "arn:aws:ecr:*:*:repository/production/*"
      Condition = {
        StringNotLike = { "aws:PrincipalTag/team" = "operations" }
      }
    }]
  })
}
