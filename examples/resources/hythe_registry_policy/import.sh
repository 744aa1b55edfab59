# SPDX-License-Identifier: Apache-2.0
terraform import hythe_registry_policy.guard 000000000000
