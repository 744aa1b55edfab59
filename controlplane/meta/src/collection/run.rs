// SPDX-License-Identifier: Apache-2.0
//! How collection goes: what waits, what was done, and the runs that somebody asked for.

use hythe_model::from_millis;
use jiff::Timestamp;
use uuid::Uuid;

use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most rows that are counted; what is more is said to be as many.
pub const MAX_COUNTED_REVIEWS: usize = 1_000_000;
/// How many runs are remembered.
const MAX_RUNS: usize = 100;

/// What waits to be collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectionBacklog {
    /// Links that are due to be looked at, at most [`MAX_COUNTED_REVIEWS`].
    pub due: u64,
    /// Links that will be due later, at most [`MAX_COUNTED_REVIEWS`].
    pub waiting: u64,
    /// Blobs whose bytes are being deleted.
    pub deleting: u64,
    /// Since when the oldest of the links waits that are due.
    pub oldest_due: Option<Timestamp>,
    /// How many links a minute were looked at lately.
    pub reviews_per_minute: u64,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CollectionTotals {
    /// Links that were looked at.
    pub reviewed: u64,
    /// Those of them that were needed.
    pub kept: u64,
    /// Links that were removed.
    pub links: u64,
    /// Blobs that were deleted.
    pub blobs: u64,
    /// How large they were, in bytes.
    pub bytes: u64,
    /// What failed, and is tried again.
    pub failures: u64,
}

impl CollectionTotals {
    fn to_json(self) -> Result<String, StoreError> {
        let Self {
            reviewed,
            kept,
            links,
            blobs,
            bytes,
            failures,
        } = self;
        Ok(serde_json::to_string(&[reviewed, kept, links, blobs, bytes, failures])?)
    }

    fn from_json(text: &str) -> Result<Self, StoreError> {
        let [reviewed, kept, links, blobs, bytes, failures]: [u64; 6] = serde_json::from_str(text)?;
        Ok(Self {
            reviewed,
            kept,
            links,
            blobs,
            bytes,
            failures,
        })
    }

    /// What was done since `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            reviewed: self.reviewed.saturating_sub(earlier.reviewed),
            kept: self.kept.saturating_sub(earlier.kept),
            links: self.links.saturating_sub(earlier.links),
            blobs: self.blobs.saturating_sub(earlier.blobs),
            bytes: self.bytes.saturating_sub(earlier.bytes),
            failures: self.failures.saturating_sub(earlier.failures),
        }
    }
}

/// A collection that somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionRun {
    /// Its id. Ids sort by time.
    pub id: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// By whom.
    pub requested_by: String,
    /// How many links were due then, at most [`MAX_COUNTED_REVIEWS`].
    pub due: u64,
    /// When nothing was left of them.
    pub ended_at: Option<Timestamp>,
    /// What was done since, by all nodes, whether or not it was due then.
    pub done: CollectionTotals,
}

const TOTALS: &str = "
    SELECT reviewed, kept, links, blobs, bytes, failures, reviews_per_minute FROM collection_total WHERE id = 1";
const ADD: &str = "
    UPDATE collection_total
       SET reviewed = reviewed + $1, kept = kept + $2, links = links + $3, blobs = blobs + $4, bytes = bytes + $5,
           failures = failures + $6,
           reviews_per_minute = CASE WHEN $7 > 0 THEN $7 ELSE reviews_per_minute END
     WHERE id = 1";
const COUNT_DUE: &str = "SELECT COUNT(*) FROM (SELECT due_ms FROM blob_review WHERE due_ms <= $1 LIMIT $2) due";
const COUNT_WAITING: &str = "SELECT COUNT(*) FROM (SELECT due_ms FROM blob_review WHERE due_ms > $1 LIMIT $2) due";
const OLDEST: &str = "SELECT MIN(due_ms) FROM blob_review";
const COUNT_DELETIONS: &str = "SELECT COUNT(*) FROM (SELECT due_ms FROM blob_deletion LIMIT $1) deletions";
const INSERT_RUN: &str = "
    INSERT INTO collection_run (id, requested_ms, requested_by, due, totals) VALUES ($1, $2, $3, $4, $5)";
const OPEN_RUN: &str = "
    SELECT id, requested_ms, requested_by, due, totals, ended_ms, ended_totals
      FROM collection_run WHERE ended_ms IS NULL ORDER BY requested_ms LIMIT 1";
const FIND_RUN: &str = "
    SELECT id, requested_ms, requested_by, due, totals, ended_ms, ended_totals FROM collection_run WHERE id = $1";
const LAST_RUNS: &str = "
    SELECT id, requested_ms, requested_by, due, totals, ended_ms, ended_totals
      FROM collection_run ORDER BY requested_ms DESC, id DESC LIMIT $1";
const FORGET_RUNS: &str = "DELETE FROM collection_run WHERE requested_ms < $1 AND ended_ms IS NOT NULL";
const IS_LEFT: &str = "
    SELECT EXISTS (SELECT 1 FROM blob_review WHERE due_ms <= $1)
           OR EXISTS (SELECT 1 FROM blob_deletion WHERE due_ms <= $1)";
const END_RUN: &str = "
    UPDATE collection_run SET ended_ms = $2, ended_totals = $3 WHERE id = $1 AND ended_ms IS NULL RETURNING id";

