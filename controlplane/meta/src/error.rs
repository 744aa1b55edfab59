// SPDX-License-Identifier: Apache-2.0
//! What can go wrong in every method, and at the start.

use hythe_catalog::{CatalogError, DeleteImageError, PutImageError};
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;

/// Why the store did not do what it was asked to. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Too much waits, or others changed the same rows too often. Trying again later helps.
    #[error("the metadata store is busy")]
    Busy,
    /// The disk under the database is full.
    #[error("the disk of the metadata store is full")]
    Full,
    /// The disk under the database fails, or takes no writes: somebody has to look after it.
    #[error("the disk of the metadata store fails")]
    Disk(#[source] SqlError),
    /// The database server does not answer. Trying again later may help.
    #[error("the metadata store cannot be reached")]
    Unreachable(#[source] sqlx::Error),
    /// The database refused a statement.
    #[error("the metadata store failed")]
    Sql(#[source] SqlError),
    /// A row does not hold what its column is for; the text says which.
    #[error("the metadata store holds a row that cannot be read: {0}")]
    Corrupt(String),
}

/// What an engine's driver says.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub enum SqlError {
    /// The driver of PostgreSQL, and of the connections that read lists from SQLite.
    Driver(#[from] sqlx::Error),
    /// SQLite, on the thread that asked.
    Embedded(#[from] rusqlite::Error),
}

/// Why the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The address of the database is not valid.
    #[error("the database address is not valid")]
    Address(#[source] sqlx::Error),
    /// The database file cannot be made or opened.
    #[error("cannot open the database file `{path}`")]
    File {
        /// The file.
        path: String,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// The database cannot be reached, or does not let us in.
    #[error("cannot connect to the database")]
    Connect(#[source] sqlx::Error),
    /// The PostgreSQL database was not created for this.
    #[error(
        "the PostgreSQL database has the encoding {0}, not UTF8: create it with `CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'`"
    )]
    Encoding(String),
    /// The database file cannot be opened as one.
    #[error("cannot open the database")]
    Embedded(#[source] rusqlite::Error),
    /// The system has no thread for the writer.
    #[error("cannot start the thread that writes to the database")]
    Thread(#[source] std::io::Error),
    /// A migration failed; the database is as it was before it.
    #[error("cannot bring the database to schema version {version}")]
    Migration {
        /// The version that was not reached.
        version: i64,
        /// Why.
        #[source]
        cause: StoreError,
    },
    /// The database does not answer as it should.
    #[error("cannot prepare the database")]
    Prepare(#[from] StoreError),
}

/// SQLite's primary result codes, <https://sqlite.org/rescode.html>.
const SQLITE_BUSY: i32 = 5;
const SQLITE_LOCKED: i32 = 6;
const SQLITE_READONLY: i32 = 8;
const SQLITE_IOERR: i32 = 10;
const SQLITE_FULL: i32 = 13;
const SQLITE_CANTOPEN: i32 = 14;
/// The extended codes of a sync that failed, of the file or of its folder.
const SQLITE_IOERR_FSYNC: i32 = 1034;
const SQLITE_IOERR_DIR_FSYNC: i32 = 1290;

/// Whether running the whole transaction again can help: PostgreSQL found it in conflict with another
/// (`serialization_failure`, `deadlock_detected`), a row that it was about to refer to is just gone
/// (`foreign_key_violation`), or one that it was about to insert has just come (`unique_violation`).
pub(crate) fn is_conflict(error: &SqlError) -> bool {
    let SqlError::Driver(error) = error else {
        return false;
    };
    let code = error
        .as_database_error()
        .filter(|error| !is_sqlite(*error))
        .and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("40001" | "40P01" | "23503" | "23505"))
}

/// Whether SQLite found the file locked.
pub(crate) fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(embedded_code(error), SQLITE_BUSY | SQLITE_LOCKED)
}

/// Whether a sync of the disk failed. The kernel may have dropped what it could not write, of this transaction and of
/// earlier ones that were not synced yet, and reports the next sync as a success (fsync(2)).
pub(crate) fn is_failed_sync(error: &StoreError) -> bool {
    let StoreError::Disk(SqlError::Embedded(error)) = error else {
        return false;
    };
    let code = error.sqlite_error().map_or(0, |error| error.extended_code);
    matches!(code, SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC)
}

fn embedded_code(error: &rusqlite::Error) -> i32 {
    error.sqlite_error().map_or(0, |error| error.extended_code & 0xff)
}

/// The primary result code; the second byte and up refine it.
fn sqlite_code(error: &dyn DatabaseError) -> i32 {
    error.code().and_then(|code| code.parse::<i32>().ok()).unwrap_or(0) & 0xff
}

fn is_sqlite(error: &dyn DatabaseError) -> bool {
    error.try_downcast_ref::<SqliteError>().is_some()
}

impl From<SqlError> for StoreError {
    fn from(error: SqlError) -> Self {
        match error {
            SqlError::Driver(error) => error.into(),
            SqlError::Embedded(error) => error.into(),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match embedded_code(&error) {
            SQLITE_BUSY | SQLITE_LOCKED => Self::Busy,
            SQLITE_FULL => Self::Full,
            SQLITE_READONLY | SQLITE_IOERR | SQLITE_CANTOPEN => Self::Disk(error.into()),
            _ if matches!(error, rusqlite::Error::FromSqlConversionFailure(..)) => Self::Corrupt(error.to_string()),
            _ => Self::Sql(error.into()),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => Self::Busy,
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::WorkerCrashed | sqlx::Error::Protocol(_) => {
                Self::Unreachable(error)
            }
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnIndexOutOfBounds { .. } => {
                Self::Corrupt(error.to_string())
            }
            sqlx::Error::Database(cause) => {
                if is_sqlite(cause.as_ref()) {
                    return match sqlite_code(cause.as_ref()) {
                        SQLITE_BUSY | SQLITE_LOCKED => Self::Busy,
                        SQLITE_FULL => Self::Full,
                        SQLITE_READONLY | SQLITE_IOERR | SQLITE_CANTOPEN => Self::Disk(error.into()),
                        _ => Self::Sql(error.into()),
                    };
                }
                match cause.code().unwrap_or_default().as_ref() {
                    // Conflicts, lock and statement timeouts, too many connections.
                    "40001" | "40P01" | "55P03" | "57014" | "53300" => Self::Busy,
                    "53100" => Self::Full,
                    // `io_error`, of the disk of the server.
                    "58030" => Self::Disk(error.into()),
                    // Shutting down, crashed, starting; read-only after a fail-over.
                    "57P01" | "57P02" | "57P03" | "25006" => Self::Unreachable(error),
                    _ => Self::Sql(error.into()),
                }
            }
            _ => Self::Sql(error.into()),
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<StoreError> for CatalogError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Unreachable(cause) => {
                // `Busy` carries no cause, so this is the last place that knows it.
                tracing::warn!(error = %cause, "the metadata store cannot be reached");
                Self::Busy
            }
            StoreError::Disk(cause) => {
                tracing::error!(error = %cause, "the disk of the metadata store fails");
                Self::Busy
            }
            StoreError::Full => Self::Full,
            StoreError::Sql(_) | StoreError::Corrupt(_) => Self::store(error),
        }
    }
}

impl From<StoreError> for PutImageError {
    fn from(error: StoreError) -> Self {
        Self::Catalog(error.into())
    }
}

impl From<StoreError> for DeleteImageError {
    fn from(error: StoreError) -> Self {
        Self::Catalog(error.into())
    }
}
