-- SPDX-License-Identifier: Apache-2.0
-- Policy documents: of repositories, of registries, and those that are attached to principals.
--
-- A version is random: no other state of any document has it, so that whoever remembers something about a document
-- by its version is never wrong, also after it was deleted and made anew.

-- The cascade is for the previous version, which deletes repositories and knows nothing of this table.
CREATE TABLE repository_policy (
    repository_id TEXT {collate} NOT NULL PRIMARY KEY REFERENCES repository (id) ON DELETE CASCADE,
    document      TEXT {collate} NOT NULL,
    updated_ms    BIGINT NOT NULL,
    version       BIGINT NOT NULL
);

CREATE TABLE registry_policy (
    account_id TEXT {collate} NOT NULL PRIMARY KEY,
    document   TEXT {collate} NOT NULL,
    updated_ms BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE policy (
    account_id  TEXT {collate} NOT NULL,
    name        TEXT {collate} NOT NULL,
    description TEXT {collate},
    document    TEXT {collate} NOT NULL,
    tags        TEXT {collate} NOT NULL,
    created_ms  BIGINT NOT NULL,
    updated_ms  BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);
