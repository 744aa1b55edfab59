// SPDX-License-Identifier: Apache-2.0
//! Deleting what is old: always from the start of the chain, and never what has no place in it yet. The key of the
//! deployment vouches for where the chain begins then, so that it can still be verified.

use jiff::Timestamp;

use super::chain::{ChainPosition, Claim};
use super::run::first_id;
use crate::session::{Session, corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

pub(crate) const OLDEST: &str = "
    SELECT id, sequence, records, hash FROM audit_event WHERE sequence > $1 ORDER BY sequence LIMIT $2";
const BASE: &str = "SELECT base_sequence FROM audit_chain WHERE id = 1";
/// Gives a row if nobody else has deleted meanwhile.
const MOVE_BASE: &str = "
    UPDATE audit_chain SET base_sequence = $2, base_hash = $3, base_mac = $4
     WHERE id = 1 AND base_sequence = $1
 RETURNING base_sequence";
const DELETE_ALSO: &str = "
    DELETE FROM audit_event_also WHERE id IN (SELECT id FROM audit_event WHERE sequence <= $1)";
const DELETE: &str = "DELETE FROM audit_event WHERE sequence <= $1";
const DELETE_ANCHORS: &str = "DELETE FROM audit_anchor WHERE sequence <= $1";

impl Store {
    /// Deletes records that are older than `before` from the start of the chain, at most `limit` rows of them; says
    /// how many records are gone.
    pub async fn expire_audit_events(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let Some(auditor) = self.auditor() else {
            return Err(corrupt("there is no auditor"));
        };
        let mut session = self.reader().await?;
        let base = session.fetch_one(BASE, values![]).await?.size(0)?;
        let rows = session.fetch_all(OLDEST, values![base, limit]).await?;
        drop(session);
        let cutoff = first_id(before);
        let mut to = None;
        for row in rows {
            if row.text(0)? >= cutoff {
                break;
            }
            let last = row.size(1)? + row.size(2)?.saturating_sub(1);
            to = Some(ChainPosition::read(last, &row.text(3)?)?);
        }
        let Some(to) = to else { return Ok(0) };
        let input = (base, to, auditor.mac(Claim::Base, &to));
        let is_done = self
            .write_committed(Durability::Full, input, |session, (base, to, mac)| {
                Box::pin(delete(session, *base, to, mac))
            })
            .await?;
        Ok(if is_done { to.sequence - base } else { 0 })
    }
}

async fn delete(session: &mut Session, base: u64, to: &ChainPosition, mac: &str) -> Result<bool, StoreError> {
    let hash = to.hash_text();
    let values = values![base, to.sequence, &hash, mac];
    if session.fetch_optional(MOVE_BASE, values).await?.is_none() {
        return Ok(false);
    }
    session.execute(DELETE_ALSO, values![to.sequence]).await?;
    session.execute(DELETE, values![to.sequence]).await?;
    session.execute(DELETE_ANCHORS, values![to.sequence]).await?;
    Ok(true)
}
