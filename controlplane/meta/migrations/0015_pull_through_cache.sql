-- SPDX-License-Identifier: Apache-2.0
-- Which repositories come from another registry, and what is known of it.

-- prefix is ROOT for repositories that no other rule is for; upstream_prefix is ROOT for none.
CREATE TABLE pull_through_cache_rule (
    account_id            TEXT {collate} NOT NULL,
    prefix                TEXT {collate} NOT NULL,
    upstream_url          TEXT {collate} NOT NULL,
    upstream_registry     TEXT {collate},
    upstream_prefix       TEXT {collate} NOT NULL,
    username              TEXT {collate},
    sealed_token          BYTEA,
    tag_freshness_seconds BIGINT NOT NULL,
    created_ms            BIGINT NOT NULL,
    updated_ms            BIGINT NOT NULL,
    version               BIGINT NOT NULL,
    PRIMARY KEY (account_id, prefix)
);

-- What a tag pointed to upstream when it was last asked; validated_ms is 0 if it must be asked again.
CREATE TABLE upstream_tag (
    repository_id TEXT {collate} NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    tag           TEXT {collate} NOT NULL,
    digest        TEXT {collate} NOT NULL,
    validated_ms  BIGINT NOT NULL,
    PRIMARY KEY (repository_id, tag)
);
CREATE INDEX upstream_tag_digest ON upstream_tag (repository_id, digest);

-- Manifests that came from upstream and are not images yet, since not all that they list is here. They are served from
-- here; whoever has the lease fetches the rest and makes images of them.
CREATE TABLE upstream_manifest (
    repository_id TEXT {collate} NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    digest        TEXT {collate} NOT NULL,
    media_type    TEXT {collate} NOT NULL,
    content       BYTEA NOT NULL,
    due_ms        BIGINT NOT NULL,
    attempts      BIGINT NOT NULL,
    error         TEXT {collate},
    PRIMARY KEY (repository_id, digest)
);
CREATE INDEX upstream_manifest_due ON upstream_manifest (due_ms);

-- Blobs that a node fetches from upstream now, until lease_ms.
CREATE TABLE upstream_fetch (
    repository_id TEXT {collate} NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    digest        TEXT {collate} NOT NULL,
    owner         TEXT {collate} NOT NULL,
    lease_ms      BIGINT NOT NULL,
    PRIMARY KEY (repository_id, digest)
);
