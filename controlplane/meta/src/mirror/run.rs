// SPDX-License-Identifier: Apache-2.0
//! Runs of mirrors: what each has seen, brought, skipped and removed.

use hythe_catalog::ImageRecord;
use hythe_model::{AccountId, Digest, RepositoryPath, RepositoryPrefix, Tag};
use jiff::{SignedDuration, Timestamp};

use super::note::{MirrorNote, MirrorNoteKind, NoteCounts, add_notes};
use super::record::{MirrorProgress, MirrorRunCause, MirrorRunRecord, MirrorRunStatus, columns, read};
use crate::repository::find_id;
use crate::repository_policy::new_version;
use crate::schedule::{SLACK, next_random, spread};
use crate::session::{Session, values};
use crate::upstream::{put_manifest, put_tag};
use crate::writer::Durability;
use crate::{Store, StoreError, audit};

/// The most runs of one rule that are remembered; with one more, the oldest is forgotten.
pub const MAX_MIRROR_RUNS: usize = 100;
/// For how long a run is remembered.
const KEPT_FOR: SignedDuration = SignedDuration::from_hours(90 * 24);
/// When a mirror is due again whose run could not go on, if that is sooner than its interval.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(15);
/// The longest that a run is put off: as long as other registries are left alone at most.
pub const MAX_MIRROR_PAUSE: SignedDuration = SignedDuration::from_hours(6);
/// The most failed imports that are taken note of at once.
const MAX_FAILURES_AT_ONCE: usize = 100;

/// A manifest that a run brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirroredManifest {
    /// The tag that points to it; `None` of what refers to an image.
    pub tag: Option<Tag>,
    /// The manifest.
    pub manifest: ImageRecord,
}

/// The images that a run waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportsAwaited {
    /// Those that are still to be fetched.
    pub waiting: u64,
    /// Those that are not waited for any longer, since they could not be fetched.
    pub failed: u64,
}

/// Why no run was started.
#[derive(Debug, thiserror::Error)]
pub enum StartMirrorRunError {
    /// The account has no rule for this prefix.
    #[error("the rule does not exist")]
    UnknownRule,
    /// By the rule nothing comes without a pull.
    #[error("the rule has no mirror")]
    NotConfigured,
    /// One is running: its id.
    #[error("run `{0}` is running")]
    Running(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const DUE: &str = "
    SELECT m.account_id, m.prefix, m.interval_ms
      FROM mirror m
      JOIN pull_through_cache_rule r ON r.account_id = m.account_id AND r.prefix = m.prefix
      JOIN account a ON a.id = m.account_id
     WHERE m.due_ms <= $1 AND NOT a.is_closed
     ORDER BY m.due_ms LIMIT $2";
const RESCHEDULE: &str = "UPDATE mirror SET due_ms = $3 WHERE account_id = $1 AND prefix = $2";
const HAS_RULE: &str = "SELECT 1 FROM pull_through_cache_rule WHERE account_id = $1 AND prefix = $2";
const SETTINGS: &str = "SELECT settings FROM mirror WHERE account_id = $1 AND prefix = $2";
const OPEN: &str = "SELECT id FROM mirror_run WHERE account_id = $1 AND prefix = $2 AND ended_ms IS NULL";
const INSERT: &str = concat!(
    "INSERT INTO mirror_run (id, account_id, prefix, cause, started_by, status, repository, tag, repositories, tags, created,
        moved, unchanged, skipped, failed, removed, referrers, attempts, started_ms, updated_ms, node, lease_ms, resume_ms)
     VALUES ($1, $2, $3, $4, $5, 'RUNNING', '', '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, $6, $6, '', 0, 0) RETURNING ",
    columns!()
);
/// By key, as all pages: the newest ones stay.
const OLDEST_KEPT: &str = "
    SELECT id FROM mirror_run WHERE account_id = $1 AND prefix = $2 ORDER BY id DESC LIMIT 1 OFFSET $3";
const FORGET: &str = "
    DELETE FROM mirror_run
     WHERE account_id = $1 AND prefix = $2 AND ended_ms IS NOT NULL AND (id <= $3 OR started_ms < $4)";
const SELECT: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM mirror_run WHERE id = $1 AND account_id = $2 AND prefix = $3"
);
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM mirror_run WHERE account_id = $1 AND prefix = $2 AND id < $3 ORDER BY id DESC LIMIT $4"
);
const WAITING: &str = "SELECT COUNT(*) FROM upstream_manifest WHERE mirror_run_id = $1";
const READY: &str = "
    SELECT run.id FROM mirror_run run JOIN account a ON a.id = run.account_id
     WHERE run.ended_ms IS NULL AND run.lease_ms <= $1 AND run.resume_ms <= $1 AND NOT a.is_closed
     ORDER BY run.resume_ms, run.id LIMIT $2";
