// SPDX-License-Identifier: Apache-2.0
//! Backfills: what was there before a rule is brought to one destination, too.
//!
//! A backfill walks over the repositories in pages, and queues tasks as changes do. Page, tasks and how far it is are one
//! transaction, so that any node goes on, also after a crash. A page is queued when most of the one before is done: what
//! is pushed meanwhile never waits behind more than that.

use hythe_model::{AccountId, Digest, RegistryPlace, ReplicationPath, RepositoryName, RepositoryPath};
use hythe_rules::replication::{ReplicationRule, targets};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::rule;
use super::status::BEGIN;
use super::task::{FORGET_STATUS, ReplicationFailure};
use crate::session::{Row, Session, values};
use crate::text_enum::text_enum;
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most backfills of an account at once (ECR).
pub const MAX_RUNNING_BACKFILLS: u64 = 10;
/// For how long a backfill that has ended is kept (ECR).
const KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How many that have ended long ago go at once.
const MAX_FORGOTTEN: u64 = 10;
/// How many images are looked at in one transaction.
const PAGE_IMAGES: u64 = 64;
/// How many repositories that no rule means are passed over in one transaction.
const PAGE_REPOSITORIES: u64 = 200;
/// With more than this under way, nothing is queued.
const MAX_PENDING: u64 = 32;
/// Enough for whatever one page queues: an image has 1000 tags at most.
const MAX_RECONCILED: u64 = 1_000;
/// How long a backfill is left alone between two looks at it.
const PAUSE: SignedDuration = SignedDuration::from_millis(100);
/// A backfill is given up when this many were tried and half of them failed (ECR).
const ENOUGH_TRIED: u64 = 100;

text_enum!(
    /// How a backfill does.
    BackfillStatus, "status of a backfill" {
        /// Nothing has been queued yet.
        Preparing = "PREPARING",
        /// It goes on.
        InProgress = "IN_PROGRESS",
        /// All was tried.
        Complete = "COMPLETE",
        /// It was given up.
        Failed = "FAILED",
        /// What is under way is waited for.
        Stopping = "STOPPING",
        /// Somebody stopped it.
        Stopped = "STOPPED",
    }
);

text_enum!(
    /// What became of an image of a backfill.
    BackfillResult, "result of a backfill" {
        /// It waits, or is being sent.
        InProgress = "IN_PROGRESS",
        /// It is there.
        Complete = "COMPLETE",
        /// It was given up.
        Failed = "FAILED",
        /// It was not sent: it is gone here, its tag has moved on, or nobody wants it any more.
        Skipped = "SKIPPED",
    }
);

/// A backfill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillRecord {
    /// Its id; later ones sort behind.
    pub id: String,
    /// Whose images it is about.
    pub account: AccountId,
    /// Where to.
    pub place: RegistryPlace,
    /// Who started it: the principal's ARN.
    pub started_by: String,
    /// How it does.
    pub status: BackfillStatus,
    /// Whether all has been queued, so that there will not be more.
    pub is_walked: bool,
    /// How many tags and images it has queued.
    pub queued: u64,
    /// How many of these are there.
    pub completed: u64,
    /// How many were given up.
    pub failed: u64,
    /// How many were not sent.
    pub skipped: u64,
    /// Why it was given up.
    pub failure: Option<String>,
    /// When it was started.
    pub started_at: Timestamp,
    /// When it last came further.
    pub updated_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Behind which repository and image it goes on.
    position: (String, String),
}

/// A tag or an image of a backfill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackfillImage {
    /// The repository.
    pub repository: RepositoryName,
    /// The tag, or the digest of an image without one.
    pub reference: String,
    /// The image.
    pub digest: Digest,
    /// What became of it.
    pub result: BackfillResult,
    /// Why it was given up, or what it went without.
    pub failure: Option<ReplicationFailure>,
}

