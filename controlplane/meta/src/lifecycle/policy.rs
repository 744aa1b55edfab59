// SPDX-License-Identifier: Apache-2.0
//! The lifecycle policies of repositories.

use hythe_access::Trail;
use hythe_model::{ReplicatedSetting, RepositoryPath};
use jiff::Timestamp;

use crate::repository::find_id;
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{ChangeRepositoryPolicyError, PolicyDocument, Store, StoreError, replication};

/// A lifecycle policy, as it was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecyclePolicyRecord {
    /// The text, when it was stored, and its version.
    pub document: PolicyDocument,
    /// When it was last evaluated.
    pub last_evaluated_at: Option<Timestamp>,
}

impl LifecyclePolicyRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            document: PolicyDocument::read(row, 0)?,
            last_evaluated_at: row.optional_time(3)?,
        })
    }
}

const SELECT: &str = "
    SELECT p.document, p.updated_ms, p.version, p.last_evaluated_ms
      FROM repository r JOIN lifecycle_policy p ON p.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2";
const SELECT_BY_ID: &str =
    "SELECT document, updated_ms, version, last_evaluated_ms FROM lifecycle_policy WHERE repository_id = $1";
const PUT: &str = "
    INSERT INTO lifecycle_policy (repository_id, document, updated_ms, version, due_ms) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (repository_id) DO UPDATE
       SET document = excluded.document, updated_ms = excluded.updated_ms, version = excluded.version,
           last_evaluated_ms = NULL, due_ms = excluded.due_ms";
const DELETE: &str = "DELETE FROM lifecycle_policy WHERE repository_id = $1";
/// What goes to destinations when a lifecycle policy changes.
const CHANGED: &[ReplicatedSetting] = &[ReplicatedSetting::LifecyclePolicy];

impl Store {
    /// The lifecycle policy of a repository; `None` too if there is no such repository.
    pub async fn lifecycle_policy(&self, path: &RepositoryPath) -> Result<Option<LifecyclePolicyRecord>, StoreError> {
        let row = self
            .reader()
            .await?
            .fetch_optional(SELECT, values![&path.account, &path.name])
            .await?;
        row.as_ref().map(LifecyclePolicyRecord::read).transpose()
    }

    /// Gives a repository a lifecycle policy, if the one that it has is of the expected version. It is first evaluated
    /// when it is due.
    pub async fn put_lifecycle_policy(
        &self,
        path: &RepositoryPath,
        text: &str,
        updated_at: Timestamp,
        due: Timestamp,
        expected_version: Option<i64>,
    ) -> Result<LifecyclePolicyRecord, ChangeRepositoryPolicyError> {
        let document = PolicyDocument::new(text, updated_at);
        let input = (
            path.clone(),
            document,
            due,
            expected_version,
            Trail::replica(),
            updated_at,
        );
        let put = self
            .write(
                Durability::Full,
                input,
                |session, (path, document, due, expected_version, replica, now)| {
                    Box::pin(async move {
                        let (id, before) = expected(session, path, *expected_version).await?;
                        put(session, &id, document, *due).await?;
                        if before.is_none_or(|before| before.document.text != document.text) {
                            replication::enqueue_settings(session, &id, path, CHANGED, replica.as_ref(), *now).await?;
                        }
                        Ok::<_, ChangeRepositoryPolicyError>(LifecyclePolicyRecord {
                            document: document.clone(),
                            last_evaluated_at: None,
                        })
                    })
                },
            )
            .await?;
        self.nudge_replication();
        Ok(put)
    }

    /// Deletes the lifecycle policy of a repository, if it is of the expected version; returns what was deleted.
    pub async fn delete_lifecycle_policy(
        &self,
        path: &RepositoryPath,
        expected_version: Option<i64>,
        now: Timestamp,
    ) -> Result<LifecyclePolicyRecord, ChangeRepositoryPolicyError> {
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

/// Gives the repository with an id a lifecycle policy in place of the one it has.
pub(crate) async fn put(
    session: &mut Session,
    id: &str,
    document: &PolicyDocument,
    due: Timestamp,
) -> Result<(), StoreError> {
    let values = values![id, &document.text, document.updated_at, document.version, due];
    session.execute(PUT, values).await.map(drop)
}

/// The policy of a repository, within a transaction.
pub(super) async fn find(session: &mut Session, id: &str) -> Result<Option<LifecyclePolicyRecord>, StoreError> {
    let row = session.fetch_optional(SELECT_BY_ID, values![id]).await?;
    row.as_ref().map(LifecyclePolicyRecord::read).transpose()
}

/// The id of the repository and its policy, which is of the expected version.
async fn expected(
    session: &mut Session,
    path: &RepositoryPath,
    expected_version: Option<i64>,
) -> Result<(String, Option<LifecyclePolicyRecord>), ChangeRepositoryPolicyError> {
    let Some(id) = find_id(session, path).await? else {
        return Err(ChangeRepositoryPolicyError::UnknownRepository);
    };
    let found = find(session, &id).await?;
    let version = found.as_ref().map(|found| found.document.version);
    if expected_version.is_some_and(|expected| version != Some(expected)) {
        return Err(ChangeRepositoryPolicyError::VersionMismatch);
    }
    Ok((id, found))
}