const CLAIM: &str = concat!(
    "UPDATE mirror_run SET node = $2, lease_ms = $4, resume_ms = 0
      WHERE id = $1 AND ended_ms IS NULL AND lease_ms <= $3 AND resume_ms <= $3 RETURNING ",
    columns!()
);
/// Gives a row if the run is still this node's.
const RENEW: &str = "
    UPDATE mirror_run SET lease_ms = $3 WHERE id = $1 AND node = $2 AND ended_ms IS NULL RETURNING skipped, failed, removed";
const ADVANCE: &str = "
    UPDATE mirror_run SET repository = $3, tag = $4, repositories = $5, tags = $6, created = $7, moved = $8,
           unchanged = $9, skipped = $10, failed = $11, removed = $12, attempts = 0, updated_ms = $13, lease_ms = $14, referrers = $15
     WHERE id = $1 AND node = $2 AND ended_ms IS NULL RETURNING id";
const COUNT_FAILED: &str = "UPDATE mirror_run SET failed = failed + $2 WHERE id = $1";
const PUT_OFF: &str = "
    UPDATE mirror_run SET node = '', lease_ms = 0, resume_ms = $3, attempts = $4
     WHERE id = $1 AND node = $2 AND ended_ms IS NULL";
/// What a clock that was ahead put off.
const IS_LATE: &str = "
    SELECT 1 FROM mirror WHERE due_ms > $1 + interval_ms + interval_ms / 10
    UNION ALL SELECT 1 FROM mirror_run WHERE ended_ms IS NULL AND (lease_ms > $2 OR resume_ms > $3) LIMIT 1";
const RECALL_MIRRORS: &str = "UPDATE mirror SET due_ms = $2 WHERE due_ms > $1 + interval_ms + interval_ms / 10";
const RECALL_RUNS: &str = "
    UPDATE mirror_run SET node = '', lease_ms = 0, resume_ms = 0
     WHERE ended_ms IS NULL AND (lease_ms > $1 OR resume_ms > $2)";
const RELEASE: &str = "UPDATE mirror_run SET node = '', lease_ms = 0 WHERE node = $1 AND ended_ms IS NULL";
const RELEASE_ALL: &str = "UPDATE mirror_run SET node = '', lease_ms = 0 WHERE ended_ms IS NULL";
const END: &str = concat!(
    "UPDATE mirror_run SET status = $3, failure = $4, ended_ms = $5, updated_ms = $5
      WHERE id = $1 AND node = $2 AND ended_ms IS NULL RETURNING ",
    columns!()
);
/// What failed as a whole is not left for a whole interval.
const SOONER: &str = "UPDATE mirror SET due_ms = $3 WHERE account_id = $1 AND prefix = $2 AND due_ms > $3";
const SUCCEED: &str = "UPDATE mirror SET succeeded_ms = $3 WHERE account_id = $1 AND prefix = $2";
const LET_GO: &str = "UPDATE upstream_manifest SET mirror_run_id = NULL WHERE mirror_run_id = $1";
const FAILING: &str = "
    SELECT m.repository_id, r.name, m.digest, m.error,
           (SELECT MIN(t.tag) FROM upstream_tag t WHERE t.repository_id = m.repository_id AND t.digest = m.digest)
      FROM upstream_manifest m JOIN repository r ON r.id = m.repository_id
     WHERE m.mirror_run_id = $1 AND m.attempts >= $2 AND m.error IS NOT NULL
     ORDER BY r.name, m.digest LIMIT $3";
const LET_ONE_GO: &str = "UPDATE upstream_manifest SET mirror_run_id = NULL WHERE repository_id = $1 AND digest = $2";

impl Store {
    /// Makes runs of at most `limit` mirrors that are due, and says when these are due again: after their interval, give or
    /// take a tenth of it. A mirror of which a run is open gets no other one. Returns how many were due.
    pub async fn schedule_mirror_runs(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        // Most of the time there is nothing to write.
        if self.point(DUE, values![now, 1_i64]).await?.is_empty() {
            return Ok(0);
        }
        let seed = new_version();
        self.write(Durability::Full, (now, limit, seed), |session, (now, limit, seed)| {
            Box::pin(schedule(session, *now, *limit, *seed))
        })
        .await
    }

