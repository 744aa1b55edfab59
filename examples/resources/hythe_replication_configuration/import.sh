# SPDX-License-Identifier: Apache-2.0
terraform import hythe_replication_configuration.this 000000000000
