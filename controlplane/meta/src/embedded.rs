// SPDX-License-Identifier: Apache-2.0
//! A SQLite connection whose statements run on the thread that asks, at once.
//!
//! The driver of the other connections keeps a thread for each, so that every statement costs two switches between threads:
//! several times what a small statement does. The writer has a thread of its own anyway, and runs a whole batch on it
//! without another switch; point reads run where they are asked for.

use std::path::Path;
use std::time::Duration;

use rusqlite::types::{ToSqlOutput, Value as Cell, ValueRef};
use rusqlite::{Connection, OpenFlags, Statement, ToSql};

use crate::session::Value;

/// More than this crate has statements, so that each is prepared once on each connection.
pub(crate) const CACHED_STATEMENTS: usize = 512;

/// One connection.
#[derive(Debug)]
pub(crate) struct Embedded(Connection);

/// A row, copied out of the database.
#[derive(Debug)]
pub(crate) struct EmbeddedRow(Box<[Cell]>);

impl EmbeddedRow {
    /// What a column holds; `None` if there is no such column.
    pub(crate) fn cell(&self, column: usize) -> Option<&Cell> {
        self.0.get(column)
    }
}

impl Embedded {
    /// Opens a file that is there.
    pub(crate) fn open(path: &Path, is_read_only: bool, busy_timeout: Duration) -> rusqlite::Result<Self> {
        let access = if is_read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE
        };
        // One thread at a time has it, so that SQLite need not lock it.
        let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        connection.execute_batch("PRAGMA temp_store = memory")?;
        Ok(Self(connection))
    }

    /// Runs a statement to its end: its rows, and how many it changed.
    pub(crate) fn run(&mut self, sql: &str, values: &[Value<'_>]) -> rusqlite::Result<(Vec<EmbeddedRow>, u64)> {
        let before = self.0.total_changes();
        let mut statement = self.0.prepare_cached(sql)?;
        bind(&mut statement, values)?;
        let columns = statement.column_count();
        let mut found = Vec::new();
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            let cells = (0..columns).map(|column| row.get::<_, Cell>(column));
            found.push(EmbeddedRow(cells.collect::<rusqlite::Result<_>>()?));
        }
        drop(rows);
        drop(statement);
        // Of a statement that changes nothing SQLite tells what the one before it changed.
        let changed = if self.0.total_changes() == before {
            0
        } else {
            self.0.changes()
        };
        Ok((found, changed))
    }

    /// Runs statements without values, compiled anew each time.
    pub(crate) fn run_script(&mut self, sql: &str) -> rusqlite::Result<()> {
        self.0.execute_batch(sql)
    }

    /// Closes the connection; the last one of a file moves its log into it.
    pub(crate) fn close(self) -> rusqlite::Result<()> {
        self.0.close().map_err(|(_, error)| error)
    }
}

/// Binds by the numbers in the text: to SQLite, `$2` is a name, which gets its place where it first stands.
fn bind(statement: &mut Statement<'_>, values: &[Value<'_>]) -> rusqlite::Result<()> {
    for place in 1..=statement.parameter_count() {
        let number = statement
            .parameter_name(place)
            .and_then(|name| name.get(1..)?.parse().ok());
        let value = values.get(number.unwrap_or(place).wrapping_sub(1));
        let value = value.ok_or(rusqlite::Error::InvalidParameterCount(values.len(), place))?;
        statement.raw_bind_parameter(place, value)?;
    }
    Ok(())
}

impl ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let value = match self {
            Self::Text(text) => text
                .as_deref()
                .map_or(ValueRef::Null, |text| ValueRef::Text(text.as_bytes())),
            Self::Int(int) => int.map_or(ValueRef::Null, ValueRef::Integer),
            Self::Bool(bool) => ValueRef::Integer(i64::from(*bool)),
            Self::Bytes(bytes) => bytes.as_deref().map_or(ValueRef::Null, ValueRef::Blob),
        };
        Ok(ToSqlOutput::Borrowed(value))
    }
}

/// A type that a cell can be read as.
pub(crate) trait FromCell: Sized {
    /// `None` if the cell holds another type.
    fn from_cell(cell: &Cell) -> Option<Self>;
}

impl FromCell for String {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if let Cell::Text(text) = cell {
            Some(text.clone())
        } else {
            None
        }
    }
}

impl FromCell for i64 {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if let Cell::Integer(int) = cell {
            Some(*int)
        } else {
            None
        }
    }
}

impl FromCell for bool {
    fn from_cell(cell: &Cell) -> Option<Self> {
        i64::from_cell(cell).map(|int| int != 0)
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if let Cell::Blob(bytes) = cell {
            Some(bytes.clone())
        } else {
            None
        }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: &Cell) -> Option<Self> {
        if matches!(cell, Cell::Null) {
            Some(None)
        } else {
            T::from_cell(cell).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::values;

    fn read<T: FromCell>(row: &EmbeddedRow, column: usize) -> Option<T> {
        row.cell(column).and_then(T::from_cell)
    }

    #[test]
    fn values_go_where_their_numbers_say_and_come_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db");
        std::fs::File::create(&path).unwrap();
        let mut database = Embedded::open(&path, false, Duration::ZERO).unwrap();
        database
            .run_script("CREATE TABLE thing (a TEXT, b BIGINT, c BOOLEAN, d BYTEA, e TEXT)")
            .unwrap();
        // Out of order, one twice.
        let sql = "INSERT INTO thing (d, c, b, a, e) VALUES ($4, $3, $2, $1, $1) RETURNING a, b, c, d, e";
        let (rows, changed) = database.run(sql, values!["text", 7_i64, true, &b"\0\xff"[..]]).unwrap();
        assert_eq!((rows.len(), changed), (1, 1));
        let row = &rows[0];
        assert_eq!(read::<String>(row, 0).unwrap(), "text");
        assert_eq!(read::<i64>(row, 1), Some(7));
        assert_eq!(read::<bool>(row, 2), Some(true));
        assert_eq!(read::<Vec<u8>>(row, 3).unwrap(), b"\0\xff");
        assert_eq!(read::<String>(row, 4).unwrap(), "text");
        assert!(read::<i64>(row, 0).is_none() && read::<i64>(row, 5).is_none());

        let nothing: Option<i64> = None;
        let (rows, changed) = database.run("UPDATE thing SET b = $1", values![nothing]).unwrap();
        assert_eq!((rows.len(), changed), (0, 1));
        assert_eq!(database.run("BEGIN IMMEDIATE", &[]).unwrap().1, 0);
        let (rows, _) = database.run("SELECT b FROM thing", &[]).unwrap();
        assert_eq!(read::<Option<i64>>(&rows[0], 0), Some(None));
        // Fewer values than the text names.
        assert!(database.run(sql, values!["text"]).is_err());
        database.close().unwrap();
    }
}
