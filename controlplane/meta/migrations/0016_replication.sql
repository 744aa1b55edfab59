-- SPDX-License-Identifier: Apache-2.0
-- Replication: where to, by which rules, what is still to be sent, and what became of each image.

-- name is a region in rules. kind is HYTHE or OCI. failures counts how often in a row the destination could not be
-- reached; nothing is sent there before open_ms.
CREATE TABLE replication_destination (
    account_id        TEXT {collate} NOT NULL,
    name              TEXT {collate} NOT NULL,
    kind              TEXT {collate} NOT NULL,
    endpoint          TEXT {collate} NOT NULL,
    description       TEXT {collate},
    username          TEXT {collate},
    sealed_password   BYTEA,
    repository_prefix TEXT {collate},
    bytes_per_second  BIGINT,
    created_ms        BIGINT NOT NULL,
    updated_ms        BIGINT NOT NULL,
    version           BIGINT NOT NULL,
    failures          BIGINT NOT NULL,
    open_ms           BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);

-- rules is JSON. The row without a name is the registry's document; each of the others is one rule by itself.
CREATE TABLE replication_rule (
    account_id TEXT {collate} NOT NULL,
    name       TEXT {collate} NOT NULL,
    rules      TEXT {collate} NOT NULL,
    updated_ms BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);

-- What a tag or a digest (reference) of a repository has become is to be brought to a destination. digest is the image
-- that it was about last. path says by which registries a replica came. owner does the work until due_ms; generation
-- counts the wishes for it, so that one that comes meanwhile is not lost. ids sort by time.
CREATE TABLE replication_task (
    id             TEXT {collate} NOT NULL PRIMARY KEY,
    account_id     TEXT {collate} NOT NULL,
    destination    TEXT {collate} NOT NULL,
    target_account TEXT {collate} NOT NULL,
    repository     TEXT {collate} NOT NULL,
    reference      TEXT {collate} NOT NULL,
    digest         TEXT {collate} NOT NULL,
    path           TEXT {collate},
    may_delete     BOOLEAN NOT NULL,
    is_dead        BOOLEAN NOT NULL,
    attempts       BIGINT NOT NULL,
    due_ms         BIGINT NOT NULL,
    owner          TEXT {collate},
    generation     BIGINT NOT NULL,
    failure_code   TEXT {collate},
    failure_reason TEXT {collate},
    created_ms     BIGINT NOT NULL,
    UNIQUE (account_id, destination, target_account, repository, reference)
);
CREATE INDEX replication_task_due ON replication_task (due_ms) WHERE NOT is_dead;
CREATE INDEX replication_task_account ON replication_task (account_id, id);

-- What became of an image at a destination. state is IN_PROGRESS, COMPLETE or FAILED.
CREATE TABLE replication_status (
    repository_id  TEXT {collate} NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    digest         TEXT {collate} NOT NULL,
    destination    TEXT {collate} NOT NULL,
    target_account TEXT {collate} NOT NULL,
    state          TEXT {collate} NOT NULL,
    failure_code   TEXT {collate},
    failure_reason TEXT {collate},
    updated_ms     BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest, destination, target_account)
);

-- Images that came from another deployment, and by which registries. The image may be gone.
CREATE TABLE replica (
    repository_id TEXT {collate} NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    digest        TEXT {collate} NOT NULL,
    path          TEXT {collate} NOT NULL,
    arrived_ms    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest)
);

-- Uploads of large layers that are under way: where they can be taken up again.
CREATE TABLE replication_upload (
    account_id     TEXT {collate} NOT NULL,
    destination    TEXT {collate} NOT NULL,
    repository     TEXT {collate} NOT NULL,
    digest         TEXT {collate} NOT NULL,
    location       TEXT {collate} NOT NULL,
    updated_ms     BIGINT NOT NULL,
    PRIMARY KEY (account_id, destination, repository, digest)
);
