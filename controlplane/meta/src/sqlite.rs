// SPDX-License-Identifier: Apache-2.0
//! The embedded engine: one file, one writer, readers that never wait for it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::cache::{Cache, DEFAULT_CACHE_BYTES};
use crate::embedded::{CACHED_STATEMENTS, Embedded};
use crate::error::is_busy;
use crate::session::{Connection, Row, Session, Value};
use crate::writer::Writer;
use crate::{OpenError, StoreError, migration};

/// How long a statement waits for another process that has the file locked, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read waits for one of the connections.
const READER_TIMEOUT: Duration = Duration::from_secs(5);
/// What a burst of writes leaves behind of the log is cut off at the next checkpoint, in bytes.
const MAX_IDLE_LOG_BYTES: u64 = 64 * 1024 * 1024;
const FIRST_CONNECT_PAUSE: Duration = Duration::from_millis(10);
const MIN_READERS: usize = 4;
const MAX_READERS: usize = 16;
/// How many connections for point reads are kept open.
const MAX_POINT_READERS: usize = 16;

#[derive(Debug)]
pub(crate) struct Sqlite {
    pub(crate) writer: Writer,
    pub(crate) cache: Arc<Cache>,
    readers: Arc<Readers>,
    points: Points,
}

impl Sqlite {
    pub(crate) async fn open(path: &Path, tracker: &TaskTracker) -> Result<Self, OpenError> {
        create_private(path).map_err(|cause| OpenError::File {
            path: path.display().to_string(),
            cause,
        })?;
        let mut connection = connect_first(path).await.map_err(OpenError::Embedded)?;
        // What the log holds may not be on the disk, if a sync failed before this start.
        connection
            .run_script("PRAGMA wal_checkpoint(TRUNCATE)")
            .map_err(OpenError::Embedded)?;
        let mut session = Session::new(Connection::Embedded(connection), None);
        session.execute("BEGIN IMMEDIATE", &[]).await?;
        migration::run(&mut session, "").await?;
        session.execute("COMMIT", &[]).await?;

        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = (2 * cores).clamp(MIN_READERS, MAX_READERS);
        let readers = Arc::new(Readers {
            options: SqliteConnectOptions::new()
                .filename(path)
                .read_only(true)
                .busy_timeout(BUSY_TIMEOUT)
                .statement_cache_capacity(CACHED_STATEMENTS)
                .pragma("temp_store", "memory")
                .disable_statement_logging(),
            permits: Arc::new(Semaphore::new(count)),
            idle: Mutex::new(Vec::with_capacity(count)),
        });
        let cache = Arc::new(Cache::new(DEFAULT_CACHE_BYTES));
        Ok(Self {
            writer: Writer::start(session.with_cache(Arc::clone(&cache)), tracker).map_err(OpenError::Thread)?,
            cache,
            readers,
            points: Points {
                path: path.into(),
                idle: Mutex::default(),
            },
        })
    }

    /// The rows of a statement that finds them by key, read on this thread. [`StoreError::Busy`] if that would mean to wait.
    pub(crate) fn point(&self, sql: &str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        if self.readers.permits.is_closed() {
            return Err(StoreError::Busy);
        }
        let mut connection = match self.points.idle().pop() {
            Some(connection) => connection,
            None => Embedded::open(&self.points.path, true, Duration::ZERO)?,
        };
        let rows = connection.run(sql, values);
        let mut idle = self.points.idle();
        if idle.len() < MAX_POINT_READERS {
            idle.push(connection);
        }
        drop(idle);
        let (rows, _) = rows?;
        Ok(rows.into_iter().map(Row::Embedded).collect())
    }

    pub(crate) async fn reader(&self) -> Result<Session, StoreError> {
        let permit = timeout(READER_TIMEOUT, Arc::clone(&self.readers.permits).acquire_owned());
        let permit = permit
            .await
            .map_err(|_| StoreError::Busy)?
            .map_err(|_| StoreError::Busy)?;
        let connection = match self.readers.take() {
            Some(connection) => connection,
            None => self.readers.options.connect().await?,
        };
        let slot = ReaderSlot {
            readers: Arc::clone(&self.readers),
            _permit: permit,
        };
        Ok(Session::new(Connection::Sqlite(Some(connection)), Some(slot)))
    }

    pub(crate) async fn close_readers(&self) {
        self.readers.permits.close();
        self.points.idle().clear();
        while let Some(connection) = self.readers.take() {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "cannot close a database connection");
            }
        }
    }
}

/// Connects, again while another process that starts at the same time turns the new file into one with a
/// write-ahead log: SQLite does not wait for that by itself.
async fn connect_first(path: &Path) -> rusqlite::Result<Embedded> {
    let start = Instant::now();
    loop {
        match connect_writer(path) {
            Err(error) if start.elapsed() < BUSY_TIMEOUT && is_busy(&error) => sleep(FIRST_CONNECT_PAUSE).await,
            outcome => return outcome,
        }
    }
}

fn connect_writer(path: &Path) -> rusqlite::Result<Embedded> {
    let mut connection = Embedded::open(path, false, BUSY_TIMEOUT)?;
    let synchronous = if hythe_model::Sync::Database.is_missing() {
        "OFF"
    } else {
        "FULL"
    };
    connection.run_script(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = {synchronous}; PRAGMA foreign_keys = ON;
         PRAGMA journal_size_limit = {MAX_IDLE_LOG_BYTES}"
    ))?;
    Ok(connection)
}

/// The database holds sealed secrets: only its owner may read it. SQLite gives its other files the same mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop)
}

/// Connections that only read. The driver's own pool costs several times what a point select does.
#[derive(Debug)]
struct Readers {
    options: SqliteConnectOptions,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Readers {
    fn take(&self) -> Option<SqliteConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}

/// Connections for reads of a few rows by key, each used on the thread that asks and given back at once: there are never
/// more than threads.
#[derive(Debug)]
struct Points {
    path: PathBuf,
    idle: Mutex<Vec<Embedded>>,
}

impl Points {
    fn idle(&self) -> MutexGuard<'_, Vec<Embedded>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to one of the reading connections.
pub(crate) struct ReaderSlot {
    readers: Arc<Readers>,
    _permit: OwnedSemaphorePermit,
}

impl ReaderSlot {
    pub(crate) fn give_back(self, connection: SqliteConnection) {
        if !self.readers.permits.is_closed() {
            self.readers
                .idle
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
        }
    }
}
