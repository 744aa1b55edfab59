// SPDX-License-Identifier: Apache-2.0
//! One connection of either engine, the values that go in and the rows that come out.

use std::borrow::Cow;
use std::fmt::Display;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use hythe_access::{GroupName, MovedTag, PolicyName, RoleName, UserName};
use hythe_model::{AccountId, Digest, MediaType, RepositoryName, RepositoryPath, Tag, UploadId, from_millis, millis};
use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Decode, Postgres, Row as _, Sqlite, SqliteConnection, Transaction, Type};

use crate::StoreError;
use crate::audit::Changes;
use crate::cache::{Cache, Fact, Touched};
use crate::embedded::{Embedded, EmbeddedRow, FromCell};
use crate::error::{SqlError, is_conflict};
use crate::sqlite::ReaderSlot;

/// A value for a placeholder, of one of the four types that mean the same on both engines.
#[derive(Clone, Debug)]
pub(crate) enum Value<'v> {
    Text(Option<Cow<'v, str>>),
    Int(Option<i64>),
    Bool(bool),
    Bytes(Option<Cow<'v, [u8]>>),
}

impl Value<'_> {
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Self::Text(text) => Value::Text(text.map(|text| Cow::Owned(text.into_owned()))),
            Self::Int(int) => Value::Int(int),
            Self::Bool(bool) => Value::Bool(bool),
            Self::Bytes(bytes) => Value::Bytes(bytes.map(|bytes| Cow::Owned(bytes.into_owned()))),
        }
    }
}

/// PostgreSQL cannot hold U+0000 in a text, so that rows of neither engine do: U+FFFD stands for it.
fn storable(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        text
    }
}

impl<'v> From<&'v str> for Value<'v> {
    fn from(text: &'v str) -> Self {
        Self::Text(Some(storable(Cow::Borrowed(text))))
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(Some(storable(Cow::Owned(text))))
    }
}

impl<'v> From<Option<&'v str>> for Value<'v> {
    fn from(text: Option<&'v str>) -> Self {
        Self::Text(text.map(|text| storable(Cow::Borrowed(text))))
    }
}

impl From<&Digest> for Value<'_> {
    fn from(digest: &Digest) -> Self {
        digest.to_string().into()
    }
}

impl From<Option<&Digest>> for Value<'_> {
    fn from(digest: Option<&Digest>) -> Self {
        Self::Text(digest.map(|digest| Cow::Owned(digest.to_string())))
    }
}

impl From<UploadId> for Value<'_> {
    fn from(upload: UploadId) -> Self {
        upload.to_string().into()
    }
}

macro_rules! text_values {
    ($($type:ty),*) => {$(
        impl<'v> From<&'v $type> for Value<'v> {
            fn from(text: &'v $type) -> Self {
                text.as_str().into()
            }
        }
    )*};
}
text_values!(
    String,
    AccountId,
    RepositoryName,
    Tag,
    MediaType,
    UserName,
    PolicyName,
    GroupName,
    RoleName
);

impl From<i64> for Value<'_> {
    fn from(int: i64) -> Self {
        Self::Int(Some(int))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(int: Option<i64>) -> Self {
        Self::Int(int)
    }
}

/// Sizes and limits. Nothing that is counted comes near the end of `i64`.
impl From<u64> for Value<'_> {
    fn from(size: u64) -> Self {
        Self::Int(Some(i64::try_from(size).unwrap_or(i64::MAX)))
    }
}

impl From<usize> for Value<'_> {
    fn from(size: usize) -> Self {
        Self::Int(Some(i64::try_from(size).unwrap_or(i64::MAX)))
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Int(Some(millis(time)))
    }
}

impl From<Option<Timestamp>> for Value<'_> {
    fn from(time: Option<Timestamp>) -> Self {
        Self::Int(time.map(millis))
    }
}

impl From<bool> for Value<'_> {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl<'v> From<&'v [u8]> for Value<'v> {
    fn from(bytes: &'v [u8]) -> Self {
        Self::Bytes(Some(Cow::Borrowed(bytes)))
    }
}

impl<'v> From<Option<&'v [u8]>> for Value<'v> {
    fn from(bytes: Option<&'v [u8]>) -> Self {
        Self::Bytes(bytes.map(Cow::Borrowed))
    }
}

/// The values of a statement's placeholders, `$1` first.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::session::Value::from($value)),*][..] };
}
pub(crate) use values;

/// A row of either engine. Columns go by position, as the statement lists them.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Embedded(EmbeddedRow),
    Postgres(PgRow),
}

impl Row {
    fn get<T>(&self, column: usize) -> Result<T, StoreError>
    where
        T: FromCell + for<'r> Decode<'r, Sqlite> + Type<Sqlite> + for<'r> Decode<'r, Postgres> + Type<Postgres>,
        usize: ColumnIndex<SqliteRow> + ColumnIndex<PgRow>,
    {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Embedded(row) => row
                .cell(column)
                .and_then(T::from_cell)
                .ok_or_else(|| StoreError::Corrupt(format!("column {column} holds another type")))?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(crate) fn text(&self, column: usize) -> Result<String, StoreError> {
        self.get(column)
    }

    pub(crate) fn optional_text(&self, column: usize) -> Result<Option<String>, StoreError> {
        self.get(column)
    }

    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.get(column)
    }

