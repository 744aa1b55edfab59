// SPDX-License-Identifier: Apache-2.0
//! Runs and previews as they are asked for and shown.

use hythe_model::RepositoryPath;
use jiff::Timestamp;

use super::policy;
use super::record::{LifecycleKind, LifecycleRunRecord, LifecycleRunStatus};
use crate::audit::new_id;
use crate::repository::find_id;
use crate::session::{Row, Session, corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// Why no run was started.
#[derive(Debug, thiserror::Error)]
pub enum StartRunError {
    /// There is no such repository.
    #[error("the repository does not exist")]
    UnknownRepository,
    /// It has no policy.
    #[error("the repository has no lifecycle policy")]
    NoPolicy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no preview was started.
#[derive(Debug, thiserror::Error)]
pub enum StartPreviewError {
    /// There is no such repository.
    #[error("the repository does not exist")]
    UnknownRepository,
    /// It has no policy, and none was proposed.
    #[error("the repository has no lifecycle policy")]
    NoPolicy,
    /// Another one is being made.
    #[error("a preview of the repository is being made")]
    InProgress,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The columns of a run that [`read`] reads.
macro_rules! run_columns {
    () => {
        "id, kind, requested_by, document, status, created_ms, evaluated_ms, finished_ms, totals, failure"
    };
}

const OPEN: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM lifecycle_run WHERE repository_id = $1 AND kind = $2 AND finished_ms IS NULL"
);
pub(crate) const LIST: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM lifecycle_run WHERE repository_id = $1 AND kind = $2 AND id < $3 ORDER BY id DESC LIMIT $4"
);
const BY_ID: &str = concat!(
    "SELECT ",
    run_columns!(),
    " FROM lifecycle_run WHERE id = $1 AND repository_id = $2 AND kind = $3"
);
pub(crate) const PAGES: &str =
    "SELECT page, images FROM lifecycle_run_page WHERE run_id = $1 AND page >= $2 ORDER BY page LIMIT $3";
const DELETE_FINISHED_PREVIEWS: &str =
    "DELETE FROM lifecycle_run WHERE repository_id = $1 AND kind = 'preview' AND finished_ms IS NOT NULL";
const INSERT: &str = "
    INSERT INTO lifecycle_run (id, repository_id, kind, requested_by, document, policy_version, stored_document, status,
                               created_ms, ready_ms, lease, attempts, acted, totals)
    VALUES ($1, $2, $3, $4, $5, $6, $7, 'pending', $8, $8, 0, 0, 0, '{}')";

/// More than any id of a run.
const AFTER_ALL_IDS: &str = "g";

impl Store {
    /// Asks for a run of the stored policy. If one waits or is under way, that one comes back.
    pub async fn start_lifecycle_run(
        &self,
        path: &RepositoryPath,
        requested_by: &str,
        at: Timestamp,
    ) -> Result<LifecycleRunRecord, StartRunError> {
        let id = new_id(at).to_string();
        let input = (path.clone(), requested_by.to_owned(), at, id);
        self.write(Durability::Full, input, |session, (path, requested_by, at, id)| {
            Box::pin(async move {
                let repository = find_id(session, path).await?.ok_or(StartRunError::UnknownRepository)?;
                let policy = policy::find(session, &repository)
                    .await?
                    .ok_or(StartRunError::NoPolicy)?;
                if let Some(open) = open(session, path, &repository, LifecycleKind::Run).await? {
                    return Ok(open);
                }
                let new = NewRun {
                    id,
                    repository: &repository,
                    kind: LifecycleKind::Run,
                    requested_by: Some(requested_by),
                    document: &policy.document.text,
                    policy_version: Some(policy.document.version),
                    stored_document: None,
                    at: *at,
                };
                insert(session, &new).await?;
                Ok(new.record(path))
            })
        })
        .await
    }

    /// Asks for a preview of a proposed policy, or else of the stored one, in place of the preview that there is.
    pub async fn start_lifecycle_preview(
        &self,
        path: &RepositoryPath,
        proposed: Option<&str>,
        requested_by: &str,
        at: Timestamp,
    ) -> Result<LifecycleRunRecord, StartPreviewError> {
        let id = new_id(at).to_string();
        let proposed = proposed.map(str::to_owned);
        let input = (path.clone(), proposed, requested_by.to_owned(), at, id);
        self.write(
            Durability::Full,
            input,
            |session, (path, proposed, requested_by, at, id)| {
                Box::pin(async move {
                    let repository = find_id(session, path)
                        .await?
                        .ok_or(StartPreviewError::UnknownRepository)?;
                    let stored = policy::find(session, &repository)
                        .await?
                        .map(|stored| stored.document.text);
                    let document = proposed
                        .as_ref()
                        .or(stored.as_ref())
                        .ok_or(StartPreviewError::NoPolicy)?;
                    if open(session, path, &repository, LifecycleKind::Preview)
                        .await?
                        .is_some()
                    {
                        return Err(StartPreviewError::InProgress);
                    }
                    session.execute(DELETE_FINISHED_PREVIEWS, values![&repository]).await?;
                    let new = NewRun {
                        id,
                        repository: &repository,
                        kind: LifecycleKind::Preview,
                        requested_by: Some(requested_by),
                        document,
                        policy_version: None,
                        stored_document: proposed.as_ref().map(|_| stored.as_deref().unwrap_or_default()),
                        at: *at,
                    };
                    insert(session, &new).await?;
                    Ok(new.record(path))
                })
            },
        )
        .await
    }

    /// The runs of a repository before `before`, newest first, at most `limit` of them; `None` if there is no
    /// repository.
    pub async fn lifecycle_runs(
        &self,
        path: &RepositoryPath,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<LifecycleRunRecord>>, StoreError> {
        let before = before.unwrap_or(AFTER_ALL_IDS);
        let mut session = self.reader().await?;
        let Some(id) = find_id(&mut session, path).await? else {
            return Ok(None);
        };
        let values = values![&id, LifecycleKind::Run.as_str(), before, limit];
        let rows = session.fetch_all(LIST, values).await?;
        rows.iter()
            .map(|row| read(path, row))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// One run of a repository.
    pub async fn lifecycle_run(
        &self,
        path: &RepositoryPath,
        run_id: &str,
    ) -> Result<Option<LifecycleRunRecord>, StoreError> {
        let mut session = self.reader().await?;
        let Some(id) = find_id(&mut session, path).await? else {
            return Ok(None);
        };
        let values = values![run_id, &id, LifecycleKind::Run.as_str()];
        let row = session.fetch_optional(BY_ID, values).await?;
        row.map(|row| read(path, &row)).transpose()
    }

    /// The preview of a repository that was started last.
    pub async fn lifecycle_preview(&self, path: &RepositoryPath) -> Result<Option<LifecycleRunRecord>, StoreError> {
        let mut session = self.reader().await?;
        let Some(id) = find_id(&mut session, path).await? else {
            return Ok(None);
        };
        let values = values![&id, LifecycleKind::Preview.as_str(), AFTER_ALL_IDS, 1_i64];
        let row = session.fetch_optional(LIST, values).await?;
        row.map(|row| read(path, &row)).transpose()
    }

    /// Pages of images of a run or a preview from page `first` on, with their numbers, each a JSON list.
    pub async fn lifecycle_run_pages(
        &self,
        run_id: &str,
        first: i64,
        limit: usize,
    ) -> Result<Vec<(i64, String)>, StoreError> {
        let values = values![run_id, first, limit];
        let rows = self.reader().await?.fetch_all(PAGES, values).await?;
        rows.iter().map(|row| Ok((row.int(0)?, row.text(1)?))).collect()
    }
}

/// A job to be inserted.
pub(super) struct NewRun<'n> {
    pub(super) id: &'n str,
    pub(super) repository: &'n str,
    pub(super) kind: LifecycleKind,
    pub(super) requested_by: Option<&'n str>,
    pub(super) document: &'n str,
    pub(super) policy_version: Option<i64>,
    pub(super) stored_document: Option<&'n str>,
    pub(super) at: Timestamp,
}

impl NewRun<'_> {
    fn record(&self, path: &RepositoryPath) -> LifecycleRunRecord {
        LifecycleRunRecord {
            id: self.id.to_owned(),
            path: path.clone(),
            kind: self.kind,
            requested_by: self.requested_by.map(str::to_owned),
            document: self.document.to_owned(),
            status: LifecycleRunStatus::Pending,
            // As a row gives it back.
            created_at: hythe_model::in_millis(self.at),
            evaluated_at: None,
            finished_at: None,
            totals: super::LifecycleTotals::default(),
            failure: None,
        }
    }
}

pub(super) async fn insert(session: &mut Session, new: &NewRun<'_>) -> Result<(), StoreError> {
    let values = values![
        new.id,
        new.repository,
        new.kind.as_str(),
        new.requested_by,
        new.document,
        new.policy_version,
        new.stored_document,
        new.at
    ];
    session.execute(INSERT, values).await.map(drop)
}

/// The job of a repository that waits or is under way.
pub(super) async fn open(
    session: &mut Session,
    path: &RepositoryPath,
    repository: &str,
    kind: LifecycleKind,
) -> Result<Option<LifecycleRunRecord>, StoreError> {
    let row = session.fetch_optional(OPEN, values![repository, kind.as_str()]).await?;
    row.map(|row| read(path, &row)).transpose()
}

fn read(path: &RepositoryPath, row: &Row) -> Result<LifecycleRunRecord, StoreError> {
    let kind = row.text(1)?;
    let status = row.text(4)?;
    Ok(LifecycleRunRecord {
        id: row.text(0)?,
        path: path.clone(),
        kind: LifecycleKind::parse(&kind).ok_or_else(|| corrupt(format!("`{kind}` is no kind of run")))?,
        requested_by: row.optional_text(2)?,
        document: row.text(3)?,
        status: LifecycleRunStatus::parse(&status)
            .ok_or_else(|| corrupt(format!("`{status}` is no state of a run")))?,
        created_at: row.time(5)?,
        evaluated_at: row.optional_time(6)?,
        finished_at: row.optional_time(7)?,
        totals: serde_json::from_str(&row.text(8)?)?,
        failure: row.optional_text(9)?,
    })
}
