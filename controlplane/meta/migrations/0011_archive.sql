-- SPDX-License-Identifier: Apache-2.0
-- Images in the archive, blobs in the second location of the blob store, and when images were pulled.

-- status: ACTIVE, ARCHIVED or ACTIVATING; storage_class follows from it: ARCHIVE when archived, else STANDARD.
ALTER TABLE image ADD COLUMN status TEXT {collate} NOT NULL DEFAULT 'ACTIVE';
ALTER TABLE image ADD COLUMN storage_class TEXT {collate} NOT NULL DEFAULT 'STANDARD';
ALTER TABLE image ADD COLUMN archived_ms BIGINT;
ALTER TABLE image ADD COLUMN activated_ms BIGINT;
ALTER TABLE image ADD COLUMN last_pulled_ms BIGINT;
-- A deleted image comes back as it was.
ALTER TABLE deleted_image ADD COLUMN status TEXT {collate} NOT NULL DEFAULT 'ACTIVE';
ALTER TABLE deleted_image ADD COLUMN archived_ms BIGINT;
ALTER TABLE deleted_image ADD COLUMN activated_ms BIGINT;
ALTER TABLE deleted_image ADD COLUMN last_pulled_ms BIGINT;
CREATE INDEX image_inactive ON image (repository_id, digest) WHERE status <> 'ACTIVE';
CREATE INDEX image_activating ON image (repository_id, digest) WHERE status = 'ACTIVATING';

-- Blobs whose bytes are, or may be, in the archive (is_archived), or that somebody has to look at (due_ms). A look
-- finds out by the images where the bytes belong, and moves them; owner does so until lease_ms. version counts the
-- wishes for a look, so that one that comes during a move is not lost.
CREATE TABLE blob_tier (
    digest      TEXT {collate} NOT NULL PRIMARY KEY REFERENCES blob (digest) ON DELETE CASCADE,
    is_archived BOOLEAN NOT NULL,
    due_ms      BIGINT,
    owner       TEXT {collate},
    lease_ms    BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    version     BIGINT NOT NULL
);
CREATE INDEX blob_tier_due ON blob_tier (due_ms) WHERE due_ms IS NOT NULL;

-- Images whose children and referrers were too many to be archived or restored together with them in one transaction.
CREATE TABLE image_follow (
    repository_id TEXT {collate} NOT NULL,
    image_digest  TEXT {collate} NOT NULL,
    storage_class TEXT {collate} NOT NULL,
    PRIMARY KEY (repository_id, image_digest)
);

-- Pulls that image.last_pulled_ms does not know yet. The image may be gone.
CREATE TABLE image_pull (
    repository_id TEXT {collate} NOT NULL,
    digest        TEXT {collate} NOT NULL,
    pulled_ms     BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest, pulled_ms)
);

-- Whose pulls do not count.
CREATE TABLE pull_time_exclusion (
    account_id    TEXT {collate} NOT NULL,
    principal_arn TEXT {collate} NOT NULL,
    created_ms    BIGINT NOT NULL,
    PRIMARY KEY (account_id, principal_arn)
);
