-- SPDX-License-Identifier: Apache-2.0
-- The audit log. A row holds one record, or a run of records that differ in time and id only: shared is what they
-- have in common, members what each has of its own. id sorts by the time of the first.
-- A row that a change has inserted has no place in the chain until it is sealed, within about a second.

CREATE TABLE audit_event (
    id            TEXT {collate} NOT NULL PRIMARY KEY,
    account_id    TEXT {collate} NOT NULL,
    principal     TEXT {collate} NOT NULL,
    event_name    TEXT {collate} NOT NULL,
    repository    TEXT {collate},
    digest        TEXT {collate},
    error_code    TEXT {collate},
    records       BIGINT NOT NULL,
    shared        TEXT {collate} NOT NULL,
    members       TEXT {collate} NOT NULL,
    sequence      BIGINT,
    previous_hash TEXT {collate},
    hash          TEXT {collate}
);
CREATE INDEX audit_event_account ON audit_event (account_id, id);
CREATE INDEX audit_event_principal ON audit_event (principal, id);
CREATE INDEX audit_event_name ON audit_event (event_name, id);
CREATE INDEX audit_event_repository ON audit_event (repository, id) WHERE repository IS NOT NULL;
CREATE INDEX audit_event_digest ON audit_event (digest, id) WHERE digest IS NOT NULL;
CREATE INDEX audit_event_error ON audit_event (error_code, id) WHERE error_code IS NOT NULL;
CREATE UNIQUE INDEX audit_event_sequence ON audit_event (sequence);
CREATE INDEX audit_event_unsealed ON audit_event (id) WHERE sequence IS NULL;

-- Where the chain begins, after what was deleted, and where it ends. The MACs are empty at first.
CREATE TABLE audit_chain (
    id            BIGINT NOT NULL PRIMARY KEY,
    base_sequence BIGINT NOT NULL,
    base_hash     TEXT {collate} NOT NULL,
    base_mac      TEXT {collate} NOT NULL,
    head_sequence BIGINT NOT NULL,
    head_hash     TEXT {collate} NOT NULL,
    head_mac      TEXT {collate} NOT NULL
);
INSERT INTO audit_chain (id, base_sequence, base_hash, base_mac, head_sequence, head_hash, head_mac)
VALUES (1, 0, '0000000000000000000000000000000000000000000000000000000000000000', '',
        0, '0000000000000000000000000000000000000000000000000000000000000000', '');

-- What the deployment's key vouches for.
CREATE TABLE audit_anchor (
    sequence BIGINT NOT NULL PRIMARY KEY,
    hash     TEXT {collate} NOT NULL,
    made_ms  BIGINT NOT NULL,
    mac      TEXT {collate} NOT NULL
);
CREATE INDEX audit_anchor_made ON audit_anchor (made_ms);

CREATE TABLE audit_setting (
    id             BIGINT NOT NULL PRIMARY KEY,
    retention_days BIGINT NOT NULL,
    version        BIGINT NOT NULL
);
INSERT INTO audit_setting (id, retention_days, version) VALUES (1, 90, 1);
