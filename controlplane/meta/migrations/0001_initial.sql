-- SPDX-License-Identifier: Apache-2.0
-- The same on SQLite and PostgreSQL but for {collate}: text columns sort by bytes.
-- Times are UTC milliseconds (_ms), sizes are bytes, lists and maps are JSON that SQL never looks into.

CREATE TABLE account (
    id         TEXT {collate} NOT NULL PRIMARY KEY,
    name       TEXT {collate} NOT NULL,
    created_ms BIGINT NOT NULL
);

-- Facts about the deployment as a whole.
CREATE TABLE setting (
    name  TEXT {collate} NOT NULL PRIMARY KEY,
    value TEXT {collate} NOT NULL
);

CREATE TABLE repository (
    id                     TEXT {collate} NOT NULL PRIMARY KEY,
    account_id             TEXT {collate} NOT NULL,
    name                   TEXT {collate} NOT NULL,
    tag_mutability         TEXT {collate} NOT NULL,
    tag_mutability_filters TEXT {collate} NOT NULL,
    scan_on_push           BOOLEAN NOT NULL,
    encryption_type        TEXT {collate} NOT NULL,
    kms_key                TEXT {collate},
    tags                   TEXT {collate} NOT NULL,
    version                BIGINT NOT NULL,
    created_ms             BIGINT NOT NULL,
    UNIQUE (account_id, name)
);

-- Requests that created a repository, so that a repeated one gets the same answer.
CREATE TABLE idempotency (
    account_id    TEXT {collate} NOT NULL,
    key           TEXT {collate} NOT NULL,
    request_hash  TEXT {collate} NOT NULL,
    repository_id TEXT {collate} NOT NULL,
    created_ms    BIGINT NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX idempotency_created ON idempotency (created_ms);

-- Sessions outlive their repository until they expire, because their bytes have to be removed elsewhere.
-- Few bytes are in content; with hash_state they are in the blob store.
CREATE TABLE upload (
    id            TEXT {collate} NOT NULL PRIMARY KEY,
    repository_id TEXT {collate} NOT NULL,
    algorithm     TEXT {collate} NOT NULL,
    bytes         BIGINT NOT NULL,
    hash_state    BYTEA,
    version       BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL,
    content       BYTEA
);
CREATE INDEX upload_expires ON upload (expires_ms, id);
CREATE INDEX upload_repository ON upload (repository_id);

-- Small blobs have their bytes in content.
CREATE TABLE blob (
    digest     TEXT {collate} NOT NULL PRIMARY KEY,
    size       BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    content    BYTEA
);

-- Through which repositories a blob may be read.
CREATE TABLE repository_blob (
    repository_id TEXT {collate} NOT NULL REFERENCES repository (id),
    digest        TEXT {collate} NOT NULL REFERENCES blob (digest),
    linked_ms     BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX repository_blob_digest ON repository_blob (digest, repository_id);

CREATE TABLE image (
    repository_id  TEXT {collate} NOT NULL REFERENCES repository (id),
    digest         TEXT {collate} NOT NULL,
    media_type     TEXT {collate} NOT NULL,
    artifact_type  TEXT {collate},
    subject        TEXT {collate},
    manifest_bytes BIGINT NOT NULL,
    image_bytes    BIGINT NOT NULL,
    pushed_ms      BIGINT NOT NULL,
    annotations    TEXT {collate} NOT NULL,
    manifest       BYTEA NOT NULL,
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX image_subject ON image (repository_id, subject, digest) WHERE subject IS NOT NULL;

-- Which blobs an image needs.
CREATE TABLE image_blob (
    repository_id TEXT {collate} NOT NULL,
    image_digest  TEXT {collate} NOT NULL,
    blob_digest   TEXT {collate} NOT NULL,
    PRIMARY KEY (repository_id, image_digest, blob_digest),
    FOREIGN KEY (repository_id, image_digest) REFERENCES image (repository_id, digest),
    FOREIGN KEY (repository_id, blob_digest) REFERENCES repository_blob (repository_id, digest)
);
CREATE INDEX image_blob_blob ON image_blob (repository_id, blob_digest);

-- Which images an index lists.
CREATE TABLE image_child (
    repository_id TEXT {collate} NOT NULL,
    image_digest  TEXT {collate} NOT NULL,
    child_digest  TEXT {collate} NOT NULL,
    PRIMARY KEY (repository_id, image_digest, child_digest),
    FOREIGN KEY (repository_id, image_digest) REFERENCES image (repository_id, digest),
    FOREIGN KEY (repository_id, child_digest) REFERENCES image (repository_id, digest)
);
CREATE INDEX image_child_child ON image_child (repository_id, child_digest);

CREATE TABLE tag (
    repository_id TEXT {collate} NOT NULL,
    name          TEXT {collate} NOT NULL,
    digest        TEXT {collate} NOT NULL,
    moved_ms      BIGINT NOT NULL,
    version       BIGINT NOT NULL,
    PRIMARY KEY (repository_id, name),
    FOREIGN KEY (repository_id, digest) REFERENCES image (repository_id, digest)
);
CREATE INDEX tag_digest ON tag (repository_id, digest, name);

-- The history of every tag name; sequence counts the moves of one name and is the version of the tag.
CREATE TABLE tag_move (
    repository_id TEXT {collate} NOT NULL REFERENCES repository (id),
    name          TEXT {collate} NOT NULL,
    sequence      BIGINT NOT NULL,
    moved_ms      BIGINT NOT NULL,
    from_digest   TEXT {collate},
    to_digest     TEXT {collate},
    moved_by      TEXT {collate} NOT NULL,
    PRIMARY KEY (repository_id, name, sequence)
);

-- Links that may have lost their last reference: whoever drops one, or makes a link that nothing refers to
-- yet, adds a row in the same transaction. The repository may be gone.
CREATE TABLE blob_review (
    repository_id TEXT {collate} NOT NULL,
    digest        TEXT {collate} NOT NULL,
    due_ms        BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX blob_review_due ON blob_review (due_ms);

CREATE TABLE app_user (
    account_id TEXT {collate} NOT NULL,
    name       TEXT {collate} NOT NULL,
    policies   TEXT {collate} NOT NULL,
    created_ms BIGINT NOT NULL,
    version    BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);

-- The keys of the administrator have an empty user_name.
CREATE TABLE access_key (
    id            TEXT {collate} NOT NULL PRIMARY KEY,
    account_id    TEXT {collate} NOT NULL,
    user_name     TEXT {collate} NOT NULL,
    sealed_secret BYTEA NOT NULL,
    is_active     BOOLEAN NOT NULL,
    created_ms    BIGINT NOT NULL,
    last_used_ms  BIGINT
);
CREATE INDEX access_key_user ON access_key (account_id, user_name, id);

CREATE TABLE revoked_token (
    id         TEXT {collate} NOT NULL PRIMARY KEY,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX revoked_token_expires ON revoked_token (expires_ms);

-- Until when a renewable token is good now, and when it stops being renewable.
CREATE TABLE token_lease (
    id         TEXT {collate} NOT NULL PRIMARY KEY,
    until_ms   BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX token_lease_expires ON token_lease (expires_ms);
