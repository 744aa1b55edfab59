// SPDX-License-Identifier: Apache-2.0
//! The engine for several nodes: a pool, serializable transactions that are tried again, and the one lock.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::BoxFuture;
use hythe_model::fail_point;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Connection as _, Transaction};

use crate::audit::{Recording, insert};
use crate::error::{SqlError, is_conflict};
use crate::session::{Connection, Session, values};
use crate::writer::MAX_WAITING_WRITES;
use crate::{OpenError, StoreError, migration};

/// How long a call waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// After this time without use a connection is tested before it is used: the server may have restarted.
const TEST_AFTER_IDLE: Duration = Duration::from_secs(5);
/// More than this crate has statements, so that each is prepared once on each connection.
const CACHED_STATEMENTS: usize = 256;
/// How often a transaction that lost against others is run before the caller hears `Busy`.
const MAX_ATTEMPTS: u32 = 40;
const MAX_BACKOFF_MILLIS: u64 = 64;
/// Bounds on what the server does for us, in milliseconds.
const STATEMENT_TIMEOUT: &str = "60000";
const LOCK_TIMEOUT: &str = "10000";
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "60000";

#[derive(Debug)]
pub(crate) struct Postgres {
    pool: PgPool,
    writes: AtomicUsize,
}

/// What a transaction may see of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Nothing.
    Serializable,
    /// What they have committed: for transactions that are right whatever else goes on, and that shall not put others
    /// in conflict with themselves.
    Committed,
}

impl Isolation {
    fn begin(self) -> &'static str {
        match self {
            Self::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
            Self::Committed => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }
}

/// Lets one node at a time migrate. The number is arbitrary and must never change.
const MIGRATION_LOCK: &str = "SELECT CAST(pg_advisory_xact_lock(7236820157421) AS TEXT)";
const SERVER_ENCODING: &str =
    "SELECT pg_encoding_to_char(encoding)::TEXT FROM pg_database WHERE datname = current_database()";

impl Postgres {
    pub(crate) async fn open(url: &str, max_connections: u32) -> Result<Self, OpenError> {
        let options = PgConnectOptions::from_str(url)
            .map_err(OpenError::Address)?
            .application_name("hythe")
            // No notes on what is there already.
            .options([("client_min_messages", "warning")])
            .statement_cache_capacity(CACHED_STATEMENTS)
            .disable_statement_logging();
        migrate(&options).await?;

        let options = options.options([
            ("statement_timeout", STATEMENT_TIMEOUT),
            ("lock_timeout", LOCK_TIMEOUT),
            ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
            // Every statement has an index to use. A sequential scan, which the planner prefers for small
            // tables, would put every other transaction in conflict with a serializable one.
            ("enable_seqscan", "off"),
        ]);
        let pool = PgPoolOptions::new()
            .max_connections(max_connections.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, usage| {
                Box::pin(async move { Ok(usage.idle_for < TEST_AFTER_IDLE || connection.ping().await.is_ok()) })
            })
            .connect_with(options)
            .await
            .map_err(OpenError::Connect)?;
        Ok(Self {
            pool,
            writes: AtomicUsize::new(0),
        })
    }

    pub(crate) fn waiting(&self) -> usize {
        self.writes.load(Ordering::Relaxed)
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }

    /// A connection whose statements each are a transaction of their own.
    pub(crate) async fn session(&self) -> Result<Session, StoreError> {
        Ok(Session::new(Connection::Postgres(self.pool.acquire().await?), None))
    }

    /// A connection whose statements all see one state.
    pub(crate) async fn snapshot(&self) -> Result<Session, StoreError> {
        let transaction = self
            .pool
            .begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            .await?;
        Ok(Session::new(Connection::PostgresTransaction(transaction), None))
    }

