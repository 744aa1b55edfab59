// SPDX-License-Identifier: Apache-2.0
//! Work that is still to be done for replication: claimed, done, tried again, given up.

use std::fmt;

use hythe_model::{AccountId, Digest, Reference, Region, RegistryPlace, ReplicationPath, RepositoryPath};
use hythe_rules::replication::Wanted;
use jiff::Timestamp;

use super::destination::DestinationRecord;
use super::settings::{self, SETTINGS};
use super::status::{END, ReplicationState};
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError, repository};

/// What [`ReplicationTask::read`] reads.
macro_rules! select_tasks {
    () => {
        "
    SELECT id, account_id, destination, target_account, repository, reference, digest, path, may_delete, is_dead, attempts,
           due_ms, failure_code, failure_reason, created_ms, owner, generation
      FROM replication_task"
    };
}
pub(super) use select_tasks;

/// What a further change does to a task that is there: it is done again, also if it had been given up, and is no longer a backfill's.
macro_rules! changed_again {
    () => {
        "
    ON CONFLICT (account_id, destination, target_account, repository, reference) DO UPDATE
       SET digest = excluded.digest, path = excluded.path, may_delete = excluded.may_delete, is_dead = FALSE,
           attempts = 0, backfill_id = NULL, generation = replication_task.generation + 1,
           due_ms = CASE WHEN replication_task.owner IS NULL THEN excluded.due_ms ELSE replication_task.due_ms END,
           created_ms = CASE WHEN replication_task.is_dead THEN excluded.created_ms ELSE replication_task.created_ms END"
    };
}
pub(super) use changed_again;

/// Something to bring to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationTask {
    /// Names it; ids sort by time.
    pub id: String,
    /// The repository that it is about.
    pub repository: RepositoryPath,
    /// What of it.
    pub subject: ReplicationSubject,
    /// Where to.
    pub place: RegistryPlace,
    /// By which registries the image came, if it is a replica.
    pub path: Option<ReplicationPath>,
    /// Whether it is to be deleted there if it is gone here.
    pub may_delete: bool,
    /// Whether it was given up.
    pub is_dead: bool,
    /// How often it was tried.
    pub attempts: u64,
    /// When it is tried next; while somebody works on it, when others may.
    pub due_at: Timestamp,
    /// Why it could not be done last.
    pub failure: Option<ReplicationFailure>,
    /// Since when it waits.
    pub created_at: Timestamp,
    pub(super) owner: Option<String>,
    pub(super) generation: i64,
}

/// What of a repository is to be brought to a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplicationSubject {
    /// One of its images.
    Image {
        /// The tag or, of an image without one, the image.
        reference: Reference,
        /// The image that it was about last.
        digest: Digest,
    },
    /// Its settings.
    Settings,
}

impl ReplicationSubject {
    /// The image, if it is about one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Image { digest, .. } => Some(digest),
            Self::Settings => None,
        }
    }
}

impl fmt::Display for ReplicationSubject {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Image { reference, .. } => reference.fmt(formatter),
            Self::Settings => formatter.write_str("settings"),
        }
    }
}

/// Why something could not be replicated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationFailure {
    /// A code, such as `DestinationUnavailable`.
    pub code: String,
    /// The same in words.
    pub reason: String,
}

/// A task that this process works on.
#[derive(Clone, Debug)]
pub struct ClaimedReplication {
    /// The task.
    pub task: ReplicationTask,
    /// Where to.
    pub destination: DestinationRecord,
    /// What the rules want brought there.
    pub wanted: Wanted,
}

/// How work on a task ended.
#[derive(Clone, Debug)]
pub enum ReplicationOutcome {
    /// It is done; what was sent, if anything, and what it went without.
    Done {
        /// The images that are there now.
        sent: Vec<Digest>,
        /// What the image went without, such as its tag.
        short_of: Option<ReplicationFailure>,
    },
    /// There is nothing there to give the settings to: they go after the first image.
    Absent,
    /// It is tried again.
    Again {
        /// When.
        at: Timestamp,
        /// Why.
        failure: ReplicationFailure,
    },
    /// It is given up until somebody wants it again.
    Dead(ReplicationFailure),
}

/// Which tasks are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Those for this destination.
    pub destination: Option<Region>,
    /// Those that were given up, or those that were not.
    pub is_dead: Option<bool>,
    /// This one.
    pub id: Option<String>,
}