    pub(crate) fn optional_int(&self, column: usize) -> Result<Option<i64>, StoreError> {
        self.get(column)
    }

    /// A size or a count.
    pub(crate) fn size(&self, column: usize) -> Result<u64, StoreError> {
        let int = self.int(column)?;
        u64::try_from(int).map_err(|_| StoreError::Corrupt(format!("column {column} is {int}, not a size")))
    }

    pub(crate) fn bool(&self, column: usize) -> Result<bool, StoreError> {
        self.get(column)
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<Bytes, StoreError> {
        self.get::<Vec<u8>>(column).map(Bytes::from)
    }

    pub(crate) fn optional_bytes(&self, column: usize) -> Result<Option<Bytes>, StoreError> {
        Ok(self.get::<Option<Vec<u8>>>(column)?.map(Bytes::from))
    }

    pub(crate) fn time(&self, column: usize) -> Result<Timestamp, StoreError> {
        self.int(column).map(from_millis)
    }

    pub(crate) fn optional_time(&self, column: usize) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.optional_int(column)?.map(from_millis))
    }

    /// A text of a type with a grammar.
    pub(crate) fn parsed<T: FromStr<Err: Display>>(&self, column: usize) -> Result<T, StoreError> {
        self.text(column)?.parse().map_err(corrupt)
    }

    pub(crate) fn optional_parsed<T: FromStr<Err: Display>>(&self, column: usize) -> Result<Option<T>, StoreError> {
        self.optional_text(column)?
            .map(|text| text.parse().map_err(corrupt))
            .transpose()
    }
}

/// A row does not hold what it should, because of `cause`.
pub(crate) fn corrupt(cause: impl Display) -> StoreError {
    StoreError::Corrupt(cause.to_string())
}

pub(crate) enum Connection {
    /// `None` once it has gone back to the readers.
    Sqlite(Option<SqliteConnection>),
    /// Its statements run on this thread, at once.
    Embedded(Embedded),
    Postgres(PoolConnection<Postgres>),
    PostgresTransaction(Transaction<'static, Postgres>),
}

/// One connection of either engine, to run statements on.
///
/// Dropping it at any time is safe: a connection that is in the middle of something is closed or rolled back.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, none of which follows from another"
)]
pub(crate) struct Session {
    connection: Connection,
    slot: Option<ReaderSlot>,
    is_mid_statement: bool,
    is_in_snapshot: bool,
    has_conflict: bool,
    /// Of the connection that writes to an embedded database.
    cache: Option<Arc<Cache>>,
    touched: Vec<Touched>,
    has_changed: bool,
    changes: Changes,
}

macro_rules! bound {
    ($sql:expr, $values:expr) => {{
        let mut query = sqlx::query($sql);
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind(text.as_deref()),
                Value::Int(int) => query.bind(*int),
                Value::Bool(bool) => query.bind(*bool),
                Value::Bytes(bytes) => query.bind(bytes.as_deref()),
            };
        }
        query
    }};
}

macro_rules! on_connection {
    ($session:expr, $connection:ident => $run:expr, $sqlite:expr, $postgres:expr, $embedded:expr) => {{
        $session.is_mid_statement = true;
        let result = match &mut $session.connection {
            Connection::Sqlite(None) => Err(SqlError::from(sqlx::Error::PoolClosed)),
            Connection::Sqlite(Some($connection)) => $run.await.map($sqlite).map_err(SqlError::from),
            Connection::Embedded(embedded) => $embedded(embedded).map_err(SqlError::from),
            Connection::Postgres(connection) => {
                let $connection = &mut **connection;
                $run.await.map($postgres).map_err(SqlError::from)
            }
            Connection::PostgresTransaction(transaction) => {
                let $connection = &mut **transaction;
                $run.await.map($postgres).map_err(SqlError::from)
            }
        };
        $session.is_mid_statement = false;
        result.map_err(|error| {
            $session.has_conflict |= is_conflict(&error);
            StoreError::from(error)
        })
    }};
}

impl Session {
    pub(crate) fn new(connection: Connection, slot: Option<ReaderSlot>) -> Self {
        Self {
            connection,
            slot,
            is_mid_statement: false,
            is_in_snapshot: false,
            has_conflict: false,
            cache: None,
            touched: Vec::new(),
            has_changed: false,
            changes: Changes::default(),
        }
    }

    /// Begins to note what a transaction changes.
    pub(crate) fn start_changes(&mut self) {
        self.has_changed = false;
        self.changes = Changes::default();
    }

    /// What was noted since then; `None` if no row was written.
    pub(crate) fn take_changes(&mut self) -> Option<Changes> {
        let changes = std::mem::take(&mut self.changes);
        std::mem::take(&mut self.has_changed).then_some(changes)
    }

    /// Notes, for the audit log, the image or the blob that the transaction is about.
    pub(crate) fn note_digest(&mut self, digest: &Digest) {
        self.changes.digest = Some(*digest);
    }

