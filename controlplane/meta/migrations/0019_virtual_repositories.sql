-- SPDX-License-Identifier: Apache-2.0
-- Names that are read through other repositories. sources is JSON, in the order in which they are asked.
CREATE TABLE virtual_repository (
    account_id  TEXT {collate} NOT NULL,
    name        TEXT {collate} NOT NULL,
    description TEXT {collate},
    sources     TEXT {collate} NOT NULL,
    created_ms  BIGINT NOT NULL,
    updated_ms  BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);
