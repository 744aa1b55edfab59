-- SPDX-License-Identifier: Apache-2.0
-- What a record of the audit log is found by, besides the columns of its row. value says what it is: `account:` of who
-- asked, if it is not that of what was asked for; `digest:` that a tag has left or reached; `request:` whose id does not
-- tell its time, since a client has made it up. Rows exist for records of version 1.2 and later.

CREATE TABLE audit_event_also (
    value TEXT {collate} NOT NULL,
    id    TEXT {collate} NOT NULL,
    PRIMARY KEY (value, id)
);
CREATE INDEX audit_event_also_id ON audit_event_also (id);
