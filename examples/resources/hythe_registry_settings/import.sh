# SPDX-License-Identifier: Apache-2.0
terraform import hythe_registry_settings.this 000000000000
