// SPDX-License-Identifier: Apache-2.0
//! How nodes share the work: what is due, who has it, and how it ends.

use hythe_model::{RepositoryPath, millis};
use jiff::{SignedDuration, Timestamp};

use super::policy;
use super::record::{LifecycleKind, LifecycleRunStatus, LifecycleTotals};
use super::run::{NewRun, insert, open};
use crate::audit::new_id;
use crate::repository_policy::new_version;
use crate::schedule::{SLACK, next_random, spread};
use crate::session::{Session, corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// A job that this node has for a while.
#[derive(Clone, Debug)]
pub struct ClaimedRun {
    /// Its id.
    pub id: String,
    /// The repository.
    pub path: RepositoryPath,
    pub(super) repository_id: String,
    /// Whether it acts.
    pub kind: LifecycleKind,
    /// The policy.
    pub document: String,
    /// The version of the stored policy that a run acts for.
    pub policy_version: Option<i64>,
    /// When that was last evaluated.
    pub last_evaluated_at: Option<Timestamp>,
    /// What to compare a preview of a proposed policy with; empty if no policy was stored.
    pub stored_document: Option<String>,
    /// How often it was begun, with this time.
    pub attempts: u64,
    /// What was done at earlier attempts.
    pub totals: LifecycleTotals,
    /// Random; who has another one has lost the job.
    pub(super) lease: i64,
}

/// How a job ended.
#[derive(Clone, Debug)]
pub struct FinishedRun {
    /// How.
    pub status: LifecycleRunStatus,
    /// When.
    pub at: Timestamp,
    /// The time for which images were evaluated.
    pub evaluated_at: Option<Timestamp>,
    /// Its numbers; `None` leaves those that were written with the batches.
    pub totals: Option<LifecycleTotals>,
    /// Why it failed.
    pub failure: Option<String>,
    /// For the audit log: what to tell of it.
    pub details: Option<serde_json::Value>,
}

pub(crate) const DUE: &str = "
    SELECT p.repository_id, r.account_id, r.name, p.document, p.version
      FROM lifecycle_policy p JOIN repository r ON r.id = p.repository_id
     WHERE p.due_ms <= $1 ORDER BY p.due_ms LIMIT $2";
const RESCHEDULE: &str = "UPDATE lifecycle_policy SET due_ms = $2 WHERE repository_id = $1";
/// Policies, runs and previews that a clock put off that was ahead.
const IS_LATE: &str = "
    SELECT 1 FROM lifecycle_policy WHERE due_ms > $1
     UNION ALL SELECT 1 FROM lifecycle_run WHERE finished_ms IS NULL AND kind = 'run' AND ready_ms > $2
     UNION ALL SELECT 1 FROM lifecycle_run WHERE finished_ms IS NULL AND kind = 'preview' AND ready_ms > $2
     LIMIT 1";
const RECALL_POLICIES: &str = "UPDATE lifecycle_policy SET due_ms = $2 WHERE due_ms > $1";
const RECALL_RUNS: &str = "UPDATE lifecycle_run SET ready_ms = $2 WHERE finished_ms IS NULL AND ready_ms > $1";
pub(crate) const READY: &str = "
    SELECT id FROM lifecycle_run
     WHERE finished_ms IS NULL AND kind = $3 AND ready_ms <= $1 ORDER BY ready_ms, id LIMIT $2";
const CLAIM: &str = "
    UPDATE lifecycle_run SET status = 'running', ready_ms = $2, lease = $3, attempts = attempts + 1
     WHERE id = $4 AND finished_ms IS NULL AND ready_ms <= $1
 RETURNING repository_id, kind, document, stored_document, attempts, totals";
const PATH: &str = "SELECT account_id, name FROM repository WHERE id = $1";
const TAKE_POLICY: &str = "UPDATE lifecycle_run SET document = $2, policy_version = $3 WHERE id = $1";
/// Gives a row if the job is still this node's.
pub(super) const RENEW: &str = "
    UPDATE lifecycle_run SET ready_ms = $3 WHERE id = $1 AND lease = $2 AND finished_ms IS NULL
 RETURNING id";
const RETRY: &str = "
    UPDATE lifecycle_run SET status = 'pending', ready_ms = $3, lease = 0, failure = $4
     WHERE id = $1 AND lease = $2 AND finished_ms IS NULL";
const FINISH: &str = "
    UPDATE lifecycle_run
       SET status = $3, finished_ms = $4, evaluated_ms = COALESCE($5, evaluated_ms), totals = COALESCE($6, totals),
           failure = $7
     WHERE id = $1 AND lease = $2 AND finished_ms IS NULL
 RETURNING id";
const EVALUATED: &str = "UPDATE lifecycle_policy SET last_evaluated_ms = $3 WHERE repository_id = $1 AND version = $2";
/// Of runs that it was time for and that changed nothing, only the last is kept. Their pages go with them.
const FORGET_IDLE: &str = "
    DELETE FROM lifecycle_run
     WHERE repository_id = $1 AND kind = 'run' AND id < $2 AND status = 'complete' AND requested_by IS NULL AND acted = 0";
pub(crate) const OLD: &str = "
    SELECT id, kind FROM lifecycle_run
     WHERE finished_ms IS NOT NULL AND status <> 'expired' AND kind = $3 AND finished_ms < $1
     ORDER BY finished_ms LIMIT $2";
const DELETE_RUN: &str = "DELETE FROM lifecycle_run WHERE id = $1";
const DELETE_PAGES: &str = "DELETE FROM lifecycle_run_page WHERE run_id = $1";
const EXPIRE: &str = "UPDATE lifecycle_run SET status = 'expired', totals = '{}' WHERE id = $1";
const PUT_PAGE: &str = "
    INSERT INTO lifecycle_run_page (run_id, page, images) VALUES ($1, $2, $3)
    ON CONFLICT (run_id, page) DO UPDATE SET images = excluded.images";
const COUNT_OPEN: &str = "SELECT COUNT(*) FROM lifecycle_run WHERE finished_ms IS NULL";

impl Store {
    /// Makes runs of at most `limit` policies that are due, and says when these are due again: after `period`, give or
    /// take a tenth of it, so that what was due at the same time spreads out. Returns how many policies were due.
    pub async fn schedule_lifecycle_runs(
        &self,
        now: Timestamp,
        period: SignedDuration,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let due = self.reader().await?.fetch_all(DUE, values![now, 1_i64]).await?;
        // Most of the time there is nothing to write.
        if due.is_empty() {
            return Ok(0);
        }
        let seed = new_version();
        self.write(Durability::Full, (now, period, limit, seed), |session, input| {
            let (now, period, limit, seed) = *input;
            Box::pin(schedule(session, now, period, limit, seed))
        })
        .await
    }

    /// Has what waits for longer than anything does not wait until the clock that put it off is caught up with: policies are
    /// due a `period` from now, as new ones are, and runs and previews are ready now that would be later than
    /// `longest_wait` from now.
    pub async fn recall_lifecycle_runs(
        &self,
        now: Timestamp,
        period: SignedDuration,
        longest_wait: SignedDuration,
    ) -> Result<(), StoreError> {
        let after = |time: SignedDuration| now.checked_add(time).unwrap_or(Timestamp::MAX);
        let (due, ready) = (after(period + period / 10 + SLACK), after(longest_wait + SLACK));
        if self.point(IS_LATE, values![due, ready]).await?.is_empty() {
            return Ok(());
        }
        self.write_one(Durability::Full, RECALL_POLICIES, values![due, after(period)])
            .await?;
        self.write_one(Durability::Full, RECALL_RUNS, values![ready, now])
            .await
            .map(drop)
    }

    /// Takes a job that is ready, until `lease_until`. A run takes the policy that is stored now; if there is none any
    /// more, the run ends.
    pub async fn claim_lifecycle_run(
        &self,
        kind: LifecycleKind,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<ClaimedRun>, StoreError> {
        // More than one, as other nodes may be about to take the first.
        const CANDIDATES: usize = 8;
        let values = values![now, CANDIDATES, kind.as_str()];
        let ready = self.reader().await?.fetch_all(READY, values).await?;
        for row in ready {
            let input = (row.text(0)?, now, lease_until, new_version());
            let claimed = self
                .write(Durability::Full, input, |session, (id, now, lease_until, lease)| {
                    Box::pin(claim(session, id, *now, *lease_until, *lease))
                })
                .await?;
            if claimed.is_some() {
                return Ok(claimed);
            }
        }
        Ok(None)
    }

    /// Writes one page of images of a preview; `false` if the job is not this node's any more.
    pub async fn put_lifecycle_preview_page(
        &self,
        run: &ClaimedRun,
        page: i64,
        images: String,
        lease_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let input = (run.id.clone(), run.lease, page, images, lease_until);
        self.write(
            Durability::Full,
            input,
            |session, (id, lease, page, images, lease_until)| {
                Box::pin(async move {
                    let is_held = renew(session, id, *lease, *lease_until).await?;
                    if is_held {
                        session.execute(PUT_PAGE, values![id, *page, images]).await?;
                    }
                    Ok(is_held)
                })
            },
        )
        .await
    }

    /// Makes the lease of a job longer, and tells the audit log `details` if there are any; `false` if the job is not this
    /// node's any more.
    pub async fn keep_lifecycle_run(
        &self,
        run: &ClaimedRun,
        lease_until: Timestamp,
        details: Option<serde_json::Value>,
    ) -> Result<bool, StoreError> {
        let input = (run.id.clone(), run.lease, lease_until, details);
        self.write(Durability::Full, input, |session, (id, lease, lease_until, details)| {
            Box::pin(async move {
                let is_held = renew(session, id, *lease, *lease_until).await?;
                if let Some(details) = details.as_ref().filter(|_| is_held) {
                    session.note_details(details.clone());
                }
                Ok(is_held)
            })
        })
        .await
    }

    /// Gives a job back that could not be done, to be tried again at `ready`.
    pub async fn retry_lifecycle_run(
        &self,
        run: &ClaimedRun,
        ready: Timestamp,
        failure: &str,
    ) -> Result<(), StoreError> {
        let values = values![&run.id, run.lease, ready, failure];
        self.write_one(Durability::Full, RETRY, values).await.map(drop)
    }

    /// Ends a job; `false` if it is not this node's any more.
    pub async fn finish_lifecycle_run(&self, run: &ClaimedRun, finished: FinishedRun) -> Result<bool, StoreError> {
        self.write(Durability::Full, (run.clone(), finished), |session, (run, finished)| {
            Box::pin(finish(session, run, finished))
        })
        .await
    }

    /// Forgets at most `limit` runs that ended before `runs_before`, and what at most as many previews showed that
    /// ended before `previews_before`. Returns how many.
    pub async fn prune_lifecycle_runs(
        &self,
        runs_before: Timestamp,
        previews_before: Timestamp,
        limit: usize,
    ) -> Result<usize, StoreError> {
        let mut count = 0;
        for (kind, before) in [
            (LifecycleKind::Run, runs_before),
            (LifecycleKind::Preview, previews_before),
        ] {
            let values = values![before, limit, kind.as_str()];
            let old = self.reader().await?.fetch_all(OLD, values).await?;
            for row in old {
                count += 1;
                let id = row.text(0)?;
                let prune = self.write_committed(Durability::Full, (id, kind), |session, (id, kind)| {
                    Box::pin(async move {
                        session.execute(DELETE_PAGES, values![id]).await?;
                        let statement = match kind {
                            LifecycleKind::Run => DELETE_RUN,
                            LifecycleKind::Preview => EXPIRE,
                        };
                        session.execute(statement, values![id]).await.map(drop)
                    })
                });
                prune.await?;
            }
        }
        Ok(count)
    }

    /// How many runs and previews wait or are under way.
    pub async fn open_lifecycle_runs(&self) -> Result<u64, StoreError> {
        self.reader().await?.fetch_one(COUNT_OPEN, values![]).await?.size(0)
    }
}

async fn schedule(
    session: &mut Session,
    now: Timestamp,
    period: SignedDuration,
    limit: usize,
    seed: i64,
) -> Result<usize, StoreError> {
    let rows = session.fetch_all(DUE, values![now, limit]).await?;
    let mut random = seed.unsigned_abs();
    for row in &rows {
        let repository = row.text(0)?;
        random = next_random(random);
        let due = now.checked_add(spread(period, random)).unwrap_or(Timestamp::MAX);
        session.execute(RESCHEDULE, values![&repository, due]).await?;
        let path = RepositoryPath {
            account: row.parsed(1)?,
            name: row.parsed(2)?,
        };
        // It will look at the present state, so that there is nothing to add.
        if open(session, &path, &repository, LifecycleKind::Run).await?.is_some() {
            continue;
        }
        let (id, document) = (new_id(now).to_string(), row.text(3)?);
        let new = NewRun {
            id: &id,
            repository: &repository,
            kind: LifecycleKind::Run,
            requested_by: None,
            document: &document,
            policy_version: Some(row.int(4)?),
            stored_document: None,
            at: now,
        };
        insert(session, &new).await?;
    }
    Ok(rows.len())
}

async fn claim(
    session: &mut Session,
    id: &str,
    now: Timestamp,
    lease_until: Timestamp,
    lease: i64,
) -> Result<Option<ClaimedRun>, StoreError> {
    let Some(row) = session
        .fetch_optional(CLAIM, values![now, lease_until, lease, id])
        .await?
    else {
        return Ok(None);
    };
    let (repository_id, kind) = (row.text(0)?, row.text(1)?);
    let path = session.fetch_one(PATH, values![&repository_id]).await?;
    let kind = LifecycleKind::parse(&kind).ok_or_else(|| corrupt(format!("`{kind}` is no kind of run")))?;
    let mut claimed = ClaimedRun {
        id: id.to_owned(),
        path: RepositoryPath {
            account: path.parsed(0)?,
            name: path.parsed(1)?,
        },
        repository_id,
        kind,
        document: row.text(2)?,
        policy_version: None,
        last_evaluated_at: None,
        stored_document: row.optional_text(3)?,
        attempts: row.size(4)?,
        totals: serde_json::from_str(&row.text(5)?)?,
        lease,
    };
    if kind == LifecycleKind::Preview {
        return Ok(Some(claimed));
    }
    let Some(policy) = policy::find(session, &claimed.repository_id).await? else {
        let status = LifecycleRunStatus::Superseded.as_str();
        let none = (None::<i64>, None::<&str>);
        session
            .execute(FINISH, values![id, lease, status, now, none.0, none.1, none.1])
            .await?;
        return Ok(None);
    };
    let values = values![id, &policy.document.text, policy.document.version];
    session.execute(TAKE_POLICY, values).await?;
    claimed.document = policy.document.text;
    claimed.policy_version = Some(policy.document.version);
    claimed.last_evaluated_at = policy.last_evaluated_at;
    Ok(Some(claimed))
}

/// Makes a lease longer; `false` if the job is not this node's any more.
pub(super) async fn renew(
    session: &mut Session,
    id: &str,
    lease: i64,
    lease_until: Timestamp,
) -> Result<bool, StoreError> {
    let row = session.fetch_optional(RENEW, values![id, lease, lease_until]).await?;
    Ok(row.is_some())
}

async fn finish(session: &mut Session, run: &ClaimedRun, finished: &FinishedRun) -> Result<bool, StoreError> {
    let totals = finished.totals.as_ref().map(serde_json::to_string).transpose()?;
    let values = values![
        &run.id,
        run.lease,
        finished.status.as_str(),
        finished.at,
        finished.evaluated_at.map(millis),
        totals.as_deref(),
        finished.failure.as_deref()
    ];
    if session.fetch_optional(FINISH, values).await?.is_none() {
        return Ok(false);
    }
    if let (LifecycleKind::Run, LifecycleRunStatus::Complete, Some(version), Some(at)) =
        (run.kind, finished.status, run.policy_version, finished.evaluated_at)
    {
        let values = values![&run.repository_id, version, at];
        session.execute(EVALUATED, values).await?;
        session
            .execute(FORGET_IDLE, values![&run.repository_id, &run.id])
            .await?;
    }
    if let Some(details) = &finished.details {
        session.note_details(details.clone());
    }
    Ok(true)
}
