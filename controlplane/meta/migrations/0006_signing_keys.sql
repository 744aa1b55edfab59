-- SPDX-License-Identifier: Apache-2.0
-- The keys that sign tokens, each sealed with the master key, and who revoked a token.

-- A key signs from active_ms until that of the next generation, and verifies until the last token that it signed has ended.
CREATE TABLE signing_key (
    generation BIGINT NOT NULL PRIMARY KEY,
    id         TEXT {collate} NOT NULL UNIQUE,
    sealed     BYTEA NOT NULL,
    created_ms BIGINT NOT NULL,
    active_ms  BIGINT NOT NULL
);

-- Whose doing a row is, so that nobody can fill the memory of all nodes; empty for rows of the previous version.
ALTER TABLE revoked_token ADD COLUMN owner TEXT {collate} NOT NULL DEFAULT '';
CREATE INDEX revoked_token_owner ON revoked_token (owner, expires_ms);
ALTER TABLE token_lease ADD COLUMN owner TEXT {collate} NOT NULL DEFAULT '';
CREATE INDEX token_lease_owner ON token_lease (owner, expires_ms);
