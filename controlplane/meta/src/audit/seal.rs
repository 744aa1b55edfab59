// SPDX-License-Identifier: Apache-2.0
//! Giving records their place in the chain.
//!
//! The hashes are computed outside of the transaction, from where the chain ended just before; if another node has
//! moved the end meanwhile, they are computed again. So the one row that all nodes share is locked only while the
//! rows are written.

use hythe_model::millis;
use jiff::Timestamp;

use super::answers::Known;
use super::append::{NewAuditRecords, Sealed, insert};
use super::chain::{Auditor, ChainPosition, Claim};
use super::record::answered;
use super::run::Run;
use crate::session::{Session, corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most rows of changes that one pass seals.
pub const MAX_UNSEALED_BATCH: usize = 512;
/// How often a pass starts again because another node was faster.
const MAX_ATTEMPTS: u32 = 16;
/// The longest time without an anchor while records come, in milliseconds.
const ANCHOR_INTERVAL_MILLIS: i64 = 60_000;

/// What a pass has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealing {
    /// Where the chain ends now.
    pub head: ChainPosition,
    /// How many records of changes were sealed.
    pub changes: usize,
    /// Whether there may be more of them.
    pub has_more: bool,
}

/// In no order: either of two indexes may give them, and only one of these is sorted by time.
pub(crate) const UNSEALED: &str = "
    SELECT id, shared, members FROM audit_event WHERE sequence IS NULL LIMIT $1";
const HEAD: &str = "SELECT head_sequence, head_hash FROM audit_chain WHERE id = 1";
/// Gives a row if the chain still ends where it did.
const MOVE_HEAD: &str = "
    UPDATE audit_chain SET head_sequence = $3, head_hash = $4, head_mac = $5
     WHERE id = 1 AND head_sequence = $1 AND head_hash = $2
 RETURNING head_sequence";
const SEAL: &str = "
    UPDATE audit_event SET sequence = $2, previous_hash = $3, hash = $4, shared = $5 WHERE id = $1 AND sequence IS NULL";
const LAST_ANCHOR: &str = "SELECT made_ms FROM audit_anchor ORDER BY made_ms DESC LIMIT 1";
const ADD_ANCHOR: &str = "
    INSERT INTO audit_anchor (sequence, hash, made_ms, mac) VALUES ($1, $2, $3, $4)
    ON CONFLICT (sequence) DO NOTHING";

/// Why the end of the chain was not moved.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error("another node has moved the end of the chain")]
    Moved,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a pass writes.
struct Pass {
    from: ChainPosition,
    to: ChainPosition,
    head_mac: String,
    anchor: Option<(String, Timestamp)>,
    changes: Vec<(String, String, Sealed)>,
    records: Vec<(NewAuditRecords, Sealed)>,
}

impl Store {
    /// Writes `records`, and gives them and the changes that wait for it their places in the chain. The records are
    /// durable against the end of the process at once, and against a power cut after the next change or the next
    /// minute at the latest.
    pub async fn seal_audit_events(&self, records: &[NewAuditRecords], now: Timestamp) -> Result<Sealing, StoreError> {
        let Some(auditor) = self.auditor() else {
            return Err(corrupt("there is no auditor"));
        };
        for _ in 0..MAX_ATTEMPTS {
            let mut session = self.reader().await?;
            let row = session.fetch_one(HEAD, values![]).await?;
            let from = ChainPosition::read(row.size(0)?, &row.text(1)?)?;
            let rows = session.fetch_all(UNSEALED, values![MAX_UNSEALED_BATCH]).await?;
            let is_full_batch = rows.len() == MAX_UNSEALED_BATCH;
            let mut waiting = Vec::with_capacity(rows.len());
            for row in &rows {
                let (id, shared) = (row.text(0)?, row.text(1)?);
                let shared = match auditor.answers.known(&id) {
                    Known::Soon => continue,
                    Known::Told(answer) => answered(&shared, &answer).unwrap_or(shared),
                    Known::Never => shared,
                };
                waiting.push((id, shared, row.text(2)?));
            }
            if waiting.is_empty() && records.is_empty() {
                return Ok(Sealing {
                    head: from,
                    changes: 0,
                    has_more: false,
                });
            }
            waiting.sort_unstable();
            let is_anchor_due = session
                .fetch_optional(LAST_ANCHOR, values![])
                .await?
                .map(|row| row.int(0))
                .transpose()?
                .is_none_or(|last| !(0..ANCHOR_INTERVAL_MILLIS).contains(&(millis(now) - last)));
            drop(session);
            let changes = waiting.len();
            let pass = prepare(
                auditor.clone(),
                from,
                waiting,
                records.to_vec(),
                is_anchor_due.then_some(now),
            )
            .await?;
            let head = pass.to;
            let sealed: Vec<_> = pass.changes.iter().map(|(id, ..)| id.clone()).collect();
            let durability = if pass.anchor.is_some() {
                Durability::Full
            } else {
                Durability::Relaxed
            };
            let written = self.write_committed(durability, pass, |session, pass| Box::pin(write(session, pass)));
            match written.await {
                Ok(()) => {
                    auditor.answers.forget(sealed.iter().map(String::as_str));
                    return Ok(Sealing {
                        head,
                        changes,
                        has_more: is_full_batch,
                    });
                }
                Err(MoveError::Moved) => {}
                Err(MoveError::Store(error)) => return Err(error),
            }
        }
        Err(StoreError::Busy)
    }
}

