# SPDX-License-Identifier: Apache-2.0
terraform import hythe_policy.push push-own-team
