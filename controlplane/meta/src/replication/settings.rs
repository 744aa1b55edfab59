// SPDX-License-Identifier: Apache-2.0
//! Settings of repositories that go to destinations: queued after the first image that arrives, and with each change from then on.
//!
//! Before that, a repository of the same name there is somebody else's. A row of `repository_replication` says that an image has
//! arrived, of the repository that is here now: it goes with the repository.
//!
//! The work is a task like those of images, one for each repository and destination, whose reference is empty: what the
//! settings are is looked up when they are sent.

use hythe_model::{AccountId, Region, RegistryPlace, ReplicatedSetting, ReplicationPath, RepositoryPath};
use hythe_rules::replication::targets;
use jiff::Timestamp;
use uuid::Uuid;

use super::rule;
use super::status::ReplicationState;
use super::task::{ReplicationFailure, ReplicationTask, changed_again};
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError, repository};

/// The reference and the digest of a task for settings. No tag and no digest is empty.
pub(super) const SETTINGS: &str = "";

const QUEUE: &str = concat!(
    "
    INSERT INTO replication_task (id, account_id, destination, target_account, repository, reference, digest, path,
                                  may_delete, is_dead, attempts, due_ms, generation, created_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $6, $7, $8, FALSE, 0, $9, 0, $9)",
    changed_again!()
);
const NOTE: &str = "
    INSERT INTO repository_replication (repository_id, destination, target_account, state, failure_code, failure_reason,
                                        updated_ms)
    VALUES ($1, $2, $3, 'IN_PROGRESS', NULL, NULL, $4)
    ON CONFLICT (repository_id, destination, target_account) DO UPDATE
       SET state = excluded.state, failure_code = excluded.failure_code, failure_reason = excluded.failure_reason,
           updated_ms = excluded.updated_ms";
const SETTLE: &str = "
    UPDATE repository_replication SET state = $4, failure_code = $5, failure_reason = $6, updated_ms = $7
     WHERE repository_id = $1 AND destination = $2 AND target_account = $3";
/// An image may be gone that had arrived before rules brought settings; then they go after the next. In a ring, an image that
/// came from there says the same.
const HAS_ARRIVED: &str = "
    SELECT 1 FROM repository_replication WHERE repository_id = $1 AND destination = $2 AND target_account = $3
     UNION ALL
    SELECT 1 FROM replication_status
     WHERE repository_id = $1 AND destination = $2 AND target_account = $3 AND state = 'COMPLETE'
     UNION ALL
    SELECT 1 FROM replica
     WHERE repository_id = $1 AND ', ' || path || ',' LIKE '%, ' || $2 || '/' || $3 || ',%'
     LIMIT 1";
const FORGET: &str = "
    DELETE FROM repository_replication WHERE repository_id = $1 AND destination = $2 AND target_account = $3";
const FIND: &str = "
    SELECT state FROM repository_replication WHERE repository_id = $1 AND destination = $2 AND target_account = $3";
/// Bounded by the number of destinations that rules may name.
const LIST: &str = "
    SELECT destination, target_account, state, failure_code, failure_reason, updated_ms
      FROM repository_replication WHERE repository_id = $1 ORDER BY destination, target_account";
/// What is being done just now is done again.
const DO_AGAIN: &str = "
    UPDATE replication_task SET generation = generation + 1
     WHERE account_id = $1 AND destination = $2 AND target_account = $3 AND repository = $4 AND reference = $5
       AND owner IS NOT NULL AND NOT is_dead";
const WAITING: &str = "
    SELECT id FROM replication_task
     WHERE account_id = $1 AND destination = $2 AND target_account = $3 AND repository = $4 AND reference > $5
       AND NOT is_dead LIMIT 1";

/// What became of the settings of a repository at one destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryReplicationStatus {
    /// Where.
    pub place: RegistryPlace,
    /// How far they have come.
    pub state: ReplicationState,
    /// Why not.
    pub failure: Option<ReplicationFailure>,
    /// Since when.
    pub updated_at: Timestamp,
}

impl RepositoryReplicationStatus {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let failure = row.optional_text(3)?.map(|code| {
            let reason = row.optional_text(4)?.unwrap_or_default();
            Ok::<_, StoreError>(ReplicationFailure { code, reason })
        });
        Ok(Self {
            place: RegistryPlace {
                region: row.parsed(0)?,
                account: row.parsed(1)?,
            },
            state: row.parsed(2)?,
            failure: failure.transpose()?,
            updated_at: row.time(5)?,
        })
    }
}

