// SPDX-License-Identifier: Apache-2.0
//! Uploads of large layers that are under way, so that another process can take them up.

use hythe_model::{AccountId, Digest, Region};
use jiff::Timestamp;

use crate::session::values;
use crate::writer::Durability;
use crate::{Store, StoreError};

const SELECT: &str = "
    SELECT location FROM replication_upload
     WHERE account_id = $1 AND destination = $2 AND repository = $3 AND digest = $4";
const PUT: &str = "
    INSERT INTO replication_upload (account_id, destination, repository, digest, location, updated_ms)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (account_id, destination, repository, digest) DO UPDATE
       SET location = excluded.location, updated_ms = excluded.updated_ms";
const DELETE: &str = "
    DELETE FROM replication_upload WHERE account_id = $1 AND destination = $2 AND repository = $3 AND digest = $4";

impl Store {
    /// Where the upload of a layer to a repository of a destination can go on.
    pub async fn replication_upload(
        &self,
        account: &AccountId,
        destination: &Region,
        repository: &str,
        digest: &Digest,
    ) -> Result<Option<String>, StoreError> {
        let values = values![account, destination.as_str(), repository, digest];
        let row = self.reader().await?.fetch_optional(SELECT, values).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Notes where an upload can go on; `None` if it is over.
    pub async fn note_replication_upload(
        &self,
        account: &AccountId,
        destination: &Region,
        repository: &str,
        digest: &Digest,
        location: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let region = destination.as_str();
        let (sql, values) = if let Some(location) = location {
            (
                PUT,
                values![account, region, repository, digest, location, now].to_vec(),
            )
        } else {
            (DELETE, values![account, region, repository, digest].to_vec())
        };
        self.write_one(Durability::Relaxed, sql, &values).await.map(drop)
    }
}
