# SPDX-License-Identifier: Apache-2.0

data "hythe_lifecycle_policy_document" "web" {
  rules = [{
    priority  = 1
    selection = { tag_status = "tagged", tag_patterns = ["dev-*"], count_type = "imageCountMoreThan", count_number = 10 }
  }]
}

check "releases_stay" {
  assert {
    condition     = !provider::hythe::lifecycle_policy_matches(data.hythe_lifecycle_policy_document.web.json, ["v1.2.3"])
    error_message = "The lifecycle policy would take releases."
  }
}
