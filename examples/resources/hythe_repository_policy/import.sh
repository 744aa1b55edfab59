# SPDX-License-Identifier: Apache-2.0
terraform import hythe_repository_policy.web team-a/web