/// Why no backfill was started.
#[derive(Debug, thiserror::Error)]
pub enum StartBackfillError {
    /// No rule names the destination.
    #[error("no rule names the destination")]
    NotConfigured,
    /// There is one for the destination: its id.
    #[error("backfill `{0}` is in progress")]
    InProgress(String),
    /// There are as many as there may be.
    #[error("there are {MAX_RUNNING_BACKFILLS} backfills, and that is the most")]
    LimitExceeded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a look at a backfill came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackfillPass {
    /// How many tags and images were queued.
    pub queued: u64,
    /// Whether it has ended now.
    pub has_ended: bool,
}

macro_rules! columns {
    () => {
        "id, account_id, destination, target_account, started_by, status, is_walked, queued, completed, failed, skipped,
         failure, started_ms, updated_ms, ended_ms, repository, digest"
    };
}

const RUNNING: &str = "
    SELECT id, destination, target_account FROM replication_backfill WHERE account_id = $1 AND ended_ms IS NULL";
const FORGET: &str = "
    DELETE FROM replication_backfill WHERE id IN (
        SELECT id FROM replication_backfill WHERE account_id = $1 AND ended_ms < $2 ORDER BY id LIMIT $3)";
const INSERT: &str = concat!(
    "INSERT INTO replication_backfill (id, account_id, destination, target_account, started_by, status, repository, digest,
        is_walked, queued, completed, failed, skipped, due_ms, started_ms, updated_ms)
     VALUES ($1, $2, $3, $4, $5, 'PREPARING', '', '', FALSE, 0, 0, 0, 0, $6, $6, $6) RETURNING ",
    columns!()
);
const SELECT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM replication_backfill WHERE account_id = $1 AND id = $2"
);
pub(crate) const LIST_BACKFILLS: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM replication_backfill WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3"
);
pub(crate) const BACKFILL_IMAGES: &str = "
    SELECT repository, reference, digest, state, failure_code, failure_reason FROM replication_backfill_image
     WHERE backfill_id = $1 AND (repository, reference) > ($2, $3) AND ($4 IS NULL OR state = $4)
     ORDER BY repository, reference LIMIT $5";
const STOP: &str = concat!(
    "UPDATE replication_backfill SET status = 'STOPPING', updated_ms = $3, due_ms = $3
      WHERE account_id = $1 AND id = $2 AND status IN ('PREPARING', 'IN_PROGRESS') RETURNING ",
    columns!()
);
pub(crate) const DUE_BACKFILL: &str = "
    SELECT b.id FROM replication_backfill b
     WHERE b.ended_ms IS NULL AND b.due_ms <= $1
       AND NOT EXISTS (SELECT 1 FROM account a WHERE a.id = b.account_id AND a.is_closed)
     ORDER BY b.due_ms LIMIT 1";
const TAKE: &str = concat!(
    "UPDATE replication_backfill SET due_ms = $3 WHERE id = $1 AND ended_ms IS NULL AND due_ms <= $2 RETURNING ",
    columns!()
);
const SAVE: &str = "
    UPDATE replication_backfill SET status = $2, is_walked = $3, queued = $4, completed = $5, failed = $6, skipped = $7,
           failure = $8, repository = $9, digest = $10, updated_ms = $11, ended_ms = $12
     WHERE id = $1";
/// What has become of the tasks of what is under way. A task goes when it is done, and stays when it was given up.
const PENDING: &str = "
    SELECT b.repository, b.reference, b.digest, b.repository_id,
           CASE WHEN t.id IS NULL THEN 'GONE' WHEN t.is_dead THEN 'DEAD' WHEN t.owner IS NULL THEN 'WAITS' ELSE 'SENT' END, t.failure_code, t.failure_reason,
           s.state, s.failure_code, s.failure_reason
      FROM replication_backfill_image b
      LEFT JOIN replication_task t
        ON t.account_id = $2 AND t.destination = $3 AND t.target_account = $4 AND t.repository = b.repository
       AND t.reference = b.reference
      LEFT JOIN replication_status s
        ON s.repository_id = b.repository_id AND s.digest = b.digest AND s.destination = $3 AND s.target_account = $4
     WHERE b.backfill_id = $1 AND b.state = 'IN_PROGRESS' LIMIT $5";
const END_IMAGE: &str = "
    UPDATE replication_backfill_image SET state = $4, failure_code = $5, failure_reason = $6, updated_ms = $7
     WHERE backfill_id = $1 AND repository = $2 AND reference = $3";
