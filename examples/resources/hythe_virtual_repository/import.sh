# SPDX-License-Identifier: Apache-2.0
terraform import hythe_virtual_repository.all all
