// SPDX-License-Identifier: Apache-2.0
//! Checking the chain, a part at a time: memory does not grow with the log.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use serde_json::Value;

use super::also;
use super::chain::{Auditor, ChainPosition, Claim};
use super::record::Columns;
use super::run::Run;
use crate::session::{Row, Session, corrupt, values};
use crate::{Store, StoreError};

/// How many rows are read at once.
const ROWS: usize = 128;

/// The first thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditFinding {
    /// The number of the first record that is not as it was, or is not there.
    pub sequence: u64,
    /// What is wrong with it, for people.
    pub reason: String,
}

/// How far a check has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditVerification {
    /// Where this part began.
    pub from: ChainPosition,
    /// Up to here all is as it was.
    pub through: ChainPosition,
    /// How many records this part has checked.
    pub records: u64,
    /// What is wrong first.
    pub finding: Option<AuditFinding>,
    /// Whether the end of the chain was reached.
    pub is_complete: bool,
}

pub(crate) const ROWS_FROM: &str = "
    SELECT id, account_id, principal, event_name, repository, digest, error_code, records, shared, members,
           sequence, previous_hash, hash, (SELECT COUNT(*) FROM audit_event_also a WHERE a.id = e.id)
      FROM audit_event e WHERE sequence > $1 ORDER BY sequence LIMIT $2";
/// What a row is found by besides its columns.
const ALSO: &str = "SELECT value FROM audit_event_also WHERE id = $1";
pub(crate) const ANCHORS: &str = "
    SELECT sequence, hash, mac FROM audit_anchor WHERE sequence > $1 AND sequence <= $2 ORDER BY sequence";
const CHAIN: &str = "
    SELECT base_sequence, base_hash, base_mac, head_sequence, head_hash, head_mac FROM audit_chain WHERE id = 1";

/// Where the chain begins and ends, as its row says.
struct Ends {
    base: ChainPosition,
    base_mac: String,
    head: ChainPosition,
    head_mac: String,
}

impl Ends {
    async fn read(session: &mut Session) -> Result<Result<Self, AuditFinding>, StoreError> {
        let row = session.fetch_optional(CHAIN, values![]).await?;
        let Some(row) = row else {
            return Ok(Err(finding(
                1,
                "the row that says where the chain begins and ends is gone",
            )));
        };
        let position = |sequence, hash: &str| ChainPosition::read(sequence, hash).ok();
        let (base, head) = (
            position(row.size(0)?, &row.text(1)?),
            position(row.size(3)?, &row.text(4)?),
        );
        let Some((base, head)) = base.zip(head) else {
            return Ok(Err(finding(
                1,
                "the row that says where the chain begins and ends cannot be read",
            )));
        };
        Ok(Ok(Self {
            base,
            base_mac: row.text(2)?,
            head,
            head_mac: row.text(5)?,
        }))
    }

    /// Only what was never written has no MAC.
    fn check(&self, auditor: &Auditor) -> Option<AuditFinding> {
        let is_vouched = |claim, position: &ChainPosition, mac: &str| {
            mac == auditor.mac(claim, position) || (*position == ChainPosition::START && mac.is_empty())
        };
        if !is_vouched(Claim::Base, &self.base, &self.base_mac) {
            let reason = "the start of the chain is not where this deployment has put it";
            return Some(finding(self.base.sequence + 1, reason));
        }
        if !is_vouched(Claim::Head, &self.head, &self.head_mac) {
            let reason = "the end of the chain is not where this deployment has put it";
            return Some(finding(self.head.sequence, reason));
        }
        None
    }
}

impl Store {
    /// Checks the chain after `from`, or from its start, at least `max_records` records if there are so many.
    pub async fn verify_audit_events(
        &self,
        from: Option<ChainPosition>,
        max_records: u64,
    ) -> Result<AuditVerification, StoreError> {
        let Some(auditor) = self.auditor() else {
            return Err(corrupt("there is no auditor"));
        };
        let mut session = self.snapshot().await?;
        let ends = match Ends::read(&mut session).await? {
            Ok(ends) => ends,
            Err(finding) => return Ok(stopped(from.unwrap_or(ChainPosition::START), 0, finding)),
        };
        // What was deleted in due time since the part before need not be there.
        let start = from
            .filter(|from| from.sequence >= ends.base.sequence)
            .unwrap_or(ends.base);
        if let Some(found) = ends.check(auditor) {
            return Ok(stopped(start, 0, found));
        }
        let mut at = start;
        loop {
            let rows = session.fetch_all(ROWS_FROM, values![at.sequence, ROWS]).await?;
            let before = at;
            for row in &rows {
                let checked = match check_row(row, &at)? {
                    Ok(checked) => check_also(&mut session, row, checked).await?,
                    Err(found) => Err(found),
                };
                match checked {
                    Ok(next) => at = next,
                    Err(found) => return Ok(stopped(start, at.sequence - start.sequence, found).through(at)),
                }
            }
            for row in session
                .fetch_all(ANCHORS, values![before.sequence, at.sequence])
                .await?
            {
                if let Some(found) = check_anchor(&mut session, auditor, &row).await? {
                    return Ok(stopped(start, at.sequence - start.sequence, found).through(before));
                }
            }
            let records = at.sequence - start.sequence;
            if rows.len() < ROWS {
                let found = (at != ends.head).then(|| end_finding(&at, &ends.head));
                session.end_snapshot().await?;
                return Ok(AuditVerification {
                    from: start,
                    through: at,
                    records,
                    is_complete: found.is_none(),
                    finding: found,
                });
            }
            if records >= max_records {
                session.end_snapshot().await?;
                return Ok(AuditVerification {
                    from: start,
                    through: at,
                    records,
                    finding: None,
                    is_complete: false,
                });
            }
        }
    }
}

