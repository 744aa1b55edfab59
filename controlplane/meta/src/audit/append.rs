// SPDX-License-Identifier: Apache-2.0
//! Writing records: those of changes in the transaction of the change, the others many at once.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use hythe_access::{Facts, RequestId, Trail};
use hythe_model::Region;

use super::also;
use super::chain::{Auditor, ChainPosition};
use super::record::{Changes, Columns, shared};
use super::run::{Member, Run, encode, new_id};
use crate::StoreError;
use crate::session::{Session, Value};

/// Records that differ in time and id only, to be written. Clones share them.
#[derive(Clone, Debug)]
pub struct NewAuditRecords(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) id: String,
    pub(crate) columns: Columns,
    /// What it is found by besides.
    pub(crate) also: BTreeSet<String>,
    pub(crate) count: usize,
    pub(crate) shared: String,
    pub(crate) members: String,
    pub(crate) run: Option<Run>,
}

impl NewAuditRecords {
    /// The records of requests of which the same is known, at least one.
    #[must_use]
    pub fn new(facts: &Facts, members: &[Member], auditor: &Auditor) -> Self {
        Self::build(facts, members, &auditor.region, None)
    }

    /// How many records these are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.count
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.count == 0
    }

    /// Which are older.
    #[must_use]
    pub fn by_time(&self, other: &Self) -> std::cmp::Ordering {
        self.0.id.cmp(&other.0.id)
    }

    fn build(facts: &Facts, members: &[Member], region: &Region, changes: Option<&Changes>) -> Self {
        let record = shared(facts, region, changes);
        let began_at = members.first().map_or(jiff::Timestamp::UNIX_EPOCH, |first| first.at);
        let (id, shared) = (new_id(began_at), record.to_string());
        Self(Arc::new(Inner {
            id: id.to_string(),
            columns: Columns::of(&record),
            also: also::entries(&record, members),
            count: members.len(),
            members: encode(members),
            run: Run::new(id, &shared, members.to_vec()).ok(),
            shared,
        }))
    }
}

/// That the change of a transaction is to be recorded in it, and as what.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    pub(crate) trail: Trail,
    pub(crate) auditor: Auditor,
}

impl Recording {
    pub(crate) fn record(&self, changes: &Changes) -> NewAuditRecords {
        let began_at = self.trail.began_at();
        let request = self.trail.request_or(|| RequestId::Number(new_id(began_at).as_u128()));
        let member = Member {
            at: began_at,
            request: request.clone(),
        };
        let facts = self.trail.add(|facts| {
            facts.is_change = true;
            facts.clone()
        });
        let record = NewAuditRecords::build(&facts, &[member], &self.auditor.region, Some(changes));
        self.auditor.answers.expect(&record.0.id, self.trail.answer());
        record
    }
}

/// Where a row is in the chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    /// Before its first record.
    pub(crate) previous: ChainPosition,
    /// After its last record.
    pub(crate) last: ChainPosition,
}

const COLUMNS: usize = 13;
/// How many rows one statement inserts at most.
const ROWS: usize = 16;

const EVENTS: &str = "audit_event (id, account_id, principal, event_name, repository, digest, error_code, records, \
                      shared, members, sequence, previous_hash, hash)";
const ALSO: &str = "audit_event_also (value, id)";
const ALSO_COLUMNS: usize = 2;

static INSERT_ONE: LazyLock<String> = LazyLock::new(|| insert_text(EVENTS, COLUMNS, 1));
static INSERT_MANY: LazyLock<String> = LazyLock::new(|| insert_text(EVENTS, COLUMNS, ROWS));
static INSERT_ONE_ALSO: LazyLock<String> = LazyLock::new(|| insert_text(ALSO, ALSO_COLUMNS, 1));
static INSERT_MANY_ALSO: LazyLock<String> = LazyLock::new(|| insert_text(ALSO, ALSO_COLUMNS, ROWS));

fn insert_text(table: &str, columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let places: Vec<_> = (1..=columns)
            .map(|column| format!("${}", row * columns + column))
            .collect();
        format!("({})", places.join(", "))
    };
    let rows: Vec<_> = (0..rows).map(row).collect();
    format!("INSERT INTO {table} VALUES {}", rows.join(", "))
}

/// Inserts rows, sealed or not.
pub(crate) async fn insert<'r>(
    session: &mut Session,
    rows: impl IntoIterator<Item = (&'r NewAuditRecords, Option<Sealed>)>,
) -> Result<(), StoreError> {
    let rows: Vec<_> = rows.into_iter().collect();
    let (many, rest) = rows.as_chunks::<ROWS>();
    for chunk in many {
        insert_rows(session, &INSERT_MANY, chunk).await?;
    }
    for row in rest {
        insert_rows(session, &INSERT_ONE, std::slice::from_ref(row)).await?;
    }
    insert_also(session, rows.iter().map(|(row, _)| *row)).await
}

async fn insert_also<'r>(
    session: &mut Session,
    rows: impl Iterator<Item = &'r NewAuditRecords>,
) -> Result<(), StoreError> {
    let entries = rows.flat_map(|NewAuditRecords(row)| row.also.iter().map(|value| (value, &row.id)));
    let entries: Vec<_> = entries.collect();
    let (many, rest) = entries.as_chunks::<ROWS>();
    let many = many.iter().map(|chunk| (INSERT_MANY_ALSO.as_str(), chunk.as_slice()));
    let rest = rest
        .iter()
        .map(|entry| (INSERT_ONE_ALSO.as_str(), std::slice::from_ref(entry)));
    for (sql, entries) in many.chain(rest) {
        let values = entries
            .iter()
            .flat_map(|(value, id)| [Value::from(*value), Value::from(*id)]);
        let values: Vec<_> = values.collect();
        session.execute(sql, &values).await?;
    }
    Ok(())
}

async fn insert_rows(
    session: &mut Session,
    sql: &'static str,
    rows: &[(&NewAuditRecords, Option<Sealed>)],
) -> Result<(), StoreError> {
    let mut values: Vec<Value<'_>> = Vec::with_capacity(COLUMNS * rows.len());
    for (NewAuditRecords(row), sealed) in rows {
        let columns = &row.columns;
        let sequence = sealed.map(|sealed| i64::try_from(sealed.previous.sequence + 1).unwrap_or(i64::MAX));
        let hash = |position: Option<ChainPosition>| Value::Text(position.map(|at| at.hash_text().into()));
        values.extend([
            Value::from(&row.id),
            Value::from(&columns.account),
            Value::from(&columns.principal),
            Value::from(&columns.event),
            Value::from(columns.repository.as_deref()),
            Value::from(columns.digest.as_deref()),
            Value::from(columns.error.as_deref()),
            Value::from(row.count),
            Value::from(&row.shared),
            Value::from(&row.members),
            Value::from(sequence),
            hash(sealed.map(|sealed| sealed.previous)),
            hash(sealed.map(|sealed| sealed.last)),
        ]);
    }
    session.execute(sql, &values).await.map(drop)
}
