-- SPDX-License-Identifier: Apache-2.0
-- Backfills: what was there before a rule is brought to one destination, too.

-- repository and digest are behind what has been queued; is_walked says that all has been. started_by is an ARN. failure is why it
-- was given up, also while it is stopping. Some node looks at it again at due_ms.
CREATE TABLE replication_backfill (
    id             TEXT {collate} NOT NULL PRIMARY KEY,
    account_id     TEXT {collate} NOT NULL,
    destination    TEXT {collate} NOT NULL,
    target_account TEXT {collate} NOT NULL,
    started_by     TEXT {collate} NOT NULL,
    status         TEXT {collate} NOT NULL,
    repository     TEXT {collate} NOT NULL,
    digest         TEXT {collate} NOT NULL,
    is_walked      BOOLEAN NOT NULL,
    queued         BIGINT NOT NULL,
    completed      BIGINT NOT NULL,
    failed         BIGINT NOT NULL,
    skipped        BIGINT NOT NULL,
    failure        TEXT {collate},
    due_ms         BIGINT NOT NULL,
    started_ms     BIGINT NOT NULL,
    updated_ms     BIGINT NOT NULL,
    ended_ms       BIGINT
);
CREATE INDEX replication_backfill_account ON replication_backfill (account_id, id);
CREATE INDEX replication_backfill_due ON replication_backfill (due_ms) WHERE ended_ms IS NULL;
-- One at a time for each destination.
CREATE UNIQUE INDEX replication_backfill_running
    ON replication_backfill (account_id, destination, target_account) WHERE ended_ms IS NULL;

-- What a backfill queued: a tag, or the digest of an image without one. state is IN_PROGRESS, COMPLETE, FAILED or SKIPPED.
CREATE TABLE replication_backfill_image (
    backfill_id    TEXT {collate} NOT NULL REFERENCES replication_backfill (id) ON DELETE CASCADE,
    repository_id  TEXT {collate} NOT NULL,
    repository     TEXT {collate} NOT NULL,
    reference      TEXT {collate} NOT NULL,
    digest         TEXT {collate} NOT NULL,
    state          TEXT {collate} NOT NULL,
    failure_code   TEXT {collate},
    failure_reason TEXT {collate},
    updated_ms     BIGINT NOT NULL,
    PRIMARY KEY (backfill_id, repository, reference)
);
CREATE INDEX replication_backfill_pending ON replication_backfill_image (backfill_id) WHERE state = 'IN_PROGRESS';

-- The backfill that queued the task, if nothing else wants it.
ALTER TABLE replication_task ADD COLUMN backfill_id TEXT {collate};
CREATE INDEX replication_task_backfill ON replication_task (backfill_id) WHERE backfill_id IS NOT NULL;
