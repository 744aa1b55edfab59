// SPDX-License-Identifier: Apache-2.0
//! What became of each image at each destination (ECR, `DescribeImageReplicationStatus`).

use std::fmt;
use std::str::FromStr;

use hythe_model::{Digest, ParseError, RegistryPlace, RepositoryPath};
use jiff::Timestamp;

use crate::session::{Row, values};
use crate::{Store, StoreError, repository};

/// How far an image has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicationState {
    /// It waits, or is being sent.
    InProgress,
    /// It is there.
    Complete,
    /// It was given up.
    Failed,
}

impl ReplicationState {
    /// Its name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "IN_PROGRESS",
            Self::Complete => "COMPLETE",
            Self::Failed => "FAILED",
        }
    }
}

impl fmt::Display for ReplicationState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for ReplicationState {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::InProgress, Self::Complete, Self::Failed];
        let found = all.into_iter().find(|state| state.as_str() == text);
        found.ok_or_else(|| ParseError::new("state of a replication", text, "it must be one that was stored"))
    }
}

/// What became of an image at one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageReplicationStatus {
    /// Where.
    pub place: RegistryPlace,
    /// How far it has come.
    pub state: ReplicationState,
    /// Why not, or what it went without.
    pub failure_code: Option<String>,
    /// The same in words.
    pub failure_reason: Option<String>,
    /// Since when.
    pub updated_at: Timestamp,
    /// Of what could not be sent and is tried again: how often it was tried, and when it is tried next.
    pub retry: Option<(u64, Timestamp)>,
}

impl ImageReplicationStatus {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            place: RegistryPlace {
                region: row.parsed(0)?,
                account: row.parsed(1)?,
            },
            state: row.parsed(2)?,
            failure_code: row.optional_text(3)?,
            failure_reason: row.optional_text(4)?,
            updated_at: row.time(5)?,
            retry: None,
        })
    }
}

pub(super) const BEGIN: &str = "
    INSERT INTO replication_status (repository_id, digest, destination, target_account, state, updated_ms)
    VALUES ($1, $2, $3, $4, 'IN_PROGRESS', $5)
    ON CONFLICT (repository_id, digest, destination, target_account) DO UPDATE
       SET state = 'IN_PROGRESS', failure_code = NULL, failure_reason = NULL, updated_ms = excluded.updated_ms";
pub(super) const END: &str = "
    UPDATE replication_status SET state = $5, failure_code = $6, failure_reason = $7, updated_ms = $8
     WHERE repository_id = $1 AND digest = $2 AND destination = $3 AND target_account = $4";
/// Of an image that is being deleted.
pub(crate) const FORGET_IMAGE: &str = "DELETE FROM replication_status WHERE repository_id = $1 AND digest = $2";
/// Bounded by the number of destinations that rules may name.
const LIST: &str = "
    SELECT destination, target_account, state, failure_code, failure_reason, updated_ms
      FROM replication_status WHERE repository_id = $1 AND digest = $2 ORDER BY destination, target_account";
/// What could not be sent of an image and is tried again; of several tags, the one that was tried most often.
const RETRIED: &str = "
    SELECT attempts, due_ms, failure_code, failure_reason
      FROM replication_task
     WHERE account_id = $1 AND destination = $2 AND target_account = $3 AND repository = $4 AND digest = $5
       AND NOT is_dead AND failure_code IS NOT NULL
     ORDER BY attempts DESC, id LIMIT 1";

impl Store {
    /// What became of an image at each destination; `None` if there is no such repository.
    pub async fn replication_status(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<Vec<ImageReplicationStatus>>, StoreError> {
        let mut session = self.reader().await?;
        let Some(id) = repository::find_id(&mut session, repository).await? else {
            return Ok(None);
        };
        let rows = session.fetch_all(LIST, values![&id, digest]).await?;
        let mut statuses = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut status = ImageReplicationStatus::read(row)?;
            if status.state == ReplicationState::InProgress {
                let RegistryPlace { region, account: there } = &status.place;
                let RepositoryPath { account, name } = repository;
                let values = values![account, region.as_str(), there, name, digest];
                if let Some(task) = session.fetch_optional(RETRIED, values).await? {
                    status.retry = Some((task.size(0)?, task.time(1)?));
                    status.failure_code = task.optional_text(2)?;
                    status.failure_reason = task.optional_text(3)?;
                }
            }
            statuses.push(status);
        }
        Ok(Some(statuses))
    }
}
