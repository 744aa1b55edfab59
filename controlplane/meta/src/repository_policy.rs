// SPDX-License-Identifier: Apache-2.0
//! The policies of repositories.

use std::collections::BTreeMap;

use hythe_access::Trail;
use hythe_model::{AccountId, ReplicatedSetting, RepositoryName, RepositoryPath, ResourceTags};
use jiff::Timestamp;
use uuid::Uuid;

use crate::repository::{find_id, read_tags};
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError, replication};

/// A policy, as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDocument {
    /// The text.
    pub text: String,
    /// When it was stored; a principal that was created later is not meant by it, even if it has a name that is in it.
    pub updated_at: Timestamp,
    /// When single statements of the policy of a registry were set after that, by their `Sid`s; what is said of the document
    /// goes for them from then.
    pub statements_updated_at: BTreeMap<String, Timestamp>,
    /// A random number: no other state of any document has it.
    pub version: i64,
}

/// Why the policy of a repository was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeRepositoryPolicyError {
    /// There is no such repository.
    #[error("the repository does not exist")]
    UnknownRepository,
    /// The repository has no policy.
    #[error("the repository has no policy")]
    Absent,
    /// Somebody changed the policy since the expected version was read.
    #[error("the policy was changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A version for a new state of a document.
pub(crate) fn new_version() -> i64 {
    let (_, random) = Uuid::new_v4().as_u64_pair();
    // The first two bits are not random, and entity tags shall not be negative.
    i64::try_from(random & (u64::MAX >> 2)).unwrap_or(i64::MAX)
}

impl PolicyDocument {
    /// Reads `document`, `updated_ms` and `version`, which start at `column`.
    pub(crate) fn read(row: &Row, column: usize) -> Result<Self, StoreError> {
        Ok(Self {
            text: row.text(column)?,
            updated_at: row.time(column + 1)?,
            statements_updated_at: BTreeMap::new(),
            version: row.int(column + 2)?,
        })
    }

    pub(crate) fn new(text: &str, updated_at: Timestamp) -> Self {
        Self {
            text: text.to_owned(),
            // As a row gives it back.
            updated_at: hythe_model::in_millis(updated_at),
            statements_updated_at: BTreeMap::new(),
            version: new_version(),
        }
    }
}

const SELECT: &str = "
    SELECT p.document, p.updated_ms, p.version
      FROM repository r JOIN repository_policy p ON p.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2";
pub(crate) const SELECT_NEIGHBOURS: &str = "
    SELECT r.name, r.tags, p.document, p.updated_ms, p.version
      FROM repository r LEFT JOIN repository_policy p ON p.repository_id = r.id
     WHERE r.account_id = $1 AND r.name >= $2 AND r.name <= $3 ORDER BY r.name LIMIT $4";
const SELECT_BY_ID: &str = "SELECT document, updated_ms, version FROM repository_policy WHERE repository_id = $1";
const PUT: &str = "
    INSERT INTO repository_policy (repository_id, document, updated_ms, version) VALUES ($1, $2, $3, $4)
    ON CONFLICT (repository_id) DO UPDATE
       SET document = excluded.document, updated_ms = excluded.updated_ms, version = excluded.version";
const DELETE: &str = "DELETE FROM repository_policy WHERE repository_id = $1";
/// What goes to destinations when a policy changes.
const CHANGED: &[ReplicatedSetting] = &[ReplicatedSetting::RepositoryPolicy];

impl Store {
    /// The policy of a repository; `None` too if there is no such repository.
    pub async fn repository_policy(&self, path: &RepositoryPath) -> Result<Option<PolicyDocument>, StoreError> {
        let row = self
            .reader()
            .await?
            .fetch_optional(SELECT, values![&path.account, &path.name])
            .await?;
        row.map(|row| PolicyDocument::read(&row, 0)).transpose()
    }

