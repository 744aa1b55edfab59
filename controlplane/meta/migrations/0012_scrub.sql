-- SPDX-License-Identifier: Apache-2.0
-- Checks of everything that is stored, and what they have found.

-- position is the key that phase goes on from. One node at a time works on a scrub: the one that is named, until
-- lease_ms.
CREATE TABLE scrub (
    id              TEXT {collate} NOT NULL PRIMARY KEY,
    started_by      TEXT {collate} NOT NULL,
    sample_percent  BIGINT NOT NULL,
    quarantine      BOOLEAN NOT NULL,
    status          TEXT {collate} NOT NULL,
    phase           TEXT {collate} NOT NULL,
    position        TEXT {collate} NOT NULL,
    blobs           BIGINT NOT NULL,
    bytes           BIGINT NOT NULL,
    files           BIGINT NOT NULL,
    images          BIGINT NOT NULL,
    references_seen BIGINT NOT NULL,
    tags            BIGINT NOT NULL,
    findings        BIGINT NOT NULL,
    quarantined     BIGINT NOT NULL,
    started_ms      BIGINT NOT NULL,
    updated_ms      BIGINT NOT NULL,
    ended_ms        BIGINT,
    failure         TEXT {collate},
    node            TEXT {collate} NOT NULL,
    lease_ms        BIGINT NOT NULL
);
-- One runs at a time.
CREATE UNIQUE INDEX scrub_running ON scrub (status) WHERE status = 'RUNNING';

-- Only the first ones of a scrub are kept; findings of scrub counts all.
CREATE TABLE scrub_finding (
    scrub_id       TEXT {collate} NOT NULL REFERENCES scrub (id) ON DELETE CASCADE,
    sequence       BIGINT NOT NULL,
    kind           TEXT {collate} NOT NULL,
    digest         TEXT {collate},
    repository     TEXT {collate},
    detail         TEXT {collate} NOT NULL,
    is_quarantined BOOLEAN NOT NULL,
    found_ms       BIGINT NOT NULL,
    PRIMARY KEY (scrub_id, sequence)
);

-- Whether a digest waits for review, of whatever repository.
CREATE INDEX blob_review_digest ON blob_review (digest);