const IS_WRITTEN: &str = "SELECT id FROM audit_event WHERE id = $1";

impl Store {
    /// Leaves only those that are not there.
    pub async fn forget_written_audit_records(&self, records: &mut Vec<NewAuditRecords>) -> Result<(), StoreError> {
        let mut session = self.reader().await?;
        let mut missing = Vec::new();
        for record in records.iter() {
            if session
                .fetch_optional(IS_WRITTEN, values![&record.0.id])
                .await?
                .is_none()
            {
                missing.push(record.clone());
            }
        }
        *records = missing;
        Ok(())
    }
}

/// Computes the hashes, on a thread on which that holds nobody up.
async fn prepare(
    auditor: Auditor,
    from: ChainPosition,
    waiting: Vec<(String, String, String)>,
    records: Vec<NewAuditRecords>,
    anchor_at: Option<Timestamp>,
) -> Result<Pass, StoreError> {
    let work = move || {
        let mut to = from;
        let mut seal = |run: &Run| {
            let previous = to;
            to = previous.after_run(run);
            Sealed { previous, last: to }
        };
        let changes = waiting
            .into_iter()
            .map(|(id, shared, members)| {
                let sealed = seal(&Run::read(&id, &shared, &members)?);
                Ok::<_, StoreError>((id, shared, sealed))
            })
            .collect::<Result<_, _>>()?;
        let records = records
            .into_iter()
            .map(|new| {
                let sealed = match &new.0.run {
                    Some(run) => seal(run),
                    None => return Err(corrupt("a record of the audit log is no JSON object")),
                };
                Ok((new, sealed))
            })
            .collect::<Result<_, _>>()?;
        Ok(Pass {
            from,
            to,
            head_mac: auditor.mac(Claim::Head, &to),
            anchor: anchor_at.map(|at| (auditor.mac(Claim::Anchor, &to), at)),
            changes,
            records,
        })
    };
    tokio::task::spawn_blocking(work).await.map_err(corrupt)?
}

async fn write(session: &mut Session, pass: &Pass) -> Result<(), MoveError> {
    let (from, to) = (&pass.from, &pass.to);
    let (from_hash, to_hash) = (from.hash_text(), to.hash_text());
    let values = values![from.sequence, &from_hash, to.sequence, &to_hash, &pass.head_mac];
    if session.fetch_optional(MOVE_HEAD, values).await?.is_none() {
        return Err(MoveError::Moved);
    }
    for (id, shared, sealed) in &pass.changes {
        let (previous, hash) = (sealed.previous.hash_text(), sealed.last.hash_text());
        let values = values![id, sealed.previous.sequence + 1, &previous, &hash, shared];
        if session.execute(SEAL, values).await? != 1 {
            return Err(corrupt("a record of the audit log has gone before it was sealed").into());
        }
    }
    insert(session, pass.records.iter().map(|(new, sealed)| (new, Some(*sealed)))).await?;
    if let Some((mac, at)) = &pass.anchor {
        session
            .execute(ADD_ANCHOR, values![to.sequence, &to_hash, *at, mac])
            .await?;
    }
    Ok(())
}