    /// Counts a write while it goes on.
    pub(crate) fn enter(&self) -> Result<impl Drop + '_, StoreError> {
        struct Entered<'w>(&'w AtomicUsize);
        impl Drop for Entered<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let entered = Entered(&self.writes);
        if self.writes.fetch_add(1, Ordering::Relaxed) >= MAX_WAITING_WRITES {
            return Err(StoreError::Busy);
        }
        Ok(entered)
    }

    /// Runs `body` in a transaction, again if others changed what it read. What it changes is recorded in it as
    /// `recording` says.
    pub(crate) async fn run<A, T, E, F>(
        &self,
        isolation: Isolation,
        recording: Option<&Recording>,
        input: &A,
        body: &F,
    ) -> Result<T, E>
    where
        E: From<StoreError>,
        F: for<'s> Fn(&'s mut Session, &'s A) -> BoxFuture<'s, Result<T, E>>,
    {
        let _entered = self.enter()?;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let transaction = self
                .pool
                .begin_with(isolation.begin())
                .await
                .map_err(StoreError::from)?;
            let mut session = Session::new(Connection::PostgresTransaction(transaction), None);
            let mut outcome = body(&mut session, input).await;
            let mut is_recorded = false;
            if let (Some(recording), Ok(_)) = (recording, &outcome)
                && let Some(changes) = session.take_changes()
            {
                let record = recording.record(&changes);
                match insert(&mut session, [(&record, None)]).await {
                    Ok(()) => is_recorded = true,
                    Err(error) => outcome = Err(error.into()),
                }
            }
            let had_conflict = session.has_conflict();
            let is_lost = match (outcome, session.into_connection()) {
                (Err(error), connection) => {
                    if let Connection::PostgresTransaction(transaction) = connection {
                        rollback(transaction).await;
                    }
                    if !had_conflict || attempt >= MAX_ATTEMPTS {
                        return Err(error);
                    }
                    true
                }
                (Ok(value), Connection::PostgresTransaction(transaction)) => match commit(transaction).await {
                    Ok(()) => {
                        if let Some(recording) = recording.filter(|_| is_recorded) {
                            recording.trail.set_recorded();
                        }
                        return Ok(value);
                    }
                    Err(error) if is_conflict(&error) && attempt < MAX_ATTEMPTS => true,
                    Err(error) => return Err(StoreError::from(error).into()),
                },
                (Ok(_), _) => false,
            };
            if !is_lost {
                return Err(StoreError::Busy.into());
            }
            tokio::time::sleep(backoff(attempt)).await;
        }
    }
}

async fn commit(transaction: Transaction<'static, sqlx::Postgres>) -> Result<(), SqlError> {
    fail_point("meta.postgres_commit.before");
    let committed = transaction.commit().await;
    fail_point("meta.postgres_commit.after");
    Ok(committed?)
}

async fn rollback(transaction: Transaction<'static, sqlx::Postgres>) {
    // If it fails, the connection is broken: the pool notices, and the server rolls back.
    if let Err(error) = transaction.rollback().await {
        tracing::debug!(%error, "cannot roll back");
    }
}

/// A random time, up to one that doubles with each attempt, so that losers do not meet again.
fn backoff(attempt: u32) -> Duration {
    let most = MAX_BACKOFF_MILLIS.min(1 << attempt.min(10)) * 1000;
    Duration::from_micros(RandomState::new().build_hasher().finish() % most)
}

async fn migrate(options: &PgConnectOptions) -> Result<(), OpenError> {
    // One connection outside of the pool: a migration may take longer than the pool's timeouts allow.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options.clone())
        .await
        .map_err(OpenError::Connect)?;
    // READ COMMITTED: what is read after the wait for the lock must show what its last holder did.
    let transaction = pool
        .begin_with("BEGIN ISOLATION LEVEL READ COMMITTED")
        .await
        .map_err(OpenError::Connect)?;
    let mut session = Session::new(Connection::PostgresTransaction(transaction), None);
    let encoding = session.fetch_one(SERVER_ENCODING, values![]).await?.text(0)?;
    if encoding != "UTF8" {
        return Err(OpenError::Encoding(encoding));
    }
    session.execute(MIGRATION_LOCK, values![]).await?;
    migration::run(&mut session, "COLLATE \"C\"").await?;
    if let Connection::PostgresTransaction(transaction) = session.into_connection() {
        transaction
            .commit()
            .await
            .map_err(|error| OpenError::Prepare(error.into()))?;
    }
    pool.close().await;
    Ok(())
}
