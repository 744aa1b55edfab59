# SPDX-License-Identifier: Apache-2.0
terraform import hythe_account.moved 111111111111
