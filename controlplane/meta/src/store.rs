// SPDX-License-Identifier: Apache-2.0
//! The store itself: which engine, and how reads and writes get to it.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::future::BoxFuture;
use hythe_access::Trail;
use hythe_model::fail_point;
use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::audit::{Auditor, Recording};
use crate::blob::MAX_DELETION_WAIT;
use crate::cache::{Cache, CacheStats};
use crate::counts::{Counts, ImageCounts};
use crate::postgres::{Isolation, Postgres};
use crate::session::{Row, Session, Value, values};
use crate::sqlite::Sqlite;
use crate::writer::Durability;
use crate::{OpenError, StoreError};

/// Which database to use.
#[derive(Clone)]
pub enum StoreConfig {
    /// A file, which is created if it is not there. Its folder must exist. Only one store at a time may have it
    /// open, or none may cache: see [`Store::set_cache_bytes`].
    Sqlite {
        /// The file.
        path: PathBuf,
    },
    /// A PostgreSQL database with encoding UTF8.
    Postgres {
        /// Such as `postgres://user:password@host/database`.
        url: String,
        /// The most connections that this process opens.
        max_connections: u32,
    },
}

/// Shows no password.
impl fmt::Debug for StoreConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => formatter.debug_struct("Sqlite").field("path", path).finish(),
            Self::Postgres { max_connections, .. } => formatter
                .debug_struct("Postgres")
                .field("max_connections", max_connections)
                .finish_non_exhaustive(),
        }
    }
}

/// The metadata store. Clones share one set of connections.
#[derive(Clone, Debug)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    engine: Engine,
    tracker: TaskTracker,
    auditor: OnceLock<Auditor>,
    counts: Counts,
    replication: Notify,
    link_grace_ms: AtomicI64,
    deletion_wait_ms: AtomicU64,
}

#[derive(Debug)]
enum Engine {
    Sqlite(Sqlite),
    Postgres(Postgres),
}

/// Writes a row as it is.
const PROBE: &str = "UPDATE schema_version SET version = version";

impl Store {
    /// Connects, and brings the schema to what this binary needs. Must run within a tokio runtime.
    pub async fn open(config: &StoreConfig) -> Result<Self, OpenError> {
        let tracker = TaskTracker::new();
        let engine = match config {
            StoreConfig::Sqlite { path } => Engine::Sqlite(Sqlite::open(path, &tracker).await?),
            StoreConfig::Postgres { url, max_connections } => {
                Engine::Postgres(Postgres::open(url, *max_connections).await?)
            }
        };
        tracker.close();
        let auditor = OnceLock::new();
        Ok(Self(Arc::new(Inner {
            engine,
            tracker,
            auditor,
            counts: Counts::default(),
            replication: Notify::new(),
            link_grace_ms: AtomicI64::new(0),
            deletion_wait_ms: AtomicU64::new(milliseconds(MAX_DELETION_WAIT)),
        })))
    }