    /// Notes, for the audit log, that a tag was moved.
    pub(crate) fn note_tag(&mut self, moved: MovedTag) {
        self.changes.tags.push(moved);
    }

    /// Notes, for the audit log, what there is to tell of something that no request asked for.
    pub(crate) fn note_details(&mut self, details: serde_json::Value) {
        self.changes.details = Some(details);
    }

    /// A session whose transactions change what is in `cache`.
    pub(crate) fn with_cache(mut self, cache: Arc<Cache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Notes that the transaction changes or removes this, so that nobody reads it from memory after the commit.
    /// What it adds need not be noted: absence is not remembered.
    pub(crate) fn touch(&mut self, repository: &RepositoryPath, fact: Fact<'_>) {
        if let Some(cache) = &self.cache {
            self.touched.push(cache.touched(repository, fact));
        }
    }

    /// What was noted since the last call, each once.
    pub(crate) fn take_touched(&mut self) -> Vec<Touched> {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        touched
    }

    /// Counts up what a commit changes: before it, and once more after it.
    pub(crate) fn turn(&self, touched: &[Touched]) {
        if let Some(cache) = &self.cache {
            cache.turn(touched);
        }
    }

    /// Whether a statement of this session lost against another transaction, so that running the whole
    /// transaction again can help.
    pub(crate) fn has_conflict(&self) -> bool {
        self.has_conflict
    }

    pub(crate) fn into_connection(mut self) -> Connection {
        std::mem::replace(&mut self.connection, Connection::Sqlite(None))
    }

    /// All rows of a statement.
    pub(crate) async fn fetch_all(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Vec<Row>, StoreError> {
        let rows: Vec<Row> = on_connection!(self, connection => bound!(sql, values).fetch_all(connection),
            |rows| rows.into_iter().map(Row::Sqlite).collect(), |rows| rows.into_iter().map(Row::Postgres).collect(),
            |embedded: &mut Embedded| embedded.run(sql, values)
                .map(|(rows, _)| rows.into_iter().map(Row::Embedded).collect()))?;
        self.has_changed |= !rows.is_empty() && !is_read(sql);
        Ok(rows)
    }

    /// The only row of a statement that has at most one.
    pub(crate) async fn fetch_optional(
        &mut self,
        sql: &'static str,
        values: &[Value<'_>],
    ) -> Result<Option<Row>, StoreError> {
        // Not the driver's `fetch_optional`, which stops a writing statement in the middle.
        Ok(self.fetch_all(sql, values).await?.into_iter().next())
    }

    /// The only row of a statement that always has one.
    pub(crate) async fn fetch_one(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Row, StoreError> {
        self.fetch_optional(sql, values)
            .await?
            .ok_or_else(|| corrupt("a statement gave no row"))
    }

    /// Runs a statement and returns how many rows it changed.
    pub(crate) async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let changed = on_connection!(self, connection => bound!(sql, values).execute(connection),
            |done| done.rows_affected(), |done| done.rows_affected(),
            |embedded: &mut Embedded| embedded.run(sql, values).map(|(_, changed)| changed))?;
        self.has_changed |= changed > 0 && !is_read(sql);
        Ok(changed)
    }

    /// Runs a statement that is compiled anew each time.
    pub(crate) async fn execute_raw(&mut self, sql: &'static str) -> Result<(), StoreError> {
        on_connection!(self, connection => sqlx::raw_sql(sql).execute(connection), |_| (), |_| (),
            |embedded: &mut Embedded| embedded.run_script(sql))
    }

    /// Runs several statements without values.
    pub(crate) async fn execute_script(&mut self, sql: String) -> Result<(), StoreError> {
        let text = sql.clone();
        on_connection!(self, connection => sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection),
            |_| (), |_| (), |embedded: &mut Embedded| embedded.run_script(&text))
    }

    /// Marks the start of a SQLite read transaction.
    pub(crate) async fn begin_snapshot(&mut self) -> Result<(), StoreError> {
        self.is_in_snapshot = true;
        self.execute("BEGIN", values![]).await.map(drop)
    }

    /// Ends what [`crate::Store::snapshot`] began. A PostgreSQL transaction ends when it is dropped.
    pub(crate) async fn end_snapshot(mut self) -> Result<(), StoreError> {
        if self.is_in_snapshot {
            self.execute("COMMIT", values![]).await?;
            self.is_in_snapshot = false;
        }
        Ok(())
    }
}

/// Whether a statement changes nothing. SQLite counts the rows of the statement before for one that changes none.
fn is_read(sql: &str) -> bool {
    let is_change = |verb: &&str| sql.trim_start().starts_with(*verb);
    !["INSERT", "UPDATE", "DELETE"].iter().any(is_change)
}

impl Drop for Session {
    fn drop(&mut self) {
        if let (Connection::Sqlite(connection), Some(slot)) = (&mut self.connection, self.slot.take())
            && let Some(connection) = connection.take()
            && !self.is_mid_statement
            && !self.is_in_snapshot
        {
            slot.give_back(connection);
        }
    }
}