impl Store {
    /// What waits to be collected at `now`.
    pub async fn collection_backlog(&self, now: Timestamp) -> Result<CollectionBacklog, StoreError> {
        let mut reader = self.reader().await?;
        let limit = MAX_COUNTED_REVIEWS;
        let due = reader.fetch_one(COUNT_DUE, values![now, limit]).await?.size(0)?;
        let waiting = reader.fetch_one(COUNT_WAITING, values![now, limit]).await?.size(0)?;
        let oldest = reader.fetch_one(OLDEST, values![]).await?.optional_int(0)?;
        let deleting = reader.fetch_one(COUNT_DELETIONS, values![limit]).await?.size(0)?;
        let (_, reviews_per_minute) = read_totals(&reader.fetch_one(TOTALS, values![]).await?)?;
        Ok(CollectionBacklog {
            due,
            waiting,
            deleting,
            oldest_due: oldest.map(from_millis).filter(|oldest| *oldest <= now),
            reviews_per_minute,
        })
    }

    /// What was done since the deployment began.
    pub async fn collection_totals(&self) -> Result<CollectionTotals, StoreError> {
        totals(&mut self.reader().await?).await
    }

    /// Adds to it, and says how fast it went; 0 leaves that as it was.
    pub async fn add_collection_totals(
        &self,
        done: CollectionTotals,
        reviews_per_minute: u64,
    ) -> Result<(), StoreError> {
        let values = values![
            done.reviewed,
            done.kept,
            done.links,
            done.blobs,
            done.bytes,
            done.failures,
            reviews_per_minute
        ];
        self.write_one(Durability::Relaxed, ADD, values).await.map(drop)
    }

    /// Asks for a collection of what is due; if one goes on, that one is answered.
    pub async fn start_collection_run(&self, by: &str, now: Timestamp) -> Result<CollectionRun, StoreError> {
        let due = self.collection_backlog(now).await?.due;
        let input = (by.to_owned(), now, due, Uuid::now_v7().to_string());
        self.write(Durability::Full, input, |session, (by, now, due, id)| {
            Box::pin(start(session, by, *now, *due, id))
        })
        .await
    }

    /// The collection that goes on, if somebody asked for one.
    pub async fn open_collection_run(&self) -> Result<Option<CollectionRun>, StoreError> {
        let mut reader = self.reader().await?;
        let Some(row) = reader.fetch_optional(OPEN_RUN, values![]).await? else {
            return Ok(None);
        };
        let now = totals(&mut reader).await?;
        read_run(&row, now).map(Some)
    }

    /// A collection that somebody asked for.
    pub async fn collection_run(&self, id: &str) -> Result<Option<CollectionRun>, StoreError> {
        let mut reader = self.reader().await?;
        let Some(row) = reader.fetch_optional(FIND_RUN, values![id]).await? else {
            return Ok(None);
        };
        let now = totals(&mut reader).await?;
        read_run(&row, now).map(Some)
    }

    /// The last collections that somebody asked for, newest first.
    pub async fn collection_runs(&self, limit: usize) -> Result<Vec<CollectionRun>, StoreError> {
        let mut reader = self.reader().await?;
        let rows = reader.fetch_all(LAST_RUNS, values![limit.min(MAX_RUNS)]).await?;
        let now = totals(&mut reader).await?;
        rows.iter().map(|row| read_run(row, now)).collect()
    }

    /// Ends the collection that goes on, if nothing is left of what was due when it was asked for; says whether it did.
    pub async fn end_collection_run(&self, now: Timestamp) -> Result<bool, StoreError> {
        let mut reader = self.reader().await?;
        let Some(row) = reader.fetch_optional(OPEN_RUN, values![]).await? else {
            return Ok(false);
        };
        let (id, requested) = (row.text(0)?, row.time(1)?);
        if reader.fetch_one(IS_LEFT, values![requested]).await?.bool(0)? {
            return Ok(false);
        }
        let totals = totals(&mut reader).await?.to_json()?;
        drop(reader);
        let ended = self
            .write_one(Durability::Full, END_RUN, values![&id, now, totals])
            .await?;
        Ok(!ended.is_empty())
    }
}

async fn start(
    session: &mut Session,
    by: &str,
    now: Timestamp,
    due: u64,
    id: &str,
) -> Result<CollectionRun, StoreError> {
    let before = totals(session).await?;
    if let Some(row) = session.fetch_optional(OPEN_RUN, values![]).await? {
        return read_run(&row, before);
    }
    session
        .execute(INSERT_RUN, values![id, now, by, due, before.to_json()?])
        .await?;
    let runs = session.fetch_all(LAST_RUNS, values![MAX_RUNS]).await?;
    if let Some(oldest) = runs.get(MAX_RUNS - 1) {
        session.execute(FORGET_RUNS, values![oldest.time(1)?]).await?;
    }
    Ok(CollectionRun {
        id: id.into(),
        requested_at: now,
        requested_by: by.into(),
        due,
        ended_at: None,
        done: CollectionTotals::default(),
    })
}

async fn totals(session: &mut Session) -> Result<CollectionTotals, StoreError> {
    Ok(read_totals(&session.fetch_one(TOTALS, values![]).await?)?.0)
}

fn read_totals(row: &Row) -> Result<(CollectionTotals, u64), StoreError> {
    let totals = CollectionTotals {
        reviewed: row.size(0)?,
        kept: row.size(1)?,
        links: row.size(2)?,
        blobs: row.size(3)?,
        bytes: row.size(4)?,
        failures: row.size(5)?,
    };
    Ok((totals, row.size(6)?))
}

/// `now` is what has been done by now.
fn read_run(row: &Row, now: CollectionTotals) -> Result<CollectionRun, StoreError> {
    let before = CollectionTotals::from_json(&row.text(4)?)?;
    let after = match row.optional_text(6)? {
        Some(text) => CollectionTotals::from_json(&text)?,
        None => now,
    };
    Ok(CollectionRun {
        id: row.text(0)?,
        requested_at: row.time(1)?,
        requested_by: row.text(2)?,
        due: row.size(3)?,
        ended_at: row.optional_time(5)?,
        done: after.since(before),
    })
}
