// SPDX-License-Identifier: Apache-2.0
//! A fresh database for each test, on either engine.
//!
//! PostgreSQL is the server at `HYTHE_TEST_POSTGRES_URL`, else a throw-away one that this process starts and
//! that ends with it, however it ends.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::Duration;

use hythe_meta::{Store, StoreConfig};
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Row};
use tempfile::TempDir;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// How a test wants its PostgreSQL database; the store has to sort by bytes on all of them.
pub const COLLATION_C: &str = "LC_COLLATE 'C' LC_CTYPE 'C'";

#[derive(Debug)]
pub struct Database {
    pub store: Store,
    pub config: StoreConfig,
    _folder: TempDir,
    /// Where to drop the database.
    server: Option<(String, String)>,
}

impl Database {
    /// `None` if there is no PostgreSQL here.
    pub async fn open(engine: Engine) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let (config, server) = match engine {
            Engine::Sqlite => (
                StoreConfig::Sqlite {
                    path: folder.path().join("meta.db"),
                },
                None,
            ),
            Engine::Postgres => {
                let (url, server) = create_database(&format!("{COLLATION_C} ENCODING 'UTF8'")).await?;
                (
                    StoreConfig::Postgres {
                        url,
                        max_connections: 8,
                    },
                    Some(server),
                )
            }
        };
        let store = Store::open(&config).await.unwrap();
        Some(Self {
            store,
            config,
            _folder: folder,
            server,
        })
    }

    /// Another store on the same database, as another node has one. From then on none may cache what is in a file.
    pub async fn another(&self) -> Store {
        self.store.set_cache_bytes(0);
        let store = Store::open(&self.config).await.unwrap();
        store.set_cache_bytes(0);
        store
    }

    /// Runs a statement behind the store's back.
    pub async fn execute(&self, sql: impl Into<String>) {
        self.store.set_cache_bytes(0);
        let sql = AssertSqlSafe(sql.into());
        match &self.config {
            StoreConfig::Sqlite { path } => {
                let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
                let mut connection = options.busy_timeout(Duration::from_secs(10)).connect().await.unwrap();
                sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
                connection.close().await.unwrap();
            }
            StoreConfig::Postgres { url, .. } => execute_on(url, sql).await,
        }
    }

    /// Counts the rows of a table behind the store's back.
    pub async fn count(&self, table: &str) -> i64 {
        let sql = AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        match &self.config {
            StoreConfig::Sqlite { path } => {
                let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
            }
            StoreConfig::Postgres { url, .. } => {
                let mut connection = PgConnectOptions::from_str(url).unwrap().connect().await.unwrap();
                sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
            }
        }
    }

    /// How the engine would run a statement, as it runs those of the store.
    pub async fn explain(&self, sql: &str) -> Vec<String> {
        match &self.config {
            StoreConfig::Sqlite { path } => {
                let mut connection = SqliteConnectOptions::new().filename(path).connect().await.unwrap();
                let sql = AssertSqlSafe(format!("EXPLAIN QUERY PLAN {sql}"));
                let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
                rows.iter().map(|row| row.get("detail")).collect()
            }
            StoreConfig::Postgres { url, .. } => {
                let options = PgConnectOptions::from_str(url).unwrap();
                let mut connection = options.options([("enable_seqscan", "off")]).connect().await.unwrap();
                let sql = AssertSqlSafe(format!("EXPLAIN {sql}"));
                sqlx::query_scalar(sql).fetch_all(&mut connection).await.unwrap()
            }
        }
    }

    pub async fn finish(self) {
        self.store.close().await;
        if let Some((server, name)) = self.server {
            drop_database(&server, &name).await;
        }
    }
}

async fn execute_on(url: &str, sql: AssertSqlSafe<String>) {
    let mut connection = PgConnectOptions::from_str(url).unwrap().connect().await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Runs a test on one engine.
pub async fn run(engine: Engine, test: impl AsyncFnOnce(&Database)) {
    let Some(database) = Database::open(engine).await else {
        return;
    };
    test(&database).await;
    database.finish().await;
}

/// Makes each test function into two tests.
macro_rules! on_each_engine {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::harness::run($crate::harness::Engine::Sqlite, super::$name).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                $crate::harness::run($crate::harness::Engine::Postgres, super::$name).await;
            })*
        }
    };
}
pub(crate) use on_each_engine;

