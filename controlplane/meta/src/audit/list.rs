// SPDX-License-Identifier: Apache-2.0
//! Finding records.
//!
//! One condition of a filter chooses the index; the others are looked at here, in portions, and a page ends when many
//! rows were looked at in vain: what a page costs is bounded, however little of the log fits the filter. Where a record
//! may have been filed in either of two ways (`also.rs`), portions of both are put together.

use std::fmt;
use std::str::FromStr;

use hythe_access::RequestId;
use hythe_model::{AccountId, Digest, ParseError, RepositoryPath};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use super::also;
use super::chain::ChainPosition;
use super::run::{MAX_RUN_MILLIS, Run, first_id};
use crate::session::{Row, Session, Value, values};
use crate::{Store, StoreError};

/// How many rows are read at once.
const PORTION: usize = 128;
/// How many rows a page looks at, at most.
const MAX_LOOKED_AT: usize = 20_000;

/// Which records are wanted; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Of this account: it was asked for something of it, or by somebody of it.
    pub account: Option<AccountId>,
    /// Not before this time.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// The ARN of who asked. That of a role stands for all its sessions.
    pub principal: Option<String>,
    /// The name of the event.
    pub event: Option<String>,
    /// The repository.
    pub repository: Option<RepositoryPath>,
    /// The digest that was read, stored or deleted, or that a tag has left.
    pub digest: Option<Digest>,
    /// The code of the error.
    pub error: Option<String>,
    /// The id of the request.
    pub request: Option<RequestId>,
}

/// Where a page starts: one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEventKey {
    run: Uuid,
    /// Which record of the run, counted from its first; those before it come next.
    index: usize,
}

impl fmt::Display for AuditEventKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.run, self.index)
    }
}

impl FromStr for AuditEventKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let read = || {
            let (run, index) = text.split_once('/')?;
            Some(Self {
                run: run.parse().ok()?,
                index: index.parse().ok()?,
            })
        };
        read().ok_or_else(|| ParseError::new("place in the audit log", text, "it must be `<id>/<number>`"))
    }
}

/// A record and its place in the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The record as a JSON object: what the hash is over.
    pub json: String,
    /// Before it and after it; `None` while it has no place in the chain.
    pub sealed: Option<(ChainPosition, ChainPosition)>,
}

/// Some records, and where the next ones start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPage {
    /// The records. There may be fewer than asked for, or none, although there are more.
    pub records: Vec<AuditRecord>,
    /// Where the next ones start; `None` if there are none.
    pub next: Option<AuditEventKey>,
}

/// Some records in the order of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditTail {
    /// The records. There may be fewer than asked for, or none, although there are more.
    pub records: Vec<AuditRecord>,
    /// The number of the last record that was looked at, after which the next ones start.
    pub through: u64,
    /// Whether there are more.
    pub has_more: bool,
}

