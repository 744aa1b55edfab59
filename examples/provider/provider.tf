# SPDX-License-Identifier: Apache-2.0
terraform {
  required_providers {
    hythe = {
      source = "hythe/hythe"
    }
  }
}

# Address and access key come from the environment, from a profile or from `hythe-data/credentials`.
provider "hythe" {
  default_tags = {
    managed-by = "terraform"
  }

  ignore_tags = {
    key_prefixes = ["scanner:"]
  }
}