/// Another task than `$4` is the first to try again.
const PUT_OFF: &str = "
    UPDATE replication_task SET due_ms = $3
     WHERE account_id = $1 AND destination = $2 AND reference = '' AND id <> $4 AND owner IS NULL AND NOT is_dead
       AND due_ms < $3";
/// Images that go at the same time wait for each other here, so that the last one sees the others gone.
const LOCK_DELETION: &str = "
    UPDATE replication_task SET due_ms = due_ms
     WHERE account_id = $1 AND destination = $2 AND target_account = $3 AND repository = $4 AND reference = ''
       AND may_delete AND NOT is_dead RETURNING id";
/// The repository is deleted there when the last of its images is.
const DELETE_NEXT: &str = "
    UPDATE replication_task SET due_ms = $5
     WHERE account_id = $1 AND destination = $2 AND target_account = $3 AND repository = $4 AND reference = ''
       AND may_delete AND owner IS NULL AND NOT is_dead AND due_ms > $5
       AND NOT EXISTS (SELECT 1 FROM replication_task i
                        WHERE i.account_id = $1 AND i.destination = $2 AND i.target_account = $3 AND i.repository = $4
                          AND i.reference > '' AND NOT i.is_dead)";
const HURRY: &str = "
    UPDATE replication_task SET due_ms = $3
     WHERE account_id = $1 AND destination = $2 AND reference = '' AND owner IS NULL AND NOT is_dead AND due_ms > $3";

impl Store {
    /// Has the settings that wait for a destination be brought now: its control plane answers again.
    pub async fn hurry_settings(&self, account: &AccountId, name: &Region, now: Timestamp) -> Result<(), StoreError> {
        let values = values![account, name.as_str(), now];
        self.write_one(Durability::Relaxed, HURRY, values).await?;
        self.nudge_replication();
        Ok(())
    }

    /// What became of the settings of a repository at each destination; `None` if there is no such repository.
    pub async fn settings_replication_status(
        &self,
        repository: &RepositoryPath,
    ) -> Result<Option<Vec<RepositoryReplicationStatus>>, StoreError> {
        let mut session = self.reader().await?;
        let Some(id) = repository::find_id(&mut session, repository).await? else {
            return Ok(None);
        };
        let rows = session.fetch_all(LIST, values![&id]).await?;
        rows.iter()
            .map(RepositoryReplicationStatus::read)
            .collect::<Result<_, _>>()
            .map(Some)
    }

    /// Whether an image of a repository has arrived at a place, or came by it, so that the repository there is the same.
    pub async fn has_arrived(&self, repository: &RepositoryPath, place: &RegistryPlace) -> Result<bool, StoreError> {
        let mut session = self.reader().await?;
        match repository::find_id(&mut session, repository).await? {
            Some(id) => has_arrived(&mut session, &id, place).await,
            None => Ok(false),
        }
    }

    /// Whether images of a repository are still to be brought to a place, or to be deleted there.
    pub async fn has_waiting_images(
        &self,
        repository: &RepositoryPath,
        place: &RegistryPlace,
    ) -> Result<bool, StoreError> {
        let values = values![
            &repository.account,
            place.region.as_str(),
            &place.account,
            &repository.name,
            SETTINGS
        ];
        Ok(self.reader().await?.fetch_optional(WAITING, values).await?.is_some())
    }
}

/// Queues, within the transaction of a change of settings, that they are to be brought to destinations where an image of the
/// repository has arrived. `path`: by which registries the change came, if it was replicated here.
pub(crate) async fn enqueue_settings(
    session: &mut Session,
    id: &str,
    repository: &RepositoryPath,
    changed: &[ReplicatedSetting],
    path: Option<&ReplicationPath>,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let rules = rule::all(session, &repository.account).await?;
    let mut is_queued = false;
    for (place, wanted) in targets(&rules, &repository.name, path) {
        let is_wanted = changed.iter().any(|setting| wanted.settings.contains(setting));
        if is_wanted && has_arrived(session, id, place).await? {
            queue(session, repository, place, path, false, at).await?;
            note(session, id, place, at).await?;
            is_queued = true;
        }
    }
    Ok(is_queued)
}

