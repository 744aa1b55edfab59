-- SPDX-License-Identifier: Apache-2.0
-- Accounts that can be closed, users with a kind and an end, groups, roles, and who has which policy.
-- Names are ASCII, so that lower() means the same on both engines.

ALTER TABLE account ADD COLUMN is_closed BOOLEAN NOT NULL DEFAULT FALSE;
ALTER TABLE account ADD COLUMN version BIGINT NOT NULL DEFAULT 1;

ALTER TABLE app_user ADD COLUMN kind TEXT {collate} NOT NULL DEFAULT 'USER';
ALTER TABLE app_user ADD COLUMN description TEXT {collate} NOT NULL DEFAULT '';
ALTER TABLE app_user ADD COLUMN boundary TEXT {collate};
ALTER TABLE app_user ADD COLUMN tags TEXT {collate} NOT NULL DEFAULT '{}';
ALTER TABLE app_user ADD COLUMN expires_ms BIGINT;
ALTER TABLE app_user ADD COLUMN is_disabled BOOLEAN NOT NULL DEFAULT FALSE;
-- Not unique: the version before allowed names that differ in case only, and what is there stays.
CREATE INDEX app_user_folded ON app_user (account_id, lower(name));

CREATE TABLE app_group (
    account_id  TEXT {collate} NOT NULL,
    name        TEXT {collate} NOT NULL,
    description TEXT {collate} NOT NULL,
    policies    TEXT {collate} NOT NULL,
    created_ms  BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);
CREATE UNIQUE INDEX app_group_folded ON app_group (account_id, lower(name));

-- Without a reference to app_user: the version before deletes users and knows nothing of this table. A row of a
-- user that is gone means nothing, and goes when a user of that name is created or the group is changed.
CREATE TABLE group_member (
    account_id TEXT {collate} NOT NULL,
    group_name TEXT {collate} NOT NULL,
    user_name  TEXT {collate} NOT NULL,
    PRIMARY KEY (account_id, group_name, user_name),
    FOREIGN KEY (account_id, group_name) REFERENCES app_group (account_id, name)
);
CREATE INDEX group_member_user ON group_member (account_id, user_name, group_name);

CREATE TABLE app_role (
    account_id          TEXT {collate} NOT NULL,
    name                TEXT {collate} NOT NULL,
    description         TEXT {collate} NOT NULL,
    trust_policy        TEXT {collate} NOT NULL,
    max_session_seconds BIGINT NOT NULL,
    policies            TEXT {collate} NOT NULL,
    boundary            TEXT {collate},
    tags                TEXT {collate} NOT NULL,
    created_ms          BIGINT NOT NULL,
    version             BIGINT NOT NULL,
    PRIMARY KEY (account_id, name)
);
CREATE UNIQUE INDEX app_role_folded ON app_role (account_id, lower(name));

-- Which principals name a policy: the same as their policies and boundary columns, the other way round, and written
-- in the same transaction. kind is user, group or role.
CREATE TABLE policy_use (
    account_id  TEXT {collate} NOT NULL,
    policy      TEXT {collate} NOT NULL,
    kind        TEXT {collate} NOT NULL,
    name        TEXT {collate} NOT NULL,
    is_boundary BOOLEAN NOT NULL,
    PRIMARY KEY (account_id, policy, kind, name, is_boundary)
);
CREATE INDEX policy_use_principal ON policy_use (account_id, kind, name);

INSERT INTO policy_use (account_id, policy, kind, name, is_boundary)
SELECT account_id, 'ReadOnly', 'user', name, FALSE FROM app_user WHERE replace(policies, '"ReadOnly"', '') <> policies;
INSERT INTO policy_use (account_id, policy, kind, name, is_boundary)
SELECT account_id, 'PowerUser', 'user', name, FALSE FROM app_user WHERE replace(policies, '"PowerUser"', '') <> policies;
INSERT INTO policy_use (account_id, policy, kind, name, is_boundary)
SELECT account_id, 'PullOnly', 'user', name, FALSE FROM app_user WHERE replace(policies, '"PullOnly"', '') <> policies;
INSERT INTO policy_use (account_id, policy, kind, name, is_boundary)
SELECT account_id, 'FullAccess', 'user', name, FALSE FROM app_user WHERE replace(policies, '"FullAccess"', '') <> policies;