    /// Starts a run that somebody asks for; some node will take it.
    pub async fn start_mirror_run(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
        started_by: &str,
        now: Timestamp,
    ) -> Result<MirrorRunRecord, StartMirrorRunError> {
        let input = (account.clone(), prefix.clone(), started_by.to_owned(), now);
        self.write(Durability::Full, input, |session, (account, prefix, by, now)| {
            Box::pin(async move {
                if session
                    .fetch_optional(HAS_RULE, values![account, prefix.as_str()])
                    .await?
                    .is_none()
                {
                    return Err(StartMirrorRunError::UnknownRule);
                }
                if session
                    .fetch_optional(SETTINGS, values![account, prefix.as_str()])
                    .await?
                    .is_none()
                {
                    return Err(StartMirrorRunError::NotConfigured);
                }
                if let Some(open) = session.fetch_optional(OPEN, values![account, prefix.as_str()]).await? {
                    return Err(StartMirrorRunError::Running(open.text(0)?));
                }
                let cause = MirrorRunCause::Request;
                Ok(insert(session, account, prefix, cause, Some(by), *now).await?)
            })
        })
        .await
    }

    /// A run of a rule.
    pub async fn mirror_run(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
        id: &str,
    ) -> Result<Option<MirrorRunRecord>, StoreError> {
        let mut session = self.reader().await?;
        let row = session
            .fetch_optional(SELECT, values![id, account, prefix.as_str()])
            .await?;
        let Some(row) = row else { return Ok(None) };
        with_waiting(&mut session, read(&row)?).await.map(Some)
    }

