-- SPDX-License-Identifier: Apache-2.0
-- Settings of repositories that are replicated: where the control plane of a destination is, and what became of them there.

ALTER TABLE replication_destination ADD COLUMN control_endpoint TEXT {collate};

-- What became of the settings of a repository at a destination; no row if nothing was brought there yet. state is IN_PROGRESS,
-- COMPLETE or FAILED. The work itself is a row of replication_task whose reference and digest are empty.
CREATE TABLE repository_replication (
    repository_id  TEXT {collate} NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    destination    TEXT {collate} NOT NULL,
    target_account TEXT {collate} NOT NULL,
    state          TEXT {collate} NOT NULL,
    failure_code   TEXT {collate},
    failure_reason TEXT {collate},
    updated_ms     BIGINT NOT NULL,
    PRIMARY KEY (repository_id, destination, target_account)
);
