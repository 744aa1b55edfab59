// SPDX-License-Identifier: Apache-2.0
//! The embedded engine: one file, one writer, readers that never wait for it.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::cache::{Cache, DEFAULT_CACHE_BYTES};
use crate::error::is_busy;
use crate::session::{Connection, Session};
use crate::writer::Writer;
use crate::{OpenError, StoreError, migration};

/// How long a statement waits for another process that has the file locked, such as a backup.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a read waits for one of the connections.
const READER_TIMEOUT: Duration = Duration::from_secs(5);
/// More than this crate has statements, so that each is prepared once on each connection.
const CACHED_STATEMENTS: usize = 256;
const FIRST_CONNECT_PAUSE: Duration = Duration::from_millis(10);
const MIN_READERS: usize = 4;
const MAX_READERS: usize = 16;

#[derive(Debug)]
pub(crate) struct Sqlite {
    pub(crate) writer: Writer,
    pub(crate) cache: Arc<Cache>,
    readers: Arc<Readers>,
}

impl Sqlite {
    pub(crate) async fn open(path: &Path, tracker: &TaskTracker) -> Result<Self, OpenError> {
        create_private(path).map_err(|cause| OpenError::File {
            path: path.display().to_string(),
            cause,
        })?;
        let shared = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(BUSY_TIMEOUT)
            .statement_cache_capacity(CACHED_STATEMENTS)
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        let writing = shared
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(if hythe_model::Sync::Database.is_missing() {
                SqliteSynchronous::Off
            } else {
                SqliteSynchronous::Full
            })
            .foreign_keys(true)
            // What a burst of writes leaves behind is cut off at the next checkpoint, in bytes.
            .pragma("journal_size_limit", "67108864");
        let connection = connect_first(&writing).await.map_err(OpenError::Connect)?;
        let mut session = Session::new(Connection::Sqlite(Some(connection)), None);
        session.execute("BEGIN IMMEDIATE", &[]).await?;
        migration::run(&mut session, "").await?;
        session.execute("COMMIT", &[]).await?;

        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let count = (2 * cores).clamp(MIN_READERS, MAX_READERS);
        let readers = Arc::new(Readers {
            options: shared.read_only(true),
            permits: Arc::new(Semaphore::new(count)),
            idle: Mutex::new(Vec::with_capacity(count)),
        });
        let cache = Arc::new(Cache::new(DEFAULT_CACHE_BYTES));
        Ok(Self {
            writer: Writer::start(session.with_cache(Arc::clone(&cache)), tracker),
            cache,
            readers,
        })
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
        while let Some(connection) = self.readers.take() {
            if let Err(error) = connection.close().await {
                tracing::warn!(%error, "cannot close a database connection");
            }
        }
    }
}

/// Connects, again while another process that starts at the same time turns the new file into one with a
/// write-ahead log: SQLite does not wait for that by itself.
async fn connect_first(options: &SqliteConnectOptions) -> Result<SqliteConnection, sqlx::Error> {
    let start = Instant::now();
    loop {
        match options.connect().await {
            Err(error) if start.elapsed() < BUSY_TIMEOUT && is_busy(&error) => sleep(FIRST_CONNECT_PAUSE).await,
            outcome => return outcome,
        }
    }
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
