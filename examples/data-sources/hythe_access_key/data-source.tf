# SPDX-License-Identifier: Apache-2.0

data "hythe_access_key" "mirror" {
  user          = "mirror"
  access_key_id = "HYTHEABCDEFGHIJKLMNO"
}

output "last_used" {
  value = data.hythe_access_key.mirror.last_used_at
}
