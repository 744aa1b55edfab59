// SPDX-License-Identifier: Apache-2.0
//! Deleting a repository with everything in it.

use hythe_access::Trail;
use hythe_model::{ReplicationPath, RepositoryPath};
use jiff::Timestamp;

use crate::cache::Fact;
use crate::repository::{Found, find};
use crate::session::{Session, values};
use crate::writer::Durability;
use crate::{RepositoryRecord, Store, StoreError, blob_tier, replication, review};

/// Why a repository was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteRepositoryError {
    /// There is no such repository.
    #[error("the repository does not exist")]
    Unknown,
    /// It holds this many images, and deleting them was not asked for.
    #[error("the repository holds {0} images")]
    NotEmpty(u64),
    /// Somebody changed the repository since the expected version was read.
    #[error("the repository was changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const COUNT_IMAGES: &str = "SELECT COUNT(*) FROM image WHERE repository_id = $1";
/// Whoever collects expired sessions removes their bytes too, so that these must be found by it.
const EXPIRE_UPLOADS: &str = "UPDATE upload SET expires_ms = 0 WHERE repository_id = $1";
/// What refers comes before what it refers to.
const DELETE_CONTENT: [&str; 11] = [
    "DELETE FROM repository_policy WHERE repository_id = $1",
    "DELETE FROM subject_change WHERE repository_id = $1",
    "DELETE FROM deleted_image WHERE repository_id = $1",
    "DELETE FROM tag_move WHERE repository_id = $1",
    "DELETE FROM tag WHERE repository_id = $1",
    "DELETE FROM image_child WHERE repository_id = $1",
    "DELETE FROM image_missing_child WHERE repository_id = $1",
    "DELETE FROM image_blob WHERE repository_id = $1",
    "DELETE FROM image WHERE repository_id = $1",
    "DELETE FROM repository_blob WHERE repository_id = $1",
    "DELETE FROM repository WHERE id = $1",
];

impl Store {
    /// Deletes a repository if its version is the expected one; with `force` also if it holds images.
    /// Returns what was deleted.
    pub async fn delete_repository(
        &self,
        path: &RepositoryPath,
        force: bool,
        expected_version: Option<i64>,
        now: Timestamp,
    ) -> Result<RepositoryRecord, DeleteRepositoryError> {
        let deleted = self
            .write(
                Durability::Full,
                (path.clone(), force, expected_version, Trail::replica(), now),
                |session, (path, force, expected_version, replica, now)| {
                    Box::pin(delete(
                        session,
                        path,
                        *force,
                        *expected_version,
                        (replica.as_ref(), *now),
                    ))
                },
            )
            .await?;
        self.nudge_replication();
        Ok(deleted)
    }
}

async fn delete(
    session: &mut Session,
    path: &RepositoryPath,
    force: bool,
    expected_version: Option<i64>,
    (replica, now): (Option<&ReplicationPath>, Timestamp),
) -> Result<RepositoryRecord, DeleteRepositoryError> {
    let Some(Found { id, record }) = find(session, path).await? else {
        return Err(DeleteRepositoryError::Unknown);
    };
    if expected_version.is_some_and(|expected| expected != record.version) {
        return Err(DeleteRepositoryError::VersionMismatch);
    }
    if !force {
        let images = session.fetch_one(COUNT_IMAGES, values![&id]).await?.size(0)?;
        if images > 0 {
            return Err(DeleteRepositoryError::NotEmpty(images));
        }
    }
    replication::enqueue_deletion(session, &id, path, replica, now).await?;
    review::repository(session, &id, now).await?;
    review::deleted_images(session, &id, now).await?;
    blob_tier::queue_shared_of_repository(session, &id, now).await?;
    session.execute(EXPIRE_UPLOADS, values![&id]).await?;
    for statement in DELETE_CONTENT {
        session.execute(statement, values![&id]).await?;
    }
    session.touch(path, Fact::Exists);
    Ok(record)
}