macro_rules! statements {
    ($($name:ident: $what:literal = $condition:literal;)*) => {
        $(pub(crate) const $name: &str = concat!("
    SELECT id, account_id, principal, event_name, repository, digest, error_code, shared, members, sequence, previous_hash
      FROM audit_event WHERE ", $condition, "id <= $1 AND id >= $2 ORDER BY id DESC LIMIT $3");)*
        /// Each with what it lists.
        pub(crate) const STATEMENTS: &[(&str, &str)] = &[
            $(($what, $name),)*
            ("audit events filed twice", ALSO),
            ("audit events in order", IN_ORDER),
            ("audit events to seal", super::seal::UNSEALED),
            ("audit events to verify", super::verify::ROWS_FROM),
            ("audit anchors", super::verify::ANCHORS),
            ("oldest audit events", super::retention::OLDEST),
        ];
    };
}

statements! {
    ALL: "audit events" = "";
    BY_ACCOUNT: "audit events of an account" = "account_id = $4 AND ";
    BY_PRINCIPAL: "audit events of a principal" = "principal = $4 AND ";
    BY_EVENT: "audit events of a name" = "event_name = $4 AND ";
    BY_REPOSITORY: "audit events of a repository" = "repository = $4 AND ";
    BY_DIGEST: "audit events of a digest" = "digest = $4 AND ";
    BY_ERROR: "audit events of an error" = "error_code = $4 AND ";
}

/// Those that are filed under something for which their rows have no column.
const ALSO: &str = "
    SELECT e.id, e.account_id, e.principal, e.event_name, e.repository, e.digest, e.error_code, e.shared, e.members,
           e.sequence, e.previous_hash
      FROM audit_event_also a JOIN audit_event e ON e.id = a.id
     WHERE a.value = $4 AND a.id <= $1 AND a.id >= $2 ORDER BY a.id DESC LIMIT $3";

const IN_ORDER: &str = "
    SELECT id, account_id, principal, event_name, repository, digest, error_code, shared, members, sequence, previous_hash
      FROM audit_event WHERE sequence > $1 ORDER BY sequence LIMIT $2";

/// A statement whose rows are looked at, newest first.
struct Source {
    sql: &'static str,
    value: Option<String>,
    lowest: String,
    highest: String,
}

impl AuditFilter {
    /// The statements whose indexes leave the fewest rows.
    fn sources(&self) -> Vec<Source> {
        let source = |sql, value| Source {
            sql,
            value,
            lowest: self.lowest_id(),
            highest: self.highest_id(),
        };
        if let Some(request) = &self.request {
            // One that tells its time was begun then, if it was made here.
            let timely = request.time().map(|at| {
                let within = source(ALL, None);
                let after = at.checked_add(SignedDuration::from_millis(1)).unwrap_or(at);
                Source {
                    lowest: within.lowest.max(first_id_of_runs(at)),
                    highest: within.highest.min(first_id(after)),
                    ..within
                }
            });
            let also = source(ALSO, Some(also::of_request(request)));
            return timely.into_iter().chain([also]).collect();
        }
        let (sql, value) = self.statement();
        let also = match (&self.digest, &self.account) {
            (Some(digest), _) => Some(also::of_digest(digest)),
            (None, Some(account)) if sql == BY_ACCOUNT => Some(also::of_account(account)),
            (None, _) => None,
        };
        let also = also.map(|value| source(ALSO, Some(value)));
        [source(sql, value)].into_iter().chain(also).collect()
    }

    /// The statement whose index leaves the fewest rows, and its value.
    fn statement(&self) -> (&'static str, Option<String>) {
        if let Some(digest) = &self.digest {
            (BY_DIGEST, Some(digest.to_string()))
        } else if let Some(error) = &self.error {
            (BY_ERROR, Some(error.clone()))
        } else if let Some(repository) = &self.repository {
            (BY_REPOSITORY, Some(repository.to_string()))
        } else if let Some(principal) = &self.principal {
            (
                BY_PRINCIPAL,
                Some(role_of(principal).unwrap_or_else(|| principal.clone())),
            )
        } else if let Some(event) = &self.event {
            (BY_EVENT, Some(event.clone()))
        } else if let Some(account) = &self.account {
            (BY_ACCOUNT, Some(account.to_string()))
        } else {
            (ALL, None)
        }
    }

    fn fits(&self, row: &Row) -> Result<bool, StoreError> {
        fn is(wanted: Option<&str>, there: Option<&str>) -> bool {
            wanted.is_none_or(|wanted| there == Some(wanted))
        }
        let repository = self.repository.as_ref().map(ToString::to_string);
        let digest = self.digest.as_ref().map(ToString::to_string);
        let fits = is(self.event.as_deref(), Some(&row.text(3)?))
            && is(repository.as_deref(), row.optional_text(4)?.as_deref())
            && is(self.error.as_deref(), row.optional_text(6)?.as_deref());
        if !fits {
            return Ok(false);
        }
        let is_of_account = is(self.account.as_ref().map(AccountId::as_str), Some(&row.text(1)?));
        if !is_of_account && !is_filed_under(row, self.account.as_ref().map(also::of_account))? {
            return Ok(false);
        }
        let is_of_digest = is(digest.as_deref(), row.optional_text(5)?.as_deref());
        if !is_of_digest && !is_filed_under(row, self.digest.as_ref().map(also::of_digest))? {
            return Ok(false);
        }
        let Some(principal) = &self.principal else {
            return Ok(true);
        };
        let filed = row.text(2)?;
        match role_of(principal) {
            None => Ok(filed == *principal),
            // One session of a role.
            Some(role) => {
                let record: serde_json::Value = serde_json::from_str(&row.text(7)?)?;
                Ok(filed == role
                    && record.pointer("/userIdentity/arn").and_then(serde_json::Value::as_str) == Some(principal))
            }
        }
    }

    /// Whether one record of a row that fits is wanted.
    fn takes(&self, run: &Run, index: usize) -> bool {
        run.member(index).is_some_and(|member| {
            self.since.is_none_or(|since| member.at >= since)
                && self.until.is_none_or(|until| member.at < until)
                && self.request.as_ref().is_none_or(|request| member.request == *request)
        })
    }

    /// The first id that can be of a record in time.
    fn lowest_id(&self) -> String {
        self.since.map(first_id_of_runs).unwrap_or_default()
    }

    fn highest_id(&self) -> String {
        self.until.map_or_else(|| Uuid::max().to_string(), first_id)
    }
}

/// The first id that a run can have of which a record is of that time.
fn first_id_of_runs(at: Timestamp) -> String {
    let slack = SignedDuration::from_millis(MAX_RUN_MILLIS);
    at.checked_sub(slack).map(first_id).unwrap_or_default()
}

/// Whether a row is found by `value` besides its columns.
fn is_filed_under(row: &Row, value: Option<String>) -> Result<bool, StoreError> {
    let Some(value) = value else { return Ok(false) };
    let shared = row.text(7)?;
    let is_named = value.split_once(':').is_some_and(|(_, named)| shared.contains(named));
    Ok(is_named && also::entries(&serde_json::from_str(&shared)?, &[]).contains(&value))
}

/// The role of a session: `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
fn role_of(principal: &str) -> Option<String> {
    let (account, rest) = principal.strip_prefix("arn:aws:sts::")?.split_once(":assumed-role/")?;
    let (role, _) = rest.split_once('/')?;
    Some(format!("arn:aws:iam::{account}:role/{role}"))
}

/// The records of a row.
struct Found {
    id: Uuid,
    run: Run,
    before: Option<ChainPosition>,
}

impl Found {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let id = row.text(0)?;
        let sequence = row.optional_int(9)?.and_then(|sequence| u64::try_from(sequence).ok());
        let before = match sequence.zip(row.optional_text(10)?) {
            Some((sequence, hash)) => Some(ChainPosition::read(sequence.saturating_sub(1), &hash)?),
            None => None,
        };
        Ok(Self {
            run: Run::read(&id, &row.text(7)?, &row.text(8)?)?,
            id: row.parsed(0)?,
            before,
        })
    }

    /// The records with these indexes, in order.
    fn records(&self) -> Vec<AuditRecord> {
        let mut position = self.before;
        let record = |index| {
            let mut bytes = Vec::new();
            self.run.write(index, &mut bytes);
            let sealed = position.map(|before| (before, self.run.link(index, before)));
            position = sealed.map(|(_, after)| after);
            AuditRecord {
                json: String::from_utf8(bytes).unwrap_or_default(),
                sealed,
            }
        };
        (0..self.run.len()).map(record).collect()
    }
}

impl Store {
    /// The records that fit, newest first, from the one that a page before ended with.
    pub async fn audit_events(
        &self,
        filter: &AuditFilter,
        after: Option<&AuditEventKey>,
        limit: usize,
    ) -> Result<AuditPage, StoreError> {
        let mut session = self.reader().await?;
        let sources = filter.sources();
        let highest = filter.highest_id();
        let mut from = after.map_or(highest.clone(), |key| key.run.to_string()).min(highest);
        let (mut records, mut looked_at) = (Vec::new(), 0);
        loop {
            let (rows, is_last) = portion(&mut session, &sources, &from).await?;
            looked_at += rows.len();
            for row in &rows {
                from = row.text(0)?;
                if !filter.fits(row)? {
                    continue;
                }
                let found = Found::read(row)?;
                let resumed = after.filter(|key| key.run == found.id).map(|key| key.index);
                for (index, record) in found.records().into_iter().enumerate().rev() {
                    let is_given = resumed.is_some_and(|resumed| index >= resumed);
                    if is_given || !filter.takes(&found.run, index) {
                        continue;
                    }
                    if records.len() >= limit {
                        let next = Some(AuditEventKey {
                            run: found.id,
                            index: index + 1,
                        });
                        return Ok(AuditPage { records, next });
                    }
                    records.push(record);
                }
            }
            if is_last {
                return Ok(AuditPage { records, next: None });
            }
            // The next portion starts with the last row of this one's successor.
            let last: Uuid = from.parse().map_err(crate::session::corrupt)?;
            let Some(below) = last.as_u128().checked_sub(1) else {
                return Ok(AuditPage { records, next: None });
            };
            from = Uuid::from_u128(below).to_string();
            if looked_at >= MAX_LOOKED_AT {
                let next = Some(AuditEventKey {
                    run: Uuid::from_u128(below),
                    index: usize::MAX,
                });
                return Ok(AuditPage { records, next });
            }
        }
    }

    /// The records that fit, in the order of the chain, after the one with this number.
    pub async fn audit_events_in_order(
        &self,
        filter: &AuditFilter,
        after: u64,
        limit: usize,
    ) -> Result<AuditTail, StoreError> {
        let mut session = self.reader().await?;
        // The row that the number is in may have more after it.
        let row = session.fetch_optional(ROW_OF, values![after]).await?;
        let mut from = row.map_or(Ok(after), |row| row.size(0))?.saturating_sub(1).min(after);
        let (mut records, mut looked_at) = (Vec::new(), 0);
        loop {
            let rows = session.fetch_all(IN_ORDER, values![from, PORTION]).await?;
            looked_at += rows.len();
            for row in &rows {
                let found = Found::read(row)?;
                let first = row.size(9)?;
                from = first + (found.run.len() as u64).saturating_sub(1);
                if !filter.fits(row)? {
                    continue;
                }
                for (index, record) in found.records().into_iter().enumerate() {
                    let sequence = first + index as u64;
                    if sequence <= after || !filter.takes(&found.run, index) {
                        continue;
                    }
                    if records.len() >= limit {
                        return Ok(AuditTail {
                            records,
                            through: sequence - 1,
                            has_more: true,
                        });
                    }
                    records.push(record);
                }
            }
            let has_more = rows.len() == PORTION;
            if !has_more || looked_at >= MAX_LOOKED_AT {
                let through = from.max(after);
                return Ok(AuditTail {
                    records,
                    through,
                    has_more,
                });
            }
        }
    }
}

const ROW_OF: &str = "SELECT sequence FROM audit_event WHERE sequence <= $1 ORDER BY sequence DESC LIMIT 1";

/// The next rows of all sources, newest first, and whether there are no more.
async fn portion(session: &mut Session, sources: &[Source], from: &str) -> Result<(Vec<Row>, bool), StoreError> {
    let (mut rows, mut is_last) = (Vec::new(), true);
    for source in sources {
        let highest = from.min(&source.highest);
        let mut values = vec![Value::from(highest), Value::from(&source.lowest), Value::from(PORTION)];
        values.extend(source.value.as_deref().map(Value::from));
        let found = session.fetch_all(source.sql, &values).await?;
        is_last &= found.len() < PORTION;
        for row in found {
            rows.push((row.text(0)?, row));
        }
    }
    rows.sort_by(|(one, _), (other, _)| other.cmp(one));
    rows.dedup_by(|(one, _), (other, _)| one == other);
    is_last &= rows.len() <= PORTION;
    // What is older than this may have others between it that were not read yet.
    rows.truncate(PORTION);
    Ok((rows.into_iter().map(|(_, row)| row).collect(), is_last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive() {
        let key = AuditEventKey {
            run: Uuid::from_u128(7),
            index: 12,
        };
        assert_eq!(key.to_string().parse::<AuditEventKey>().unwrap(), key);
        assert!("".parse::<AuditEventKey>().is_err() && "a/b".parse::<AuditEventKey>().is_err());
    }

    #[test]
    fn a_session_is_filed_under_its_role() {
        let cases = [
            (
                "arn:aws:sts::000000000000:assumed-role/ci/run-7",
                Some("arn:aws:iam::000000000000:role/ci"),
            ),
            ("arn:aws:iam::000000000000:role/ci", None),
            ("arn:aws:iam::000000000000:user/eve", None),
            ("*", None),
        ];
        for (principal, role) in cases {
            assert_eq!(role_of(principal).as_deref(), role, "{principal}");
        }
    }
}
