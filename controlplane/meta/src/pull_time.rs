// SPDX-License-Identifier: Apache-2.0
//! When images were pulled, and whose pulls do not count (ECR, `lastRecordedPullTime` and its exclusions).
//!
//! Pulls are appended as rows of their own and folded into the images now and then: a row that every node changes with
//! every pull would be one that they all wait for.

use std::collections::HashMap;

use hythe_model::{AccountId, Digest, RepositoryPath};
use jiff::Timestamp;

use crate::session::{Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most principals of one account whose pulls do not count (ECR, "Service quotas").
pub const MAX_PULL_TIME_EXCLUSIONS: u64 = 100;
/// The most pulls in one transaction.
pub const MAX_PULLS_AT_ONCE: usize = 1000;

/// The latest pull of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pull {
    /// Where the image is.
    pub repository: RepositoryPath,
    /// The image.
    pub digest: Digest,
    /// When.
    pub at: Timestamp,
}

/// A principal whose pulls do not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullTimeExclusion {
    /// The ARN of a user or a role.
    pub principal_arn: String,
    /// Since when.
    pub created_at: Timestamp,
}

/// Why an exclusion was not made.
#[derive(Debug, thiserror::Error)]
pub enum AddExclusionError {
    /// It is there.
    #[error("the pulls of this principal are excluded already")]
    AlreadyExists,
    /// There are [`MAX_PULL_TIME_EXCLUSIONS`] already.
    #[error("an account can exclude the pulls of at most {MAX_PULL_TIME_EXCLUSIONS} principals")]
    LimitExceeded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Nothing is written for a repository that is not there.
const APPEND: &str = "
    INSERT INTO image_pull (repository_id, digest, pulled_ms)
    SELECT id, $3, $4 FROM repository WHERE account_id = $1 AND name = $2
    ON CONFLICT (repository_id, digest, pulled_ms) DO NOTHING";
const TAKE: &str = "
    DELETE FROM image_pull
     WHERE (repository_id, digest, pulled_ms) IN (SELECT repository_id, digest, pulled_ms FROM image_pull LIMIT $1)
 RETURNING repository_id, digest, pulled_ms";
const FOLD: &str = "
    UPDATE image SET last_pulled_ms = $3
     WHERE repository_id = $1 AND digest = $2 AND (last_pulled_ms IS NULL OR last_pulled_ms < $3)";
const LIST: &str = "
    SELECT principal_arn, created_ms FROM pull_time_exclusion
     WHERE account_id = $1 AND principal_arn > $2 ORDER BY principal_arn LIMIT $3";
/// At most [`MAX_PULL_TIME_EXCLUSIONS`] for each account.
const ALL: &str = "SELECT account_id, principal_arn FROM pull_time_exclusion";
const COUNT: &str = "SELECT COUNT(*) FROM pull_time_exclusion WHERE account_id = $1";
const ADD: &str = "
    INSERT INTO pull_time_exclusion (account_id, principal_arn, created_ms) VALUES ($1, $2, $3)
    ON CONFLICT (account_id, principal_arn) DO NOTHING
 RETURNING principal_arn";
const REMOVE: &str = "
    DELETE FROM pull_time_exclusion WHERE account_id = $1 AND principal_arn = $2 RETURNING principal_arn, created_ms";

impl Store {
    /// Notes pulls, at most [`MAX_PULLS_AT_ONCE`] in one transaction. A power cut may undo the latest.
    pub async fn append_pulls(&self, pulls: &[Pull]) -> Result<(), StoreError> {
        for chunk in pulls.chunks(MAX_PULLS_AT_ONCE) {
            self.write_committed(Durability::Relaxed, chunk.to_vec(), |session, pulls| {
                Box::pin(append(session, pulls))
            })
            .await?;
        }
        Ok(())
    }

    /// Folds noted pulls into their images, at most [`MAX_PULLS_AT_ONCE`]; says how many.
    pub async fn fold_pulls(&self) -> Result<usize, StoreError> {
        if self
            .point("SELECT digest FROM image_pull LIMIT 1", values![])
            .await?
            .is_empty()
        {
            return Ok(0);
        }
        self.write_committed(Durability::Relaxed, (), |session, ()| Box::pin(fold(session)))
            .await
    }

    /// The principals of an account whose pulls do not count, by ARN, after `after`.
    pub async fn pull_time_exclusions(
        &self,
        account: &AccountId,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<PullTimeExclusion>, StoreError> {
        let values = values![account, after.unwrap_or_default(), limit];
        let rows = self.reader().await?.fetch_all(LIST, values).await?;
        let read = |row: &crate::session::Row| {
            Ok(PullTimeExclusion {
                principal_arn: row.text(0)?,
                created_at: row.time(1)?,
            })
        };
        rows.iter().map(read).collect()
    }

    /// All principals whose pulls do not count, with the account in whose registry they do not.
    pub async fn all_pull_time_exclusions(&self) -> Result<Vec<(AccountId, String)>, StoreError> {
        let rows = self.reader().await?.fetch_all(ALL, values![]).await?;
        rows.iter().map(|row| Ok((row.parsed(0)?, row.text(1)?))).collect()
    }

    /// From now on, pulls of a principal do not count.
    pub async fn add_pull_time_exclusion(
        &self,
        account: &AccountId,
        principal_arn: &str,
        now: Timestamp,
    ) -> Result<(), AddExclusionError> {
        let input = (account.clone(), principal_arn.to_owned(), now);
        self.write(Durability::Full, input, |session, (account, arn, now)| {
            Box::pin(async move {
                let values = values![account, arn, *now];
                if session.fetch_optional(ADD, values).await?.is_none() {
                    return Err(AddExclusionError::AlreadyExists);
                }
                // Counted with the new one.
                let count = session.fetch_one(COUNT, values![account]).await?.size(0)?;
                if count > MAX_PULL_TIME_EXCLUSIONS {
                    return Err(AddExclusionError::LimitExceeded);
                }
                Ok(())
            })
        })
        .await
    }

    /// Pulls of a principal count again; `None` if they did.
    pub async fn remove_pull_time_exclusion(
        &self,
        account: &AccountId,
        principal_arn: &str,
    ) -> Result<Option<PullTimeExclusion>, StoreError> {
        let rows = self
            .write_one(Durability::Full, REMOVE, values![account, principal_arn])
            .await?;
        let read = |row: &crate::session::Row| {
            Ok(PullTimeExclusion {
                principal_arn: row.text(0)?,
                created_at: row.time(1)?,
            })
        };
        rows.first().map(read).transpose()
    }
}

async fn append(session: &mut Session, pulls: &[Pull]) -> Result<(), StoreError> {
    for Pull { repository, digest, at } in pulls {
        let values = values![&repository.account, &repository.name, digest, *at];
        session.execute(APPEND, values).await?;
    }
    Ok(())
}

async fn fold(session: &mut Session) -> Result<usize, StoreError> {
    let rows = session.fetch_all(TAKE, values![MAX_PULLS_AT_ONCE]).await?;
    let mut latest: HashMap<(String, String), i64> = HashMap::new();
    for row in &rows {
        let pulled = row.int(2)?;
        let known = latest.entry((row.text(0)?, row.text(1)?)).or_insert(pulled);
        *known = pulled.max(*known);
    }
    // In one order on all nodes, so that they do not wait for each other in a circle.
    let mut latest: Vec<_> = latest.into_iter().collect();
    latest.sort_unstable();
    for ((id, digest), pulled) in &latest {
        session.execute(FOLD, values![id, digest, *pulled]).await?;
    }
    Ok(rows.len())
}
