-- SPDX-License-Identifier: Apache-2.0
-- Deleted images, for as long as they can be restored.

-- What an account has decided about its registry; without a row, the defaults count.
CREATE TABLE registry_setting (
    account_id                   TEXT {collate} NOT NULL PRIMARY KEY,
    deleted_image_retention_days BIGINT NOT NULL,
    version                      BIGINT NOT NULL
);

-- An image that was deleted leaves image, image_blob, image_child and tag, and is here until purge_ms, so that no
-- query for images has to look for deleted ones. Of several deletions of one digest, the last counts.
-- The cascades are also for the previous version, which deletes repositories and knows nothing of these tables.
CREATE TABLE deleted_image (
    id             TEXT {collate} NOT NULL PRIMARY KEY,
    repository_id  TEXT {collate} NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    digest         TEXT {collate} NOT NULL,
    media_type     TEXT {collate} NOT NULL,
    artifact_type  TEXT {collate},
    subject        TEXT {collate},
    manifest_bytes BIGINT NOT NULL,
    image_bytes    BIGINT NOT NULL,
    pushed_ms      BIGINT NOT NULL,
    annotations    TEXT {collate} NOT NULL,
    manifest       BYTEA NOT NULL,
    tags           TEXT {collate} NOT NULL,
    deleted_ms     BIGINT NOT NULL,
    deleted_by     TEXT {collate} NOT NULL,
    reason         TEXT {collate} NOT NULL,
    purge_ms       BIGINT NOT NULL,
    UNIQUE (repository_id, digest)
);
CREATE INDEX deleted_image_deleted ON deleted_image (repository_id, deleted_ms, digest);
CREATE INDEX deleted_image_purge ON deleted_image (purge_ms, id);
CREATE INDEX deleted_image_subject ON deleted_image (repository_id, subject, digest) WHERE subject IS NOT NULL;

-- Which blobs a deleted image needs to come back. Neither link nor row of such a blob is garbage; somebody may unlink
-- it by name all the same, and then the restoration links it again, for which its row must be there.
CREATE TABLE deleted_image_blob (
    deleted_id    TEXT {collate} NOT NULL REFERENCES deleted_image (id) ON DELETE CASCADE,
    repository_id TEXT {collate} NOT NULL,
    blob_digest   TEXT {collate} NOT NULL REFERENCES blob (digest),
    PRIMARY KEY (deleted_id, blob_digest)
);
CREATE INDEX deleted_image_blob_blob ON deleted_image_blob (blob_digest, repository_id);

-- Which images a deleted index listed, and whether they were not there when it was deleted.
CREATE TABLE deleted_image_child (
    deleted_id    TEXT {collate} NOT NULL REFERENCES deleted_image (id) ON DELETE CASCADE,
    repository_id TEXT {collate} NOT NULL,
    child_digest  TEXT {collate} NOT NULL,
    was_missing   BOOLEAN NOT NULL,
    PRIMARY KEY (deleted_id, child_digest)
);

-- Images that were deleted or restored, and whose referrers have to follow: DELETED or RESTORED. A row is taken by
-- moving due_ms into the future.
CREATE TABLE subject_change (
    repository_id TEXT {collate} NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    subject       TEXT {collate} NOT NULL,
    change        TEXT {collate} NOT NULL,
    changed_ms    BIGINT NOT NULL,
    changed_by    TEXT {collate} NOT NULL,
    due_ms        BIGINT NOT NULL,
    PRIMARY KEY (repository_id, subject)
);
CREATE INDEX subject_change_due ON subject_change (due_ms);