/// What waits for a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationBacklog {
    /// The destination.
    pub place: RegistryPlace,
    /// How many tasks wait or are being worked on.
    pub waiting: u64,
    /// How many were given up.
    pub dead: u64,
    /// Since when the oldest waits that was not given up.
    pub oldest_at: Option<Timestamp>,
}

impl ReplicationTask {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        let failure = match (row.optional_text(12)?, row.optional_text(13)?) {
            (Some(code), reason) => Some(ReplicationFailure {
                code,
                reason: reason.unwrap_or_default(),
            }),
            (None, _) => None,
        };
        Ok(Self {
            id: row.text(0)?,
            repository: RepositoryPath {
                account: row.parsed(1)?,
                name: row.parsed(4)?,
            },
            place: RegistryPlace {
                region: row.parsed(2)?,
                account: row.parsed(3)?,
            },
            subject: if row.text(5)? == SETTINGS {
                ReplicationSubject::Settings
            } else {
                ReplicationSubject::Image {
                    reference: row.parsed(5)?,
                    digest: row.parsed(6)?,
                }
            },
            path: row.optional_parsed(7)?,
            may_delete: row.bool(8)?,
            is_dead: row.bool(9)?,
            attempts: row.size(10)?,
            due_at: row.time(11)?,
            failure,
            created_at: row.time(14)?,
            owner: row.optional_text(15)?,
            generation: row.int(16)?,
        })
    }
}

const RELEASE: &str = "
    UPDATE replication_task SET owner = NULL, due_ms = $2
     WHERE owner IS NOT NULL AND (CAST($1 AS TEXT) IS NULL OR owner = $1)";
/// What waits, where it waits for, and backfills.
const IS_LATE: &str = "
    SELECT 1 FROM replication_task WHERE NOT is_dead AND due_ms > $1
     UNION ALL SELECT 1 FROM replication_destination WHERE open_ms > $1
     UNION ALL SELECT 1 FROM replication_backfill WHERE ended_ms IS NULL AND due_ms > $1
     LIMIT 1";
const RECALL: [&str; 3] = [
    "UPDATE replication_task SET due_ms = $2 WHERE NOT is_dead AND due_ms > $1",
    "UPDATE replication_destination SET open_ms = $2 WHERE open_ms > $1",
    "UPDATE replication_backfill SET due_ms = $2 WHERE ended_ms IS NULL AND due_ms > $1",
];
const RENEW: &str = "UPDATE replication_task SET due_ms = $3 WHERE id = $1 AND owner = $2 RETURNING id";
const FINISH: &str = "DELETE FROM replication_task WHERE id = $1 AND owner = $2 AND generation = $3 RETURNING id";
const GO_ON: &str = "
    UPDATE replication_task SET owner = NULL, attempts = 0, due_ms = $3, failure_code = NULL, failure_reason = NULL
     WHERE id = $1 AND owner = $2";
const FAIL: &str = "
    UPDATE replication_task
       SET owner = NULL, attempts = attempts + 1, due_ms = $4, is_dead = $5, failure_code = $6, failure_reason = $7
     WHERE id = $1 AND owner = $2 AND generation = $3 RETURNING id";
pub(crate) const LIST: &str = concat!(
    select_tasks!(),
    "
     WHERE account_id = $1 AND id > $2 AND ($3 IS NULL OR destination = $3) AND (CAST($4 AS BIGINT) IS NULL OR is_dead = $5)
       AND ($6 IS NULL OR id = $6)
     ORDER BY id LIMIT $7"
);
const RETRY: &str = "
    UPDATE replication_task SET is_dead = FALSE, attempts = 0, due_ms = $2, created_ms = $2
     WHERE account_id = $1 AND is_dead AND ($3 IS NULL OR destination = $3) AND ($4 IS NULL OR id = $4)
 RETURNING id";
const DROP_DEAD: &str = "
    DELETE FROM replication_task
     WHERE account_id = $1 AND is_dead AND ($2 IS NULL OR destination = $2) AND ($3 IS NULL OR id = $3)
 RETURNING id";
