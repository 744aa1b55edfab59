-- SPDX-License-Identifier: Apache-2.0
-- Repositories that take indexes whose children are not all there, and sessions that say what they are about to
-- be published as.

ALTER TABLE repository ADD COLUMN allow_sparse_indexes BOOLEAN NOT NULL DEFAULT FALSE;

-- Which children an index listed that were not there when it was pushed. When one comes, its row moves to
-- image_child. The cascade is for the previous version, which deletes images and knows nothing of this table.
CREATE TABLE image_missing_child (
    repository_id TEXT {collate} NOT NULL,
    image_digest  TEXT {collate} NOT NULL,
    child_digest  TEXT {collate} NOT NULL,
    PRIMARY KEY (repository_id, image_digest, child_digest),
    FOREIGN KEY (repository_id, image_digest) REFERENCES image (repository_id, digest) ON DELETE CASCADE
);
CREATE INDEX image_missing_child_child ON image_missing_child (repository_id, child_digest);

-- What the bytes of the session were about to be published as: they may lie there without any other row.
ALTER TABLE upload ADD COLUMN sealed_digest TEXT {collate};
CREATE INDEX upload_sealed ON upload (sealed_digest) WHERE sealed_digest IS NOT NULL;