impl AuditVerification {
    fn through(self, through: ChainPosition) -> Self {
        Self { through, ..self }
    }
}

fn stopped(from: ChainPosition, records: u64, finding: AuditFinding) -> AuditVerification {
    AuditVerification {
        from,
        through: from,
        records,
        finding: Some(finding),
        is_complete: false,
    }
}

fn finding(sequence: u64, reason: impl Into<String>) -> AuditFinding {
    AuditFinding {
        sequence,
        reason: reason.into(),
    }
}

fn end_finding(at: &ChainPosition, head: &ChainPosition) -> AuditFinding {
    let reason = match at.sequence.cmp(&head.sequence) {
        Ordering::Less => format!("the records {} to {} are gone", at.sequence + 1, head.sequence),
        Ordering::Greater => {
            let end = head.sequence;
            format!("the chain ends at record {end}, and there are records after it")
        }
        Ordering::Equal => "the last record is not the one that the chain ends with".to_owned(),
    };
    finding(
        at.sequence.min(head.sequence) + u64::from(at.sequence != head.sequence),
        reason,
    )
}

/// A row that is as it was written, as far as the row itself goes.
struct Checked {
    first: u64,
    shown: String,
    /// The place after it.
    after: ChainPosition,
    /// What it is to be found by besides.
    also: BTreeSet<String>,
}

/// What the row is, or what is wrong with it. A row that cannot be read was not written so.
fn check_row(row: &Row, at: &ChainPosition) -> Result<Result<Checked, AuditFinding>, StoreError> {
    let (expected, sequence) = (at.sequence + 1, row.size(10)?);
    if sequence > expected {
        let reason = format!("the records {expected} to {} are gone", sequence - 1);
        return Ok(Err(finding(expected, reason)));
    }
    let count = row.size(7)?;
    let shown = if count > 1 {
        format!("one of the records {sequence} to {}", sequence + count - 1)
    } else {
        format!("record {sequence}")
    };
    let shared = row.text(8)?;
    let Ok(run) = Run::read(&row.text(0)?, &shared, &row.text(9)?) else {
        return Ok(Err(finding(sequence, format!("{shown} cannot be read"))));
    };
    if run.len() as u64 != count {
        return Ok(Err(finding(sequence, format!("{shown} is gone, or one was added"))));
    }
    let after = at.after_run(&run);
    if row.optional_text(11)?.as_deref() != Some(&at.hash_text())
        || row.optional_text(12)?.as_deref() != Some(&after.hash_text())
    {
        let reason = format!("{shown} is not as it was written, or not where it was");
        return Ok(Err(finding(sequence, reason)));
    }
    let columns = Columns {
        account: row.text(1)?,
        principal: row.text(2)?,
        event: row.text(3)?,
        repository: row.optional_text(4)?,
        digest: row.optional_text(5)?,
        error: row.optional_text(6)?,
    };
    let record: Value = serde_json::from_str(&shared).unwrap_or_default();
    if columns != Columns::of(&record) {
        return Ok(Err(misfiled(sequence, &shown)));
    }
    Ok(Ok(Checked {
        first: sequence,
        also: also::entries(&record, run.members()),
        shown,
        after,
    }))
}

/// The place after the row, if it is found by what it says, and by nothing else.
async fn check_also(
    session: &mut Session,
    row: &Row,
    checked: Checked,
) -> Result<Result<ChainPosition, AuditFinding>, StoreError> {
    let Checked {
        first,
        shown,
        after,
        also,
    } = checked;
    if row.size(13)? == 0 && also.is_empty() {
        return Ok(Ok(after));
    }
    let rows = session.fetch_all(ALSO, values![&row.text(0)?]).await?;
    let filed: BTreeSet<_> = rows.iter().map(|row| row.text(0)).collect::<Result<_, _>>()?;
    Ok(if filed == also {
        Ok(after)
    } else {
        Err(misfiled(first, &shown))
    })
}

fn misfiled(sequence: u64, shown: &str) -> AuditFinding {
    finding(sequence, format!("{shown} is filed under something else than it says"))
}

const HASH_AT: &str =
    "SELECT sequence, records, hash FROM audit_event WHERE sequence <= $1 ORDER BY sequence DESC LIMIT 1";
async fn check_anchor(
    session: &mut Session,
    auditor: &Auditor,
    anchor: &Row,
) -> Result<Option<AuditFinding>, StoreError> {
    let sequence = anchor.size(0)?;
    let reason = "the chain is not the one that this deployment has vouched for";
    let wrong = Ok(Some(finding(sequence, reason)));
    let Ok(position) = ChainPosition::read(sequence, &anchor.text(1)?) else {
        return wrong;
    };
    if anchor.text(2)? != auditor.mac(Claim::Anchor, &position) {
        return wrong;
    }
    let row = session.fetch_optional(HASH_AT, values![sequence]).await?;
    let is_there = match row {
        Some(row) => row.size(0)? + row.size(1)? - 1 == sequence && row.optional_text(2)? == Some(position.hash_text()),
        None => false,
    };
    if is_there { Ok(None) } else { wrong }
}