const BACKLOG: &str = "
    SELECT destination, target_account,
           CAST(SUM(CASE WHEN is_dead THEN 0 ELSE 1 END) AS BIGINT), CAST(SUM(CASE WHEN is_dead THEN 1 ELSE 0 END) AS BIGINT),
           MIN(CASE WHEN is_dead THEN NULL ELSE created_ms END)
      FROM replication_task WHERE $1 IS NULL OR account_id = $1
     GROUP BY destination, target_account ORDER BY destination, target_account";

impl Store {
    /// Ends the claims of `owner`, which works no more; without one all claims, if this process is the only one.
    pub async fn release_replications(&self, owner: Option<&str>, now: Timestamp) -> Result<(), StoreError> {
        if owner.is_none() && self.cache().is_none() {
            return Ok(());
        }
        self.write_one(Durability::Full, RELEASE, values![owner, now])
            .await
            .map(drop)
    }

    /// Has everything that waits until after `latest` wait no longer than `now`. That is later than anything is put off to
    /// and than any claim lasts, so that it was written by a clock that was ahead.
    pub async fn recall_replications(&self, now: Timestamp, latest: Timestamp) -> Result<(), StoreError> {
        let late = self.reader().await?.fetch_optional(IS_LATE, values![latest]).await?;
        if late.is_none() {
            return Ok(());
        }
        for statement in RECALL {
            self.write_one(Durability::Relaxed, statement, values![latest, now])
                .await?;
        }
        self.nudge_replication();
        Ok(())
    }

    /// Keeps a claim until `until`; false if somebody else has it.
    pub async fn renew_replication(&self, claimed: &ClaimedReplication, until: Timestamp) -> Result<bool, StoreError> {
        let values = values![&claimed.task.id, claimed.task.owner.as_deref(), until];
        let rows = self.write_one(Durability::Relaxed, RENEW, values).await?;
        Ok(!rows.is_empty())
    }

    /// Takes note of how work on a task ended.
    pub async fn end_replication(
        &self,
        claimed: &ClaimedReplication,
        outcome: ReplicationOutcome,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.end_settings_replication(claimed, outcome, now, None).await
    }

    /// As [`Self::end_replication`], of a task about settings. If the control plane of the destination did not answer, the
    /// settings of other repositories wait until `put_off_until`, and this task is the first to try again. Images do not wait.
    pub async fn end_settings_replication(
        &self,
        claimed: &ClaimedReplication,
        outcome: ReplicationOutcome,
        now: Timestamp,
        put_off_until: Option<Timestamp>,
    ) -> Result<(), StoreError> {
        let input = (claimed.task.clone(), outcome, now, put_off_until);
        self.write_committed(
            Durability::Full,
            input,
            |session, (task, outcome, now, put_off_until)| {
                Box::pin(async move {
                    end(session, task, outcome, *now).await?;
                    match put_off_until {
                        Some(until) => settings::put_off(session, task, *until).await,
                        None => Ok(()),
                    }
                })
            },
        )
        .await
    }

