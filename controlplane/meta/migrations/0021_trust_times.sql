-- SPDX-License-Identifier: Apache-2.0
-- As of when the trust policy of a role is meant, in milliseconds: whoever was created later is not meant by it, whatever the
-- name. Those that are here were stored when everybody who is here was. NULL: the previous version created the role since.
ALTER TABLE app_role ADD COLUMN trust_ms BIGINT;
UPDATE app_role SET trust_ms = (
    SELECT MAX(created_ms) FROM (
        SELECT created_ms FROM account UNION ALL SELECT created_ms FROM app_user UNION ALL SELECT created_ms FROM app_role
    ) AS everybody);