/// What somebody works on goes to its end.
const DROP_TASKS: &str = "DELETE FROM replication_task WHERE backfill_id = $1 AND owner IS NULL AND NOT is_dead";
const REPOSITORIES: &str = "
    SELECT id, name FROM repository WHERE account_id = $1 AND name >= $2 ORDER BY name LIMIT $3";
/// Children of an index go with it. What is archived cannot be sent.
const IMAGES: &str = "
    SELECT i.digest, r.path,
           i.status = 'ACTIVE' AND (
               EXISTS (SELECT 1 FROM tag t WHERE t.repository_id = i.repository_id AND t.digest = i.digest)
            OR NOT EXISTS (SELECT 1 FROM image_child c
                            WHERE c.repository_id = i.repository_id AND c.child_digest = i.digest))
      FROM image i LEFT JOIN replica r ON r.repository_id = i.repository_id AND r.digest = i.digest
     WHERE i.repository_id = $1 AND i.digest > $2 ORDER BY i.digest LIMIT $3";
const TAGS: &str = "SELECT name FROM tag WHERE repository_id = $1 AND digest = $2 ORDER BY name";
const ADD_IMAGE: &str = "
    INSERT INTO replication_backfill_image (backfill_id, repository_id, repository, reference, digest, state, updated_ms)
    VALUES ($1, $2, $3, $4, $5, 'IN_PROGRESS', $6) ON CONFLICT (backfill_id, repository, reference) DO NOTHING
 RETURNING reference";
/// What is queued already goes anyway; what was given up is tried again.
const QUEUE: &str = "
    INSERT INTO replication_task (id, account_id, destination, target_account, repository, reference, digest, path,
                                  may_delete, is_dead, attempts, due_ms, generation, created_ms, backfill_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, FALSE, FALSE, 0, $9, 0, $9, $10)
    ON CONFLICT (account_id, destination, target_account, repository, reference) DO UPDATE
       SET digest = excluded.digest, path = excluded.path, is_dead = FALSE, attempts = 0, due_ms = excluded.due_ms,
           created_ms = excluded.created_ms, generation = replication_task.generation + 1,
           backfill_id = CASE WHEN replication_task.backfill_id IS NULL THEN NULL ELSE excluded.backfill_id END
     WHERE replication_task.is_dead";

impl Store {
    /// Starts a backfill; some node will do it.
    pub async fn start_backfill(
        &self,
        account: &AccountId,
        place: &RegistryPlace,
        started_by: &str,
        now: Timestamp,
    ) -> Result<BackfillRecord, StartBackfillError> {
        let input = (account.clone(), place.clone(), started_by.to_owned(), now);
        let started = self
            .write(Durability::Full, input, |session, (account, place, by, now)| {
                Box::pin(start(session, account, place, by, *now))
            })
            .await?;
        self.nudge_replication();
        Ok(started)
    }

    /// The backfill.
    pub async fn backfill(&self, account: &AccountId, id: &str) -> Result<Option<BackfillRecord>, StoreError> {
        let row = self
            .reader()
            .await?
            .fetch_optional(SELECT, values![account, id])
            .await?;
        row.as_ref().map(read).transpose()
    }

