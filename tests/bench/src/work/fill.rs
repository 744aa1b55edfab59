// SPDX-License-Identifier: Apache-2.0
//! Fills a stopped server's SQLite file with more than any API could in the time: rows like those of one real push, but
//! for their names.
//!
//! It copies whatever columns a table has, so that a new column does not break it. Foreign keys are not checked while it
//! writes, but they hold. Digests are numbers, not hashes: nothing ever asks for the bytes behind them.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

/// Rows written by one statement; between two the time is looked at.
const BATCH: u64 = 50_000;
/// How long filling may take in all.
const LIMIT: Duration = Duration::from_mins(5);

/// How much to fill in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Amount {
    /// Manifests in one repository.
    pub manifests: u64,
    /// Tags in the same repository, each for a manifest of its own as far as there are so many.
    pub tags: u64,
    /// Further repositories.
    pub repositories: u64,
}

/// The name of a tag that was filled in.
#[must_use]
pub fn tag(number: u64) -> String {
    format!("v{number:07}")
}

/// The name of a repository that was filled in.
#[must_use]
pub fn repository(number: u64) -> String {
    format!("bench/filled-{number:07}")
}

/// Columns with what stands in them instead.
pub type Instead = Vec<(&'static str, String)>;

/// Fills the database of a server that does not run. One image must have been pushed and tagged.
pub fn fill(database: &Path, amount: Amount) -> Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let started = Instant::now();
    runtime.block_on(async {
        let mut connection = open(database).await?;
        let digest = "printf('sha256:%064x', n.i)";
        let some_digest = format!("printf('sha256:%064x', n.i % {} + 1)", amount.manifests.max(1));
        let steps: [(&str, u64, Instead); 3] = [
            ("image", amount.manifests, vec![("digest", digest.to_owned())]),
            (
                "tag",
                amount.tags,
                vec![("name", "printf('v%07d', n.i)".to_owned()), ("digest", some_digest)],
            ),
            (
                "repository",
                amount.repositories,
                vec![
                    ("id", "t.id || printf('-%07d', n.i)".to_owned()),
                    ("name", "printf('bench/filled-%07d', n.i)".to_owned()),
                ],
            ),
        ];
        for (table, count, instead) in steps {
            copies(&mut connection, table, count, &instead, started)
                .await
                .with_context(|| format!("cannot fill the table `{table}`"))?;
        }
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        anyhow::Ok(())
    })?;
    Ok(started.elapsed())
}

/// Opens the database of a server that does not run.
pub async fn open(database: &Path) -> Result<SqliteConnection> {
    let options = SqliteConnectOptions::new()
        .filename(database)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Off)
        .foreign_keys(false)
        .disable_statement_logging();
    Ok(options.connect().await?)
}

/// Adds copies of a table's first row, with some columns replaced; `n.i` counts them from 1.
pub async fn copies(
    connection: &mut SqliteConnection,
    table: &str,
    count: u64,
    instead: &Instead,
    started: Instant,
) -> Result<()> {
    let described = format!("PRAGMA table_info({table})");
    let rows = sqlx::query(AssertSqlSafe(described))
        .fetch_all(&mut *connection)
        .await?;
    let mut columns = Vec::new();
    for row in rows {
        columns.push(row.try_get::<String, _>("name")?);
    }
    let values: Vec<String> = columns
        .iter()
        .map(|column| {
            let replaced = instead.iter().find(|(name, _)| name == column);
            replaced.map_or_else(|| format!("t.{column}"), |(_, value)| value.clone())
        })
        .collect();
    let statement = format!(
        "WITH RECURSIVE n(i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2) \
         INSERT INTO {table} ({}) SELECT {} FROM n, (SELECT * FROM {table} ORDER BY rowid LIMIT 1) AS t",
        columns.join(", "),
        values.join(", ")
    );
    let mut done = 0;
    while done < count {
        ensure!(started.elapsed() < LIMIT, "filling took longer than {LIMIT:?}");
        ensure!(!e2e::process::is_interrupted(), "interrupted");
        let upto = count.min(done + BATCH);
        sqlx::query(AssertSqlSafe(statement.clone()))
            .bind(i64::try_from(done + 1)?)
            .bind(i64::try_from(upto)?)
            .execute(&mut *connection)
            .await?;
        done = upto;
    }
    Ok(())
}