/// A new database with these options: its URL, and where and under which name to drop it.
pub async fn create_database(options: &str) -> Option<(String, (String, String))> {
    let server = server_url()?;
    let name = format!("hythe_test_{}", Uuid::new_v4().simple());
    let sql = format!("CREATE DATABASE {name} TEMPLATE template0 {options}");
    execute_on(&server, AssertSqlSafe(sql)).await;
    let (base, query) = server
        .split_once('?')
        .map_or((server.as_str(), ""), |(base, query)| (base, query));
    let (base, _) = base.rsplit_once('/').unwrap();
    Some((format!("{base}/{name}?{query}"), (server, name)))
}

pub async fn drop_database(server: &str, name: &str) {
    execute_on(server, AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await;
}

#[allow(clippy::disallowed_methods, reason = "how the test command says where PostgreSQL is")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Where databases can be made; `None` if there is no PostgreSQL, which fails in continuous integration.
fn server_url() -> Option<String> {
    static THROW_AWAY: OnceLock<Option<(String, ChildStdin)>> = OnceLock::new();
    if let Some(url) = variable("HYTHE_TEST_POSTGRES_URL") {
        return Some(url);
    }
    let url = THROW_AWAY
        .get_or_init(start_server)
        .as_ref()
        .map(|(url, _)| url.clone());
    if url.is_none() {
        assert!(
            variable("CI").is_none(),
            "no PostgreSQL: set HYTHE_TEST_POSTGRES_URL or install it"
        );
        #[allow(clippy::print_stderr, reason = "a test that did not run must not look as if it had")]
        {
            eprintln!("SKIPPED: no PostgreSQL found; set HYTHE_TEST_POSTGRES_URL or install it");
        }
    }
    url
}

/// Runs a server until its standard input ends, which it does at the latest when the test process does.
const SERVER: &str = r#"
set -e
dir=$(mktemp -d /tmp/hythe-postgres.XXXXXX)
"$1/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale=C --no-sync >"$dir/log" 2>&1
"$1/postgres" -D "$dir/data" -c listen_addresses= -c unix_socket_directories="$dir" -c fsync=off \
    -c max_connections=300 >>"$dir/log" 2>&1 </dev/null &
pid=$!
until grep -q ready "$dir/data/postmaster.pid" 2>/dev/null; do
    kill -0 $pid
    sleep 0.05
done
echo "$dir"
cat >/dev/null || true
kill -INT $pid || true
wait $pid || true
rm -rf "$dir"
"#;

fn start_server() -> Option<(String, ChildStdin)> {
    let binaries = find_binaries()?;
    let user = Command::new("id").arg("-u").output().ok()?;
    // PostgreSQL refuses to run as root.
    let mut command = if user.stdout.starts_with(b"0\n") {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", "sh"]);
        command
    } else {
        Command::new("sh")
    };
    command.arg("-c").arg(SERVER).arg("sh").arg(binaries).current_dir("/");
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut folder = String::new();
    BufReader::new(child.stdout.take()?).read_line(&mut folder).ok()?;
    let folder = folder.trim();
    // It says nothing if it could not start.
    (!folder.is_empty()).then_some(())?;
    Some((
        format!("postgres://postgres@localhost/postgres?host={folder}"),
        child.stdin.take()?,
    ))
}

fn find_binaries() -> Option<PathBuf> {
    let is_there = |folder: &Path| folder.join("initdb").exists() && folder.join("postgres").exists();
    let packaged = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut folders: Vec<_> = packaged.map(|version| version.path().join("bin")).collect();
    folders.sort();
    let path = variable("PATH").unwrap_or_default();
    folders
        .into_iter()
        .rev()
        .chain(std::env::split_paths(&path))
        .find(|folder| is_there(folder))
}