    /// The backfills of an account before `before`, newest first, at most `limit` of them.
    pub async fn backfills(
        &self,
        account: &AccountId,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<BackfillRecord>, StoreError> {
        // Behind every id.
        let values = values![account, before.unwrap_or("~"), limit];
        let rows = self.reader().await?.fetch_all(LIST_BACKFILLS, values).await?;
        rows.iter().map(read).collect()
    }

    /// What became of each image of a backfill, by repository and reference, at most `limit` of them.
    pub async fn backfill_images(
        &self,
        id: &str,
        result: Option<BackfillResult>,
        after: Option<&(String, String)>,
        limit: usize,
    ) -> Result<Vec<BackfillImage>, StoreError> {
        let (repository, reference) = after.map_or(("", ""), |(repository, reference)| (repository, reference));
        let values = values![id, repository, reference, result.map(BackfillResult::as_str), limit];
        let rows = self.reader().await?.fetch_all(BACKFILL_IMAGES, values).await?;
        let image = |row: &Row| {
            Ok(BackfillImage {
                repository: row.parsed(0)?,
                reference: row.text(1)?,
                digest: row.parsed(2)?,
                result: row.parsed(3)?,
                failure: failure(row, 4)?,
            })
        };
        rows.iter().map(image).collect()
    }

    /// Has a backfill end when what is under way is done; `None` if it is not running.
    pub async fn stop_backfill(
        &self,
        account: &AccountId,
        id: &str,
        now: Timestamp,
    ) -> Result<Option<BackfillRecord>, StoreError> {
        let rows = self
            .write_one(Durability::Full, STOP, values![account, id, now])
            .await?;
        self.nudge_replication();
        rows.first().map(read).transpose()
    }

    /// Brings a backfill that is due further; `None` if there is none.
    pub async fn advance_backfill(&self, now: Timestamp) -> Result<Option<BackfillPass>, StoreError> {
        let due = self.point(DUE_BACKFILL, values![now]).await?;
        let Some(due) = due.first() else {
            return Ok(None);
        };
        // Without sync: what is lost in a power cut, the tasks and how far it is, is lost together and done again.
        let pass = self
            .write(Durability::Relaxed, (due.text(0)?, now), |session, (id, now)| {
                Box::pin(advance(session, id, *now))
            })
            .await?;
        if pass.is_some_and(|pass| pass.queued > 0) {
            self.nudge_replication();
        }
        Ok(pass)
    }
}

async fn start(
    session: &mut Session,
    account: &AccountId,
    place: &RegistryPlace,
    started_by: &str,
    now: Timestamp,
) -> Result<BackfillRecord, StartBackfillError> {
    let rules = rule::all(session, account).await?;
    if !rules.iter().any(|rule| rule.destinations.contains(place)) {
        return Err(StartBackfillError::NotConfigured);
    }
    let running = session.fetch_all(RUNNING, values![account]).await?;
    for row in &running {
        if row.text(1)? == place.region.as_str() && row.text(2)? == place.account.as_str() {
            return Err(StartBackfillError::InProgress(row.text(0)?));
        }
    }
    if running.len() as u64 >= MAX_RUNNING_BACKFILLS {
        return Err(StartBackfillError::LimitExceeded);
    }
    let before = now.checked_sub(KEPT).unwrap_or(Timestamp::UNIX_EPOCH);
    session.execute(FORGET, values![account, before, MAX_FORGOTTEN]).await?;
    let id = Uuid::now_v7().to_string();
    let values = values![&id, account, place.region.as_str(), &place.account, started_by, now];
    Ok(read(&session.fetch_one(INSERT, values).await?)?)
}

async fn advance(session: &mut Session, id: &str, now: Timestamp) -> Result<Option<BackfillPass>, StoreError> {
    let again = now.checked_add(PAUSE).unwrap_or(Timestamp::MAX);
    let Some(row) = session.fetch_optional(TAKE, values![id, now, again]).await? else {
        return Ok(None);
    };
    let mut backfill = read(&row)?;
    let rules = rule::all(session, &backfill.account).await?;
    if backfill.status != BackfillStatus::Stopping {
        if !rules.iter().any(|rule| rule.destinations.contains(&backfill.place)) {
            backfill.give_up("no rule names the destination any more");
        } else if backfill.is_hopeless() {
            backfill.give_up("half of what was tried failed");
        }
    }
    let is_stopping = backfill.status == BackfillStatus::Stopping;
    if is_stopping {
        session.execute(DROP_TASKS, values![id]).await?;
    }
    let pending = reconcile(session, &mut backfill, now).await?;
    let mut queued = 0;
    if !is_stopping && !backfill.is_walked && pending <= MAX_PENDING {
        queued = walk(session, &mut backfill, &rules, now).await?;
        backfill.queued += queued;
        backfill.status = BackfillStatus::InProgress;
    }
    let has_ended = pending + queued == 0 && (is_stopping || backfill.is_walked);
    if has_ended {
        backfill.status = match (is_stopping, &backfill.failure) {
            (_, Some(_)) => BackfillStatus::Failed,
            (true, None) => BackfillStatus::Stopped,
            (false, None) => BackfillStatus::Complete,
        };
    }
    let values = values![
        id,
        backfill.status.as_str(),
        backfill.is_walked,
        backfill.queued,
        backfill.completed,
        backfill.failed,
        backfill.skipped,
        backfill.failure.as_deref(),
        &backfill.position.0,
        &backfill.position.1,
        now,
        has_ended.then_some(now)
    ];
    session.execute(SAVE, values).await?;
    Ok(Some(BackfillPass { queued, has_ended }))
}

impl BackfillRecord {
    fn is_hopeless(&self) -> bool {
        let tried = self.completed + self.failed;
        tried >= ENOUGH_TRIED && self.failed * 2 >= tried
    }