    /// The runs of a rule before `before`, newest first, at most `limit` of them.
    pub async fn mirror_runs(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<MirrorRunRecord>, StoreError> {
        // Behind every id.
        let before = before.unwrap_or("~");
        let mut session = self.reader().await?;
        let rows = session
            .fetch_all(LIST, values![account, prefix.as_str(), before, limit])
            .await?;
        let mut runs = Vec::with_capacity(rows.len());
        for row in &rows {
            runs.push(with_waiting(&mut session, read(row)?).await?);
        }
        Ok(runs)
    }

    /// Takes runs that nobody works on, until `lease_until`.
    pub async fn claim_mirror_runs(
        &self,
        node: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<MirrorRunRecord>, StoreError> {
        let ready = self.point(READY, values![now, limit]).await?;
        let mut claimed = Vec::new();
        for row in ready {
            let id = row.text(0)?;
            let values = values![&id, node, now, lease_until];
            let rows = self.write_one(Durability::Full, CLAIM, values).await?;
            claimed.extend(rows.first().map(read).transpose()?);
        }
        Ok(claimed)
    }

    /// Keeps a run; `false` if it is no longer this node's, or has ended.
    pub async fn renew_mirror_run(&self, id: &str, node: &str, lease_until: Timestamp) -> Result<bool, StoreError> {
        let rows = self
            .write_one(Durability::Relaxed, RENEW, values![id, node, lease_until])
            .await?;
        Ok(!rows.is_empty())
    }

    /// Writes down how far a run is and what it has noted, in one step. `false` if it is no longer this node's, or has ended.
    pub async fn advance_mirror_run(
        &self,
        id: &str,
        node: &str,
        progress: &MirrorProgress,
        notes: Vec<MirrorNote>,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let input = (
            id.to_owned(),
            node.to_owned(),
            progress.clone(),
            notes,
            now,
            lease_until,
        );
        self.write(
            Durability::Relaxed,
            input,
            |session, (id, node, progress, notes, now, lease)| {
                Box::pin(async move {
                    // Before the counts change, they say how many notes there are.
                    let Some(counted) = session.fetch_optional(RENEW, values![id, node, *lease]).await? else {
                        return Ok(false);
                    };
                    let counted = NoteCounts::read(&counted)?;
                    add_notes(session, id, counted, notes, *now).await?;
                    let MirrorProgress {
                        repository,
                        tag,
                        counts,
                    } = progress;
                    let values = values![
                        id,
                        node,
                        repository,
                        tag,
                        counts.repositories,
                        counts.tags,
                        counts.created,
                        counts.moved,
                        counts.unchanged,
                        counts.skipped,
                        counts.failed,
                        counts.removed,
                        *now,
                        *lease,
                        counts.referrers
                    ];
                    Ok(session.fetch_optional(ADVANCE, values).await?.is_some())
                })
            },
        )
        .await
    }

    /// Records what tags point to at the other registry, and the manifests of those that have to come, which the run waits for
    /// from then on. False if the repository does not exist.
    pub async fn queue_mirrored(
        &self,
        path: &RepositoryPath,
        run_id: &str,
        mirrored: MirroredManifest,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let input = (path.clone(), run_id.to_owned(), mirrored, now);
        self.write_committed(Durability::Full, input, |session, (path, run, mirrored, now)| {
            Box::pin(async move {
                let Some(id) = find_id(session, path).await? else {
                    return Ok(false);
                };
                if let Some(tag) = &mirrored.tag {
                    put_tag(session, &id, tag, &mirrored.manifest.digest, *now).await?;
                }
                put_manifest(session, &id, &mirrored.manifest, Some(run), *now).await?;
                Ok(true)
            })
        })
        .await
    }

    /// Records that tags point to these images at the other registry, as they do here.
    pub async fn note_upstream_tags(
        &self,
        path: &RepositoryPath,
        tags: Vec<(Tag, Digest)>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.write_committed(
            Durability::Relaxed,
            (path.clone(), tags, now),
            |session, (path, tags, now)| {
                Box::pin(async move {
                    let Some(id) = find_id(session, path).await? else {
                        return Ok(());
                    };
                    for (tag, digest) in tags {
                        put_tag(session, &id, tag, digest, *now).await?;
                    }
                    Ok(())
                })
            },
        )
        .await
    }

    /// How many images a run waits for. Those that failed `attempts` times are noted and no longer waited for; they are still
    /// tried. `None` if the run is no longer this node's, or has ended.
    pub async fn await_mirrored(
        &self,
        id: &str,
        node: &str,
        attempts: u64,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<ImportsAwaited>, StoreError> {
        let input = (id.to_owned(), node.to_owned(), attempts, now, lease_until);
        self.write(
            Durability::Relaxed,
            input,
            |session, (id, node, attempts, now, lease)| {
                Box::pin(async move {
                    let Some(counted) = session.fetch_optional(RENEW, values![id, node, *lease]).await? else {
                        return Ok(None);
                    };
                    let values = values![id, *attempts, MAX_FAILURES_AT_ONCE];
                    let failing = session.fetch_all(FAILING, values).await?;
                    let mut notes = Vec::with_capacity(failing.len());
                    for row in &failing {
                        let digest = row.text(2)?;
                        notes.push(MirrorNote {
                            kind: MirrorNoteKind::Failed,
                            repository: row.text(1)?,
                            tag: Some(row.optional_text(4)?.unwrap_or_else(|| digest.clone())),
                            code: "IMAGE_NOT_FETCHED".into(),
                            reason: row.optional_text(3)?.unwrap_or_default(),
                        });
                        session.execute(LET_ONE_GO, values![row.text(0)?, digest]).await?;
                    }
                    if !notes.is_empty() {
                        add_notes(session, id, NoteCounts::read(&counted)?, &notes, *now).await?;
                        session.execute(COUNT_FAILED, values![id, notes.len()]).await?;
                    }
                    let waiting = session.fetch_one(WAITING, values![id]).await?.size(0)?;
                    Ok(Some(ImportsAwaited {
                        waiting,
                        failed: notes.len() as u64,
                    }))
                })
            },
        )
        .await
    }

    /// Gives a run back, for any node to go on with at `resume_at`.
    pub async fn put_off_mirror_run(
        &self,
        id: &str,
        node: &str,
        resume_at: Timestamp,
        attempts: u64,
    ) -> Result<(), StoreError> {
        let values = values![id, node, resume_at, attempts];
        self.write_one(Durability::Full, PUT_OFF, values).await.map(drop)
    }

    /// Has what waits for longer than anything does be due now: it was put off by a clock that was ahead. `lease`: for how long
    /// runs are taken at most.
    pub async fn recall_mirror_runs(&self, now: Timestamp, lease: SignedDuration) -> Result<(), StoreError> {
        let after = |time: SignedDuration| now.checked_add(time + SLACK).unwrap_or(Timestamp::MAX);
        let (due, leased, resumed) = (after(SignedDuration::ZERO), after(lease), after(MAX_MIRROR_PAUSE));
        let late = self.point(IS_LATE, values![due, leased, resumed]).await?;
        if late.is_empty() {
            return Ok(());
        }
        self.write_one(Durability::Full, RECALL_MIRRORS, values![due, now])
            .await?;
        self.write_one(Durability::Full, RECALL_RUNS, values![leased, resumed])
            .await
            .map(drop)
    }

    /// Gives back what `node` works on; without a node all of it, if this process is the only one.
    pub async fn release_mirror_runs(&self, node: Option<&str>) -> Result<(), StoreError> {
        match node {
            Some(node) => self
                .write_one(Durability::Relaxed, RELEASE, values![node])
                .await
                .map(drop),
            None if self.cache().is_none() => Ok(()),
            None => self
                .write_one(Durability::Relaxed, RELEASE_ALL, values![])
                .await
                .map(drop),
        }
    }

    /// Ends a run of this node; `None` if it is no longer its own, or has ended.
    pub async fn end_mirror_run(
        &self,
        id: &str,
        node: &str,
        status: MirrorRunStatus,
        failure: Option<&str>,
        now: Timestamp,
    ) -> Result<Option<MirrorRunRecord>, StoreError> {
        let failure = failure.map(str::to_owned);
        let input = (id.to_owned(), node.to_owned(), status, failure, now);
        self.write(Durability::Full, input, |session, (id, node, status, failure, now)| {
            Box::pin(async move {
                let values = values![id, node, status.as_str(), failure.as_deref(), *now];
                let Some(row) = session.fetch_optional(END, values).await? else {
                    return Ok(None);
                };
                let run = read(&row)?;
                session.execute(LET_GO, values![id]).await?;
                if *status == MirrorRunStatus::Complete {
                    let values = values![&run.account, run.prefix.as_str(), *now];
                    session.execute(SUCCEED, values).await?;
                }
                if *status == MirrorRunStatus::Failed {
                    let again = now.checked_add(AGAIN_AFTER).unwrap_or(Timestamp::MAX);
                    let values = values![&run.account, run.prefix.as_str(), again];
                    session.execute(SOONER, values).await?;
                }
                session.note_details(details(&run));
                Ok(Some(run))
            })
        })
        .await
    }
}

/// A run that goes on, with how many images it waits for.
async fn with_waiting(session: &mut Session, mut run: MirrorRunRecord) -> Result<MirrorRunRecord, StoreError> {
    if run.ended_at.is_none() {
        run.waiting = session.fetch_one(WAITING, values![&run.id]).await?.size(0)?;
    }
    Ok(run)
}

/// What the audit log is told of a run that has ended.
fn details(run: &MirrorRunRecord) -> serde_json::Value {
    let counts = &run.progress.counts;
    serde_json::json!({
        "ecrRepositoryPrefix": run.prefix,
        "mirrorRunId": run.id,
        "cause": run.cause.as_str(),
        "status": run.status.as_str(),
        "failureReason": run.failure,
        "repositories": counts.repositories,
        "tags": counts.tags,
        "created": counts.created,
        "moved": counts.moved,
        "unchanged": counts.unchanged,
        "skipped": counts.skipped,
        "failed": counts.failed,
        "removed": counts.removed,
        "referrers": counts.referrers,
    })
}

async fn schedule(session: &mut Session, now: Timestamp, limit: usize, seed: i64) -> Result<usize, StoreError> {
    let rows = session.fetch_all(DUE, values![now, limit]).await?;
    let mut random = seed.unsigned_abs();
    for row in &rows {
        let (account, prefix): (AccountId, RepositoryPrefix) = (row.parsed(0)?, row.parsed(1)?);
        let interval = SignedDuration::from_millis(row.int(2)?);
        random = next_random(random);
        let due = now.checked_add(spread(interval, random)).unwrap_or(Timestamp::MAX);
        session
            .execute(RESCHEDULE, values![&account, prefix.as_str(), due])
            .await?;
        let open = session.fetch_optional(OPEN, values![&account, prefix.as_str()]).await?;
        if open.is_none() {
            insert(session, &account, &prefix, MirrorRunCause::Schedule, None, now).await?;
        }
    }
    Ok(rows.len())
}

/// A new run, in the place of the oldest if there are too many.
async fn insert(
    session: &mut Session,
    account: &AccountId,
    prefix: &RepositoryPrefix,
    cause: MirrorRunCause,
    started_by: Option<&str>,
    now: Timestamp,
) -> Result<MirrorRunRecord, StoreError> {
    let values = values![account, prefix.as_str(), MAX_MIRROR_RUNS - 1];
    let oldest = session.fetch_optional(OLDEST_KEPT, values).await?;
    let oldest = oldest.map_or(Ok(String::new()), |row| row.text(0))?;
    let since = now.checked_sub(KEPT_FOR).unwrap_or(Timestamp::MIN);
    session
        .execute(FORGET, values![account, prefix.as_str(), &oldest, since])
        .await?;
    let id = audit::new_id(now).to_string();
    let values = values![&id, account, prefix.as_str(), cause.as_str(), started_by, now];
    read(&session.fetch_one(INSERT, values).await?)
}