    /// How long a link that no image needs stays after it was made, for those who look at links again: sooner makes no
    /// sense. At first they look at once.
    pub fn set_link_grace(&self, grace: SignedDuration) {
        let millis = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        self.0.link_grace_ms.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn link_grace(&self) -> SignedDuration {
        SignedDuration::from_millis(self.0.link_grace_ms.load(Ordering::Relaxed))
    }

    /// How long a push waits for bytes of the same blob to be gone that are being deleted, before it is refused for now; a
    /// few seconds at first.
    pub fn set_deletion_wait(&self, wait: Duration) {
        self.0.deletion_wait_ms.store(milliseconds(wait), Ordering::Relaxed);
    }

    pub(crate) fn deletion_wait(&self) -> Duration {
        Duration::from_millis(self.0.deletion_wait_ms.load(Ordering::Relaxed))
    }

    /// From now on, changes that are made within a [`Trail`] are recorded in their own transaction. The first auditor
    /// stays.
    pub fn set_auditor(&self, auditor: Auditor) {
        let _ = self.0.auditor.set(auditor);
    }

    pub(crate) fn auditor(&self) -> Option<&Auditor> {
        self.0.auditor.get()
    }

    /// How many images this process deleted, restored and purged.
    #[must_use]
    pub fn image_counts(&self) -> ImageCounts {
        self.0.counts.read()
    }

    /// Waits until something was queued for replication on this node. One that was queued before this was called counts.
    pub async fn replication_queued(&self) {
        self.0.replication.notified().await;
    }

    pub(crate) fn nudge_replication(&self) {
        self.0.replication.notify_one();
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// As what a change that is made now is recorded. What may be lost in a power cut is no change in this sense: it
    /// is the state of an upload under way.
    fn recording(&self, durability: Durability) -> Option<Recording> {
        let auditor = self.auditor().filter(|_| durability == Durability::Full)?;
        Some(Recording {
            trail: Trail::current()?,
            auditor: auditor.clone(),
        })
    }

    /// Whether the store can read, and write if the disk has refused it the last time.
    pub async fn check(&self) -> Result<(), StoreError> {
        if let Engine::Sqlite(sqlite) = &self.0.engine {
            if !sqlite.writer.is_alive() {
                return Err(StoreError::Busy);
            }
            if sqlite.writer.is_failing() {
                let probe = sqlite.writer.run(Durability::Full, None, (), |session, ()| {
                    Box::pin(async move { session.execute(PROBE, values![]).await })
                });
                let _: u64 = probe.await?;
            }
        }
        self.reader()
            .await?
            .fetch_one("SELECT COUNT(*) FROM schema_version", values![])
            .await
            .map(drop)
    }

    /// Lets waiting writes finish, refuses new ones, and closes the connections.
    pub async fn close(&self) {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => {
                sqlite.close_readers().await;
                // Last, so that closing the writer leaves one file without a log beside it.
                sqlite.writer.stop();
            }
            Engine::Postgres(postgres) => postgres.close().await,
        }
        self.0.tracker.wait().await;
    }

    /// How many writes wait or go on.
    #[must_use]
    pub fn queue_depth(&self) -> usize {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => sqlite.writer.waiting(),
            Engine::Postgres(postgres) => postgres.waiting(),
        }
    }

    /// Bounds what of an embedded database is kept in memory, in bytes; [`crate::DEFAULT_CACHE_BYTES`] at first. With 0
    /// nothing is, which it must be if others write to the file. PostgreSQL is always asked.
    pub fn set_cache_bytes(&self, max_bytes: usize) {
        if let Some(cache) = self.cache() {
            cache.set_max_bytes(max_bytes);
        }
    }

    /// How well the cache does; all 0 on PostgreSQL.
    #[must_use]
    pub fn cache_stats(&self) -> CacheStats {
        self.cache().map(Cache::stats).unwrap_or_default()
    }

