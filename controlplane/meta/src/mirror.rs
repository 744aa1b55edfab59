// SPDX-License-Identifier: Apache-2.0
//! Mirrors: what comes by a pull-through cache rule on a schedule, and the runs that bring it.
//!
//! A run is a row that a node takes for a while (a lease), and whose every further step checks that the lease is still that
//! node's and the run still open: it ends with its rule, and with the settings that it began with.

mod note;
mod record;
mod run;

use hythe_model::{AccountId, MirrorSettings, RepositoryPrefix, millis};
use jiff::Timestamp;

use crate::session::{Row, Session, corrupt, values};
use crate::{Store, StoreError};

pub use note::{MAX_MIRROR_NOTES, MirrorNote, MirrorNoteKind, MirrorRunNote};
pub use record::{MirrorCounts, MirrorProgress, MirrorRunCause, MirrorRunRecord, MirrorRunStatus};
pub use run::{ImportsAwaited, MAX_MIRROR_PAUSE, MAX_MIRROR_RUNS, MirroredManifest, StartMirrorRunError};

/// What comes by a rule without a pull.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorRecord {
    /// What, and how often.
    pub settings: MirrorSettings,
    /// When that was set.
    pub set_at: Timestamp,
    /// When the next run is due.
    pub due_at: Timestamp,
    /// When the last run ended that brought everything.
    pub succeeded_at: Option<Timestamp>,
}

impl MirrorRecord {
    /// One that is set now, and due at once.
    #[must_use]
    pub fn new(settings: MirrorSettings, now: Timestamp) -> Self {
        Self {
            settings,
            set_at: now,
            due_at: now,
            succeeded_at: None,
        }
    }

    /// What a row has from column `at` on, if it has one.
    pub(crate) fn read(row: &Row, at: usize) -> Result<Option<Self>, StoreError> {
        let Some(text) = row.optional_text(at)? else {
            return Ok(None);
        };
        Ok(Some(Self {
            settings: read_settings(&text)?,
            set_at: row.time(at + 1)?,
            due_at: row.time(at + 2)?,
            succeeded_at: row.optional_time(at + 3)?,
        }))
    }
}

const PUT: &str = "
    INSERT INTO mirror (account_id, prefix, settings, interval_ms, set_ms, due_ms) VALUES ($1, $2, $3, $5, $4, $4)
    ON CONFLICT (account_id, prefix) DO UPDATE
       SET settings = excluded.settings, interval_ms = excluded.interval_ms, set_ms = excluded.set_ms, due_ms = excluded.due_ms";
const REMOVE: &str = "DELETE FROM mirror WHERE account_id = $1 AND prefix = $2";
const HASTEN: &str = "UPDATE mirror SET due_ms = $3 WHERE account_id = $1 AND prefix = $2 AND due_ms > $3";
const RESUME: &str = "UPDATE mirror_run SET resume_ms = 0 WHERE account_id = $1 AND prefix = $2 AND ended_ms IS NULL";
const CANCEL: &str = "
    UPDATE mirror_run SET status = 'CANCELLED', failure = $3, ended_ms = $4, updated_ms = $4
     WHERE account_id = $1 AND prefix = $2 AND ended_ms IS NULL";
const LET_GO: &str = "
    UPDATE upstream_manifest SET mirror_run_id = NULL
     WHERE mirror_run_id IN (SELECT id FROM mirror_run WHERE account_id = $1 AND prefix = $2 AND ended_ms IS NULL)";
const FORGET_RUNS: &str = "DELETE FROM mirror_run WHERE account_id = $1 AND prefix = $2";
/// How old the success is that is the longest ago; of a mirror that never succeeded, since when it is set.
const LAGGARD: &str = "
    SELECT MIN(COALESCE(m.succeeded_ms, m.set_ms))
      FROM mirror m JOIN pull_through_cache_rule r ON r.account_id = m.account_id AND r.prefix = m.prefix
      JOIN account a ON a.id = m.account_id
     WHERE NOT a.is_closed";

impl Store {
    /// For how many milliseconds the mirror that is the furthest behind has not been brought up to date; 0 without mirrors.
    pub async fn mirror_lag_millis(&self, now: Timestamp) -> Result<u64, StoreError> {
        let row = self.reader().await?.fetch_one(LAGGARD, values![]).await?;
        let since = row.optional_int(0)?.unwrap_or_else(|| millis(now));
        Ok(u64::try_from(millis(now) - since).unwrap_or(0))
    }
}

/// Sets what comes by a rule; a run is due at once, and one that is open ends.
pub(crate) async fn put(
    session: &mut Session,
    account: &AccountId,
    prefix: &RepositoryPrefix,
    settings: &MirrorSettings,
    now: Timestamp,
) -> Result<(), StoreError> {
    let text = serde_json::to_string(settings).map_err(corrupt)?;
    let interval = i64::try_from(settings.interval_minutes).unwrap_or(i64::MAX / 60_000) * 60_000;
    session
        .execute(PUT, values![account, prefix.as_str(), text.as_str(), now, interval])
        .await?;
    cancel(session, account, prefix, "the mirror was changed", now).await
}

/// Lets nothing come any more without a pull; a run that is open ends.
pub(crate) async fn remove(
    session: &mut Session,
    account: &AccountId,
    prefix: &RepositoryPrefix,
    now: Timestamp,
) -> Result<(), StoreError> {
    session.execute(REMOVE, values![account, prefix.as_str()]).await?;
    cancel(session, account, prefix, "the mirror was removed", now).await
}

/// Lets a run be due now, and one that waits go on: what was in the way may be gone.
pub(crate) async fn hasten(
    session: &mut Session,
    account: &AccountId,
    prefix: &RepositoryPrefix,
    now: Timestamp,
) -> Result<(), StoreError> {
    session.execute(HASTEN, values![account, prefix.as_str(), now]).await?;
    session.execute(RESUME, values![account, prefix.as_str()]).await?;
    Ok(())
}

/// Forgets what belonged to a rule.
pub(crate) async fn forget(
    session: &mut Session,
    account: &AccountId,
    prefix: &RepositoryPrefix,
) -> Result<(), StoreError> {
    session.execute(REMOVE, values![account, prefix.as_str()]).await?;
    session.execute(LET_GO, values![account, prefix.as_str()]).await?;
    session.execute(FORGET_RUNS, values![account, prefix.as_str()]).await?;
    Ok(())
}

async fn cancel(
    session: &mut Session,
    account: &AccountId,
    prefix: &RepositoryPrefix,
    why: &str,
    now: Timestamp,
) -> Result<(), StoreError> {
    session.execute(LET_GO, values![account, prefix.as_str()]).await?;
    session
        .execute(CANCEL, values![account, prefix.as_str(), why, now])
        .await?;
    Ok(())
}

fn read_settings(text: &str) -> Result<MirrorSettings, StoreError> {
    serde_json::from_str(text).map_err(corrupt)
}
