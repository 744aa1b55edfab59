# SPDX-License-Identifier: Apache-2.0
terraform import hythe_lifecycle_policy.this team/web
