-- SPDX-License-Identifier: Apache-2.0
-- Mirrors: what comes by a pull-through cache rule on a schedule, without a pull.

-- settings is JSON. The rule is joined with, never referred to: its row is replaced when it changes. succeeded_ms is when the last
-- run ended that brought everything.
CREATE TABLE mirror (
    account_id   TEXT {collate} NOT NULL,
    prefix       TEXT {collate} NOT NULL,
    settings     TEXT {collate} NOT NULL,
    interval_ms  BIGINT NOT NULL,
    set_ms       BIGINT NOT NULL,
    due_ms       BIGINT NOT NULL,
    succeeded_ms BIGINT,
    PRIMARY KEY (account_id, prefix)
);
CREATE INDEX mirror_due ON mirror (due_ms);

-- One node at a time works on a run: the one that is named, until lease_ms. repository and tag are how far it is; nobody goes on
-- before resume_ms. attempts are those that failed since it last came further.
CREATE TABLE mirror_run (
    id           TEXT {collate} NOT NULL PRIMARY KEY,
    account_id   TEXT {collate} NOT NULL,
    prefix       TEXT {collate} NOT NULL,
    cause        TEXT {collate} NOT NULL,
    started_by   TEXT {collate},
    status       TEXT {collate} NOT NULL,
    repository   TEXT {collate} NOT NULL,
    tag          TEXT {collate} NOT NULL,
    repositories BIGINT NOT NULL,
    tags         BIGINT NOT NULL,
    created      BIGINT NOT NULL,
    moved        BIGINT NOT NULL,
    unchanged    BIGINT NOT NULL,
    skipped      BIGINT NOT NULL,
    failed       BIGINT NOT NULL,
    removed      BIGINT NOT NULL,
    referrers    BIGINT NOT NULL,
    attempts     BIGINT NOT NULL,
    failure      TEXT {collate},
    started_ms   BIGINT NOT NULL,
    updated_ms   BIGINT NOT NULL,
    ended_ms     BIGINT,
    node         TEXT {collate} NOT NULL,
    lease_ms     BIGINT NOT NULL,
    resume_ms    BIGINT NOT NULL
);
CREATE INDEX mirror_run_rule ON mirror_run (account_id, prefix, id);
-- One at a time of each rule.
CREATE UNIQUE INDEX mirror_run_open ON mirror_run (account_id, prefix) WHERE ended_ms IS NULL;

-- What a run has skipped, could not bring, or removed; only the first ones of each kind are kept.
CREATE TABLE mirror_run_note (
    run_id     TEXT {collate} NOT NULL REFERENCES mirror_run (id) ON DELETE CASCADE,
    kind       TEXT {collate} NOT NULL,
    sequence   BIGINT NOT NULL,
    repository TEXT {collate} NOT NULL,
    tag        TEXT {collate},
    code       TEXT {collate} NOT NULL,
    reason     TEXT {collate} NOT NULL,
    noted_ms   BIGINT NOT NULL,
    PRIMARY KEY (run_id, kind, sequence)
);

-- The run that waits for the image.
ALTER TABLE upstream_manifest ADD COLUMN mirror_run_id TEXT {collate};
CREATE INDEX upstream_manifest_mirror ON upstream_manifest (mirror_run_id) WHERE mirror_run_id IS NOT NULL;
