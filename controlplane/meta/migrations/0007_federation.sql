-- SPDX-License-Identifier: Apache-2.0
-- Issuers whose tokens the roles of an account may trust. The name is the URL without its scheme; lists are JSON.

CREATE TABLE identity_provider (
    account_id  TEXT {collate} NOT NULL,
    name        TEXT {collate} NOT NULL,
    url         TEXT {collate} NOT NULL,
    client_ids  TEXT {collate} NOT NULL,
    algorithms  TEXT {collate} NOT NULL,
    ca_bundle   TEXT {collate},
    jwks        TEXT {collate},
    description TEXT {collate},
    created_ms  BIGINT NOT NULL,
    updated_ms  BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);
