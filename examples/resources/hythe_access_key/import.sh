# SPDX-License-Identifier: Apache-2.0
terraform import hythe_access_key.mirror mirror/HYTHEABCDEFGHIJKLMNO