/// Queues that the settings of a repository are to be brought to a place; if `may_delete`, that the repository is gone.
pub(super) async fn queue(
    session: &mut Session,
    repository: &RepositoryPath,
    place: &RegistryPlace,
    path: Option<&ReplicationPath>,
    may_delete: bool,
    at: Timestamp,
) -> Result<(), StoreError> {
    let path = path.map(ToString::to_string);
    let values = values![
        Uuid::now_v7().to_string(),
        &repository.account,
        place.region.as_str(),
        &place.account,
        &repository.name,
        SETTINGS,
        path.as_deref(),
        may_delete,
        at
    ];
    session.execute(QUEUE, values).await.map(drop)
}

/// Queues the settings of the repository of an image that has arrived, if they were never brought there. What brings them just
/// now may have looked before there was a repository: it looks again.
pub(super) async fn follow(
    session: &mut Session,
    task: &ReplicationTask,
    id: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    let (repository, place) = (&task.repository, &task.place);
    let rules = rule::all(session, &repository.account).await?;
    let wanted = targets(&rules, &repository.name, task.path.as_ref()).remove(place);
    if wanted.is_none_or(|wanted| wanted.settings.is_empty()) {
        return Ok(());
    }
    let (account, name) = (&repository.account, &repository.name);
    let values = values![account, place.region.as_str(), &place.account, name, SETTINGS];
    session.execute(DO_AGAIN, values).await?;
    let values = values![id, place.region.as_str(), &place.account];
    if session.fetch_optional(FIND, values).await?.is_none() {
        queue(session, repository, place, task.path.as_ref(), false, now).await?;
        note(session, id, place, now).await?;
    }
    Ok(())
}

/// Has the settings of other repositories wait until `until`.
pub(super) async fn put_off(
    session: &mut Session,
    failed: &ReplicationTask,
    until: Timestamp,
) -> Result<(), StoreError> {
    let (account, name) = (&failed.repository.account, failed.place.region.as_str());
    let values = values![account, name, until, &failed.id];
    session.execute(PUT_OFF, values).await.map(drop)
}

/// Has a repository that is gone be deleted at a place now, if a task about one of its images has ended and none waits there.
pub(super) async fn delete_next(
    session: &mut Session,
    ended: &ReplicationTask,
    now: Timestamp,
) -> Result<(), StoreError> {
    let repository = &ended.repository;
    let (region, account) = (ended.place.region.as_str(), &ended.place.account);
    let values = values![&repository.account, region, account, &repository.name];
    if session.fetch_optional(LOCK_DELETION, values).await?.is_some() {
        let values = values![&repository.account, region, account, &repository.name, now];
        session.execute(DELETE_NEXT, values).await?;
    }
    Ok(())
}

/// Whether an image of the repository with this key has arrived at a place, or came by it.
pub(super) async fn has_arrived(session: &mut Session, id: &str, place: &RegistryPlace) -> Result<bool, StoreError> {
    let values = values![id, place.region.as_str(), &place.account];
    Ok(session.fetch_optional(HAS_ARRIVED, values).await?.is_some())
}

/// Takes note that settings are to be brought to a place where an image has arrived.
pub(super) async fn note(
    session: &mut Session,
    id: &str,
    place: &RegistryPlace,
    now: Timestamp,
) -> Result<(), StoreError> {
    let values = values![id, place.region.as_str(), &place.account, now];
    session.execute(NOTE, values).await.map(drop)
}

/// Takes note of how far settings have come; `None`: nowhere, since the repository is not there. Of a repository that was made
/// anew meanwhile nothing is noted.
pub(super) async fn settle(
    session: &mut Session,
    id: &str,
    place: &RegistryPlace,
    state: Option<ReplicationState>,
    failure: Option<&ReplicationFailure>,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Some(state) = state else {
        return forget(session, id, place).await;
    };
    let values = values![
        id,
        place.region.as_str(),
        &place.account,
        state.as_str(),
        failure.map(|failure| failure.code.as_str()),
        failure.map(|failure| failure.reason.as_str()),
        now
    ];
    session.execute(SETTLE, values).await.map(drop)
}

pub(super) async fn forget(session: &mut Session, id: &str, place: &RegistryPlace) -> Result<(), StoreError> {
    let values = values![id, place.region.as_str(), &place.account];
    session.execute(FORGET, values).await.map(drop)
}