    fn give_up(&mut self, why: &str) {
        self.status = BackfillStatus::Stopping;
        self.failure = Some(why.to_owned());
    }
}

/// Takes note of what has ended; returns how many are still under way.
async fn reconcile(session: &mut Session, backfill: &mut BackfillRecord, now: Timestamp) -> Result<u64, StoreError> {
    let is_stopping = backfill.status == BackfillStatus::Stopping;
    let RegistryPlace { region, account } = &backfill.place;
    let values = values![
        &backfill.id,
        &backfill.account,
        region.as_str(),
        account,
        MAX_RECONCILED
    ];
    let rows = session.fetch_all(PENDING, values).await?;
    let mut pending = 0;
    for row in &rows {
        let (task, state) = (row.text(4)?, row.optional_text(7)?);
        let (result, failure) = match (task.as_str(), state.as_deref()) {
            // What others want besides goes on without this backfill.
            ("WAITS", _) if is_stopping => (BackfillResult::Skipped, None),
            ("WAITS" | "SENT", _) => {
                pending += 1;
                continue;
            }
            ("DEAD", _) => (BackfillResult::Failed, failure(row, 5)?),
            (_, Some("COMPLETE")) => (BackfillResult::Complete, failure(row, 8)?),
            (_, Some("FAILED")) => (BackfillResult::Failed, failure(row, 8)?),
            (_, state) => {
                if state.is_some() {
                    let values = values![row.text(3)?, row.text(2)?, region.as_str(), account];
                    session.execute(FORGET_STATUS, values).await?;
                }
                (BackfillResult::Skipped, None)
            }
        };
        *match result {
            BackfillResult::Complete => &mut backfill.completed,
            BackfillResult::Failed => &mut backfill.failed,
            BackfillResult::Skipped | BackfillResult::InProgress => &mut backfill.skipped,
        } += 1;
        let values = values![
            &backfill.id,
            row.text(0)?,
            row.text(1)?,
            result.as_str(),
            failure.as_ref().map(|failure| failure.code.as_str()),
            failure.as_ref().map(|failure| failure.reason.as_str()),
            now
        ];
        session.execute(END_IMAGE, values).await?;
    }
    Ok(pending)
}

/// Queues a page, and says behind what it ends; returns how many tags and images were queued.
async fn walk(
    session: &mut Session,
    backfill: &mut BackfillRecord,
    rules: &[ReplicationRule],
    now: Timestamp,
) -> Result<u64, StoreError> {
    let (from, mut after) = backfill.position.clone();
    let values = values![&backfill.account, &from, PAGE_REPOSITORIES];
    let repositories = session.fetch_all(REPOSITORIES, values).await?;
    backfill.is_walked = (repositories.len() as u64) < PAGE_REPOSITORIES;
    let (mut queued, mut left) = (0, PAGE_IMAGES);
    for row in &repositories {
        let (id, name): (String, RepositoryName) = (row.text(0)?, row.parsed(1)?);
        if name.as_str() != from {
            after.clear();
        }
        // A rule for replicas means all the more what is none.
        let is_wanted = |path: Option<&ReplicationPath>| targets(rules, &name, path).contains_key(&backfill.place);
        backfill.position = (name.to_string(), String::new());
        if !is_wanted(None) {
            // Behind all digests of it.
            backfill.position.1 = "~".into();
            continue;
        }
        if after.is_empty() {
            settings(session, backfill, (&id, &name), rules, now).await?;
        }
        let images = session.fetch_all(IMAGES, values![&id, &after, left]).await?;
        for image in &images {
            let digest: Digest = image.parsed(0)?;
            let path: Option<ReplicationPath> = image.optional_parsed(1)?;
            if image.bool(2)? && is_wanted(path.as_ref()) {
                queued += queue(session, backfill, (&id, &name), &digest, path.as_ref(), now).await?;
            }
        }
        let is_full = images.len() as u64 >= left;
        left -= images.len() as u64;
        match images.last() {
            Some(last) if is_full => {
                backfill.position.1 = last.text(0)?;
                backfill.is_walked = false;
                break;
            }
            _ => backfill.position.1 = "~".into(),
        }
    }
    Ok(queued)
}

/// Queues the settings of a repository, where the rules want them there and an image of it has arrived: otherwise they follow the
/// first. They are no image, and not counted.
async fn settings(
    session: &mut Session,
    backfill: &BackfillRecord,
    (id, name): (&str, &RepositoryName),
    rules: &[ReplicationRule],
    now: Timestamp,
) -> Result<(), StoreError> {
    let wanted = targets(rules, name, None).remove(&backfill.place);
    if wanted.is_none_or(|wanted| wanted.settings.is_empty()) {
        return Ok(());
    }
    let place = &backfill.place;
    if !super::settings::has_arrived(session, id, place).await? {
        return Ok(());
    }
    let repository = RepositoryPath {
        account: backfill.account.clone(),
        name: name.clone(),
    };
    super::settings::queue(session, &repository, place, None, false, now).await?;
    super::settings::note(session, id, place, now).await
}

async fn queue(
    session: &mut Session,
    backfill: &BackfillRecord,
    (id, name): (&str, &RepositoryName),
    digest: &Digest,
    path: Option<&ReplicationPath>,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let (RegistryPlace { region, account }, text) = (&backfill.place, digest.to_string());
    let tags = session.fetch_all(TAGS, values![id, digest]).await?;
    let mut references = tags.iter().map(|row| row.text(0)).collect::<Result<Vec<_>, _>>()?;
    if references.is_empty() {
        references.push(text);
    }
    let mut queued = 0;
    for reference in &references {
        let values = values![&backfill.id, id, name, reference, digest, now];
        if session.fetch_optional(ADD_IMAGE, values).await?.is_none() {
            continue; // the tag has moved on since it was queued: what it is now goes with that
        }
        let path = path.map(ToString::to_string);
        let values = values![
            Uuid::now_v7().to_string(),
            &backfill.account,
            region.as_str(),
            account,
            name,
            reference,
            digest,
            path.as_deref(),
            now,
            &backfill.id
        ];
        session.execute(QUEUE, values).await?;
        session
            .execute(BEGIN, values![id, digest, region.as_str(), account, now])
            .await?;
        queued += 1;
    }
    Ok(queued)
}

fn failure(row: &Row, column: usize) -> Result<Option<ReplicationFailure>, StoreError> {
    let Some(code) = row.optional_text(column)? else {
        return Ok(None);
    };
    let reason = row.optional_text(column + 1)?.unwrap_or_default();
    Ok(Some(ReplicationFailure { code, reason }))
}

fn read(row: &Row) -> Result<BackfillRecord, StoreError> {
    Ok(BackfillRecord {
        id: row.text(0)?,
        account: row.parsed(1)?,
        place: RegistryPlace {
            region: row.parsed(2)?,
            account: row.parsed(3)?,
        },
        started_by: row.text(4)?,
        status: row.parsed(5)?,
        is_walked: row.bool(6)?,
        queued: row.size(7)?,
        completed: row.size(8)?,
        failed: row.size(9)?,
        skipped: row.size(10)?,
        failure: row.optional_text(11)?,
        started_at: row.time(12)?,
        updated_at: row.time(13)?,
        ended_at: row.optional_time(14)?,
        position: (row.text(15)?, row.text(16)?),
    })
}