    pub(crate) fn cache(&self) -> Option<&Cache> {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => Some(&sqlite.cache),
            Engine::Postgres(_) => None,
        }
    }

    /// A connection for one read.
    pub(crate) async fn reader(&self) -> Result<Session, StoreError> {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => sqlite.reader().await,
            Engine::Postgres(postgres) => postgres.session().await,
        }
    }

    /// The rows of a statement that finds a few of them by key. On the embedded database it runs on this thread, as to
    /// switch to another costs more than such a read does.
    pub(crate) async fn point(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        if let Engine::Sqlite(sqlite) = &self.0.engine {
            match sqlite.point(sql, values) {
                // Something has the file locked: to wait for it is for other threads.
                Err(StoreError::Busy) => {}
                outcome => return outcome,
            }
        }
        self.reader().await?.fetch_all(sql, values).await
    }

    /// The rows of a page, of which there may be too many to be read on this thread. On the embedded database another one reads
    /// them in one go: to hand over row by row takes longer than to read them.
    pub(crate) async fn page_rows(&self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        if matches!(self.0.engine, Engine::Sqlite(_)) {
            let store = self.clone();
            let owned: Vec<Value<'static>> = values.iter().cloned().map(Value::into_owned).collect();
            let read = move || match &store.0.engine {
                Engine::Sqlite(sqlite) => sqlite.point(sql, &owned),
                Engine::Postgres(_) => Err(StoreError::Busy),
            };
            // Something has the file locked, or the server ends.
            if let Ok(outcome) = tokio::task::spawn_blocking(read).await
                && !matches!(outcome, Err(StoreError::Busy))
            {
                return outcome;
            }
        }
        self.reader().await?.fetch_all(sql, values).await
    }

    /// A connection whose reads all see one state. End it with [`Session::end_snapshot`].
    pub(crate) async fn snapshot(&self) -> Result<Session, StoreError> {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => {
                let mut session = sqlite.reader().await?;
                session.begin_snapshot().await?;
                Ok(session)
            }
            Engine::Postgres(postgres) => postgres.snapshot().await,
        }
    }

    /// Runs `body` as one transaction, which is as durable as asked for when this returns; an `Err` rolls it
    /// back. `body` may run several times, and must have no effects but those on the database.
    ///
    /// PostgreSQL does every write at full durability.
    pub(crate) async fn write<A, T, E, F>(&self, durability: Durability, input: A, body: F) -> Result<T, E>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'s> Fn(&'s mut Session, &'s A) -> BoxFuture<'s, Result<T, E>> + Send + Sync + 'static,
    {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => {
                let recording = self.recording(durability);
                sqlite.writer.run(durability, recording, input, body).await
            }
            Engine::Postgres(postgres) => {
                let recording = self.recording(durability);
                postgres
                    .run(Isolation::Serializable, recording.as_ref(), &input, &body)
                    .await
            }
        }
    }

    /// The same, for transactions that are right whatever others commit meanwhile, and that are not recorded.
    pub(crate) async fn write_committed<A, T, E, F>(&self, durability: Durability, input: A, body: F) -> Result<T, E>
    where
        A: Send + Sync + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'s> Fn(&'s mut Session, &'s A) -> BoxFuture<'s, Result<T, E>> + Send + Sync + 'static,
    {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => sqlite.writer.run(durability, None, input, body).await,
            Engine::Postgres(postgres) => postgres.run(Isolation::Committed, None, &input, &body).await,
        }
    }

    /// Runs one statement as a transaction of its own and returns its rows. Only for statements that are
    /// right whatever else goes on at the same time, such as a conditional update of one row.
    pub(crate) async fn write_one(
        &self,
        durability: Durability,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Vec<Row>, StoreError> {
        match &self.0.engine {
            Engine::Sqlite(sqlite) => {
                let values: Vec<_> = values.iter().cloned().map(Value::into_owned).collect();
                let recording = self.recording(durability);
                sqlite
                    .writer
                    .run(durability, recording, values, move |session, values| {
                        Box::pin(one(session, sql, values))
                    })
                    .await
            }
            Engine::Postgres(postgres) => {
                if let Some(recording) = self.recording(durability) {
                    let values: Vec<_> = values.iter().cloned().map(Value::into_owned).collect();
                    return postgres
                        .run(
                            Isolation::Committed,
                            Some(&recording),
                            &values,
                            &move |session, values| Box::pin(one(session, sql, values)),
                        )
                        .await;
                }
                let _entered = postgres.enter()?;
                // The statement commits by itself.
                fail_point("meta.postgres_statement.before");
                let rows = postgres.session().await?.fetch_all(sql, values).await;
                fail_point("meta.postgres_statement.after");
                rows
            }
        }
    }
}

/// Runs a statement. One that gives no rows back is run so that it says how many it has changed.
async fn one(session: &mut Session, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
    if sql.contains("RETURNING") {
        session.fetch_all(sql, values).await
    } else {
        session.execute(sql, values).await.map(|_| Vec::new())
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