    /// The tasks of an account after `after`, by id, at most `limit` of them.
    pub async fn replication_tasks(
        &self,
        account: &AccountId,
        filter: &TaskFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ReplicationTask>, StoreError> {
        let values = values![
            account,
            after.unwrap_or_default(),
            filter.destination.as_ref().map(Region::as_str),
            filter.is_dead.map(i64::from),
            filter.is_dead.unwrap_or_default(),
            filter.id.as_deref(),
            limit
        ];
        let rows = self.reader().await?.fetch_all(LIST, values).await?;
        rows.iter().map(ReplicationTask::read).collect()
    }

    /// Tries tasks again that were given up; returns how many.
    pub async fn retry_replications(
        &self,
        account: &AccountId,
        filter: &TaskFilter,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let destination = filter.destination.as_ref().map(Region::as_str);
        let values = values![account, now, destination, filter.id.as_deref()];
        let rows = self.write_one(Durability::Full, RETRY, values).await?;
        self.nudge_replication();
        Ok(rows.len())
    }

    /// Drops tasks that were given up; returns how many.
    pub async fn drop_replications(&self, account: &AccountId, filter: &TaskFilter) -> Result<usize, StoreError> {
        let destination = filter.destination.as_ref().map(Region::as_str);
        let values = values![account, destination, filter.id.as_deref()];
        Ok(self.write_one(Durability::Full, DROP_DEAD, values).await?.len())
    }

    /// What waits for each destination, of one account or of all together.
    pub async fn replication_backlog(
        &self,
        account: Option<&AccountId>,
    ) -> Result<Vec<ReplicationBacklog>, StoreError> {
        let account = account.map(AccountId::as_str);
        let rows = self.reader().await?.fetch_all(BACKLOG, values![account]).await?;
        let read = |row: &Row| {
            Ok(ReplicationBacklog {
                place: RegistryPlace {
                    region: row.parsed(0)?,
                    account: row.parsed(1)?,
                },
                waiting: row.size(2)?,
                dead: row.size(3)?,
                oldest_at: row.optional_time(4)?,
            })
        };
        rows.iter().map(read).collect()
    }
}

pub(super) const FORGET_STATUS: &str = "
    DELETE FROM replication_status
     WHERE repository_id = $1 AND digest = $2 AND destination = $3 AND target_account = $4 AND state = 'IN_PROGRESS'";

pub(super) async fn forget_status(session: &mut Session, task: &ReplicationTask) -> Result<(), StoreError> {
    if let Some(id) = repository::find_id(session, &task.repository).await? {
        let (region, account) = (task.place.region.as_str(), &task.place.account);
        match &task.subject {
            ReplicationSubject::Image { digest, .. } => {
                let values = values![&id, digest, region, account];
                session.execute(FORGET_STATUS, values).await?;
            }
            ReplicationSubject::Settings => settings::forget(session, &id, &task.place).await?,
        }
    }
    Ok(())
}

async fn end(
    session: &mut Session,
    task: &ReplicationTask,
    outcome: &ReplicationOutcome,
    now: Timestamp,
) -> Result<(), StoreError> {
    let owner = task.owner.as_deref();
    let failed = |at: Timestamp, is_dead: bool, failure: &ReplicationFailure| {
        [
            task.id.as_str().into(),
            owner.into(),
            task.generation.into(),
            at.into(),
            is_dead.into(),
            failure.code.clone().into(),
            failure.reason.clone().into(),
        ]
    };
    let (is_ours, digests, state, failure) = match outcome {
        ReplicationOutcome::Done { sent, short_of } => {
            let values = values![&task.id, owner, task.generation];
            let is_ours = session.fetch_optional(FINISH, values).await?.is_some();
            (
                is_ours,
                sent.clone(),
                Some(ReplicationState::Complete),
                short_of.as_ref(),
            )
        }
        ReplicationOutcome::Absent => {
            let values = values![&task.id, owner, task.generation];
            let is_ours = session.fetch_optional(FINISH, values).await?.is_some();
            (is_ours, Vec::new(), None, None)
        }
        ReplicationOutcome::Again { at, failure } => {
            let is_ours = session
                .fetch_optional(FAIL, &failed(*at, false, failure))
                .await?
                .is_some();
            (is_ours, Vec::new(), Some(ReplicationState::InProgress), Some(failure))
        }
        ReplicationOutcome::Dead(failure) => {
            let is_ours = session
                .fetch_optional(FAIL, &failed(now, true, failure))
                .await?
                .is_some();
            let digests = task.subject.digest().copied().into_iter().collect();
            (is_ours, digests, Some(ReplicationState::Failed), Some(failure))
        }
    };
    if !is_ours {
        // Something has happened to the tag meanwhile: what it is now is to be sent too.
        session.execute(GO_ON, values![&task.id, owner, now]).await?;
        if state == Some(ReplicationState::Failed) {
            return Ok(());
        }
    }
    let Some(id) = repository::find_id(session, &task.repository).await? else {
        return match task.subject {
            ReplicationSubject::Image { .. } => settings::delete_next(session, task, now).await,
            ReplicationSubject::Settings => Ok(()),
        };
    };
    if task.subject == ReplicationSubject::Settings {
        // What is still to be done for a change that came meanwhile is not done.
        return if is_ours {
            settings::settle(session, &id, &task.place, state, failure, now).await
        } else {
            Ok(())
        };
    }
    let state = state.unwrap_or(ReplicationState::Complete);
    if state == ReplicationState::Complete && !digests.is_empty() {
        settings::follow(session, task, &id, now).await?;
    }
    for digest in &digests {
        let values = values![
            &id,
            digest,
            task.place.region.as_str(),
            &task.place.account,
            state.as_str(),
            failure.map(|failure| failure.code.as_str()),
            failure.map(|failure| failure.reason.as_str()),
            now
        ];
        session.execute(END, values).await?;
    }
    Ok(())
}
