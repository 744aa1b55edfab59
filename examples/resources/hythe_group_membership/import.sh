# SPDX-License-Identifier: Apache-2.0
terraform import 'hythe_group_membership.developers["alice"]' developers/alice
