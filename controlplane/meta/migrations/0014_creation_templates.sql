-- SPDX-License-Identifier: Apache-2.0
-- What repositories are like that the server creates: on a first push, for the cache, for replicated images.
-- prefix is ROOT for those that no other template is for. applied_for, tag_mutability_filters and tags are JSON.
-- repository_policy and lifecycle_policy are texts as they are put into new repositories; NULL for none.
CREATE TABLE creation_template (
    account_id             TEXT {collate} NOT NULL,
    prefix                 TEXT {collate} NOT NULL,
    description            TEXT {collate},
    applied_for            TEXT {collate} NOT NULL,
    tag_mutability         TEXT {collate} NOT NULL,
    tag_mutability_filters TEXT {collate} NOT NULL,
    allow_sparse_indexes   BOOLEAN NOT NULL,
    encryption_type        TEXT {collate} NOT NULL,
    kms_key                TEXT {collate},
    tags                   TEXT {collate} NOT NULL,
    repository_policy      TEXT {collate},
    lifecycle_policy       TEXT {collate},
    created_ms             BIGINT NOT NULL,
    updated_ms             BIGINT NOT NULL,
    version                BIGINT NOT NULL,
    PRIMARY KEY (account_id, prefix)
);
