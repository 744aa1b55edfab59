-- SPDX-License-Identifier: Apache-2.0
-- What waits for one destination is found without looking at what waits for others: these share out the slots of a node.
CREATE INDEX replication_task_images ON replication_task (account_id, destination, due_ms)
    WHERE NOT is_dead AND reference <> '';
CREATE INDEX replication_task_settings ON replication_task (account_id, destination, due_ms)
    WHERE NOT is_dead AND reference = '';