    /// What decisions about repositories may rest on, of at most `limit` of them from `first` to `last` by name: their policies
    /// and resource tags.
    pub async fn repository_grounds(
        &self,
        account: &AccountId,
        first: &RepositoryName,
        last: &RepositoryName,
        limit: usize,
    ) -> Result<Vec<(RepositoryPath, Option<PolicyDocument>, ResourceTags)>, StoreError> {
        let values = values![account, first, last, limit];
        let rows = self.page_rows(SELECT_NEIGHBOURS, values).await?;
        let read = |row: &Row| {
            let path = RepositoryPath {
                account: account.clone(),
                name: row.parsed(0)?,
            };
            let has_policy = row.optional_text(2)?.is_some();
            let policy = has_policy.then(|| PolicyDocument::read(row, 2)).transpose()?;
            Ok((path, policy, read_tags(row, 1)?))
        };
        rows.iter().map(read).collect()
    }

    /// Gives a repository a policy, if the one that it has is of the expected version.
    pub async fn set_repository_policy(
        &self,
        path: &RepositoryPath,
        text: &str,
        updated_at: Timestamp,
        expected_version: Option<i64>,
    ) -> Result<PolicyDocument, ChangeRepositoryPolicyError> {
        let document = PolicyDocument::new(text, updated_at);
        let set = self
            .write(
                Durability::Full,
                (path.clone(), document, expected_version, Trail::replica(), updated_at),
                |session, (path, document, expected_version, replica, now)| {
                    Box::pin(async move {
                        let (id, before) = expected(session, path, *expected_version).await?;
                        put(session, &id, document).await?;
                        if before.is_none_or(|before| before.text != document.text) {
                            replication::enqueue_settings(session, &id, path, CHANGED, replica.as_ref(), *now).await?;
                        }
                        Ok::<_, ChangeRepositoryPolicyError>(document.clone())
                    })
                },
            )
            .await?;
        self.nudge_replication();
        Ok(set)
    }

    /// Deletes the policy of a repository, if it is of the expected version; returns what was deleted.
    pub async fn delete_repository_policy(
        &self,
        path: &RepositoryPath,
        expected_version: Option<i64>,
        now: Timestamp,
    ) -> Result<PolicyDocument, ChangeRepositoryPolicyError> {
        let deleted = self
            .write(
                Durability::Full,
                (path.clone(), expected_version, Trail::replica(), now),
                |session, (path, expected_version, replica, now)| {
                    Box::pin(async move {
                        let (id, found) = expected(session, path, *expected_version).await?;
                        let found = found.ok_or(ChangeRepositoryPolicyError::Absent)?;
                        session.execute(DELETE, values![&id]).await?;
                        replication::enqueue_settings(session, &id, path, CHANGED, replica.as_ref(), *now).await?;
                        Ok::<_, ChangeRepositoryPolicyError>(found)
                    })
                },
            )
            .await?;
        self.nudge_replication();
        Ok(deleted)
    }
}

/// Gives the repository with an id a policy in place of the one it has.
pub(crate) async fn put(session: &mut Session, id: &str, document: &PolicyDocument) -> Result<(), StoreError> {
    let values = values![id, &document.text, document.updated_at, document.version];
    session.execute(PUT, values).await.map(drop)
}

/// The id of the repository and its policy, which is of the expected version.
async fn expected(
    session: &mut Session,
    path: &RepositoryPath,
    expected_version: Option<i64>,
) -> Result<(String, Option<PolicyDocument>), ChangeRepositoryPolicyError> {
    let Some(id) = find_id(session, path).await? else {
        return Err(ChangeRepositoryPolicyError::UnknownRepository);
    };
    let row = session.fetch_optional(SELECT_BY_ID, values![&id]).await?;
    let found = row.map(|row| PolicyDocument::read(&row, 0)).transpose()?;
    let version = found.as_ref().map(|found| found.version);
    if expected_version.is_some_and(|expected| version != Some(expected)) {
        return Err(ChangeRepositoryPolicyError::VersionMismatch);
    }
    Ok((id, found))
}
