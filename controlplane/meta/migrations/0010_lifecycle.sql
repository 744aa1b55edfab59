-- SPDX-License-Identifier: Apache-2.0
-- Lifecycle policies, and the jobs that evaluate them. The cascades are for the previous version, which deletes
-- repositories and knows nothing of these tables.

-- last_evaluated_ms is that of this policy, not of one before it; due_ms is when it is evaluated again.
CREATE TABLE lifecycle_policy (
    repository_id     TEXT {collate} NOT NULL PRIMARY KEY REFERENCES repository (id) ON DELETE CASCADE,
    document          TEXT {collate} NOT NULL,
    updated_ms        BIGINT NOT NULL,
    version           BIGINT NOT NULL,
    last_evaluated_ms BIGINT,
    due_ms            BIGINT NOT NULL
);
CREATE INDEX lifecycle_policy_due ON lifecycle_policy (due_ms, repository_id);

-- A run, which acts, or a preview, which does not (kind). Until it is finished, whoever comes after ready_ms may take
-- it: that is when it was asked for, when it is to be tried again, or when the lease of the node ends that has it.
-- stored_document is what a proposed policy is compared with, empty if there was none.
-- lease is a number of that node's; who holds another one has lost it. acted is how many images it has deleted or
-- moved. ids sort by time.
CREATE TABLE lifecycle_run (
    id              TEXT {collate} NOT NULL PRIMARY KEY,
    repository_id   TEXT {collate} NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    kind            TEXT {collate} NOT NULL,
    requested_by    TEXT {collate},
    document        TEXT {collate} NOT NULL,
    policy_version  BIGINT,
    stored_document TEXT {collate},
    status          TEXT {collate} NOT NULL,
    created_ms      BIGINT NOT NULL,
    evaluated_ms    BIGINT,
    finished_ms     BIGINT,
    ready_ms        BIGINT NOT NULL,
    lease           BIGINT NOT NULL,
    attempts        BIGINT NOT NULL,
    acted           BIGINT NOT NULL,
    totals          TEXT {collate} NOT NULL,
    failure         TEXT {collate}
);
-- One run and one preview of a repository at a time.
CREATE UNIQUE INDEX lifecycle_run_open ON lifecycle_run (repository_id, kind) WHERE finished_ms IS NULL;
CREATE INDEX lifecycle_run_ready ON lifecycle_run (kind, ready_ms, id) WHERE finished_ms IS NULL;
CREATE INDEX lifecycle_run_repository ON lifecycle_run (repository_id, kind, id);
-- What an old preview showed is forgotten, and the preview itself is not.
CREATE INDEX lifecycle_run_finished ON lifecycle_run (kind, finished_ms)
    WHERE finished_ms IS NOT NULL AND status <> 'expired';

-- The images of a run in the order in which they were taken, or those of a preview by time of push: a JSON list a page.
CREATE TABLE lifecycle_run_page (
    run_id TEXT {collate} NOT NULL REFERENCES lifecycle_run (id) ON DELETE CASCADE,
    page   BIGINT NOT NULL,
    images TEXT {collate} NOT NULL,
    PRIMARY KEY (run_id, page)
);
