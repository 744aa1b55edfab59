-- SPDX-License-Identifier: Apache-2.0
-- What refers to an image upstream, as a JSON list of descriptors, as it was when that was last asked; validated_ms is 0 if it
-- must be asked again. It is forgotten at expires_ms.
CREATE TABLE upstream_referrers (
    repository_id TEXT {collate} NOT NULL REFERENCES repository (id) ON DELETE CASCADE,
    subject       TEXT {collate} NOT NULL,
    content       TEXT {collate} NOT NULL,
    validated_ms  BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL,
    PRIMARY KEY (repository_id, subject)
);
CREATE INDEX upstream_referrers_expiry ON upstream_referrers (expires_ms, repository_id, subject);
CREATE INDEX upstream_referrers_oldest ON upstream_referrers (repository_id, expires_ms, subject);
