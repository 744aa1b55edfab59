-- SPDX-License-Identifier: Apache-2.0
-- Taking away what nobody needs any more, while everything else goes on.

-- Until when somebody looks at the row, so that several nodes share the work.
ALTER TABLE blob_review ADD COLUMN lease_ms BIGINT NOT NULL DEFAULT 0;
CREATE INDEX blob_review_leased ON blob_review (lease_ms) WHERE lease_ms > 0;

-- Since when the link is about to go, because nothing needs it: who asks for the blob is told that it is not there, and
-- sends it again; who was told before that it is there may still use it.
ALTER TABLE repository_blob ADD COLUMN condemned_ms BIGINT;

-- Blobs whose row is gone and whose bytes are being deleted. While a row is here, nobody begins to publish bytes under
-- this digest. Only who is named by token may delete them, and only whoever deleted them ends the row.
CREATE TABLE blob_deletion (
    digest        TEXT {collate} NOT NULL PRIMARY KEY,
    repository_id TEXT {collate} NOT NULL,
    bytes         BIGINT NOT NULL,
    due_ms        BIGINT NOT NULL,
    token         TEXT {collate} NOT NULL,
    lease_ms      BIGINT NOT NULL
);
CREATE INDEX blob_deletion_lease ON blob_deletion (lease_ms);
CREATE INDEX blob_deletion_due ON blob_deletion (due_ms);

-- What a session was sealed as before it was sealed as something else. A row counts while the session is there; until
-- then, a row of blob_review leads here.
CREATE TABLE upload_seal (
    digest    TEXT {collate} NOT NULL,
    upload_id TEXT {collate} NOT NULL,
    PRIMARY KEY (digest, upload_id)
);

-- What was done since the deployment began. One row.
CREATE TABLE collection_total (
    id                 BIGINT NOT NULL PRIMARY KEY,
    reviewed           BIGINT NOT NULL,
    kept               BIGINT NOT NULL,
    links              BIGINT NOT NULL,
    blobs              BIGINT NOT NULL,
    bytes              BIGINT NOT NULL,
    failures           BIGINT NOT NULL,
    reviews_per_minute BIGINT NOT NULL
);
INSERT INTO collection_total (id, reviewed, kept, links, blobs, bytes, failures, reviews_per_minute)
VALUES (1, 0, 0, 0, 0, 0, 0, 0);

-- Collections that somebody asked for. A run ends when nothing is left of what was due when it was asked for. totals is
-- what had been done by then, and ended_totals by its end: JSON.
CREATE TABLE collection_run (
    id           TEXT {collate} NOT NULL PRIMARY KEY,
    requested_ms BIGINT NOT NULL,
    requested_by TEXT {collate} NOT NULL,
    due          BIGINT NOT NULL,
    totals       TEXT {collate} NOT NULL,
    ended_ms     BIGINT,
    ended_totals TEXT {collate}
);
CREATE INDEX collection_run_requested ON collection_run (requested_ms, id);
CREATE INDEX collection_run_open ON collection_run (requested_ms) WHERE ended_ms IS NULL;
