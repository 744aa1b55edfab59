# SPDX-License-Identifier: Apache-2.0
terraform import hythe_identity_provider.github token.actions.githubusercontent.com
