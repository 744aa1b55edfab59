// SPDX-License-Identifier: Apache-2.0
//! A throw-away PostgreSQL cluster.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::process::{Daemon, run, wait_until};
use crate::{ReservedPort, client};

/// Names a cluster that is already running, as `cargo xtask test` exports it: `postgres://user@127.0.0.1:port/postgres`.
pub const URL_VARIABLE: &str = "HYTHE_TEST_POSTGRES_URL";

/// Longest wait until a server answers.
const START_LIMIT: Duration = Duration::from_mins(1);

/// A PostgreSQL server on 127.0.0.1 that keeps nothing.
#[derive(Debug)]
pub struct PostgresCluster {
    url: String,
    own: Option<OwnCluster>,
}

/// A cluster that this process made.
#[derive(Debug)]
struct OwnCluster {
    // Order matters: the server stops before its folder goes.
    server: Daemon,
    folder: TempDir,
    port: ReservedPort,
}

impl PostgresCluster {
    /// The cluster that the environment names, else a new one; `None` if PostgreSQL is not installed.
    pub fn find_or_start() -> Result<Option<Self>> {
        match client::variable(URL_VARIABLE) {
            Some(url) => Ok(Some(Self { url, own: None })),
            None => Self::start_own(),
        }
    }

    /// A new cluster, which a test may [`crash`](Self::crash); `None` if PostgreSQL is not installed.
    pub fn start_own() -> Result<Option<Self>> {
        if programs().is_none() {
            client::skip("not installed: PostgreSQL (initdb, postgres)")?;
            return Ok(None);
        }
        Self::start().map(Some)
    }

    /// Starts a new cluster.
    pub fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hythe-postgres-").tempdir()?;
        let data = data_folder(&folder);
        std::fs::create_dir(&data)?;
        if let Some((user, group)) = owner()? {
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group))?;
            std::os::unix::fs::chown(&data, Some(user), Some(group))?;
        }
        let options = [
            "--auth=trust",
            "--username=hythe",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--pgdata",
        ];
        run(command("initdb", &folder)?.args(options).arg(&data))?.ok()?;
        let port = ReservedPort::any()?;
        Ok(Self {
            url: url_of(port.number()),
            own: Some(OwnCluster {
                server: launch(&folder, port.number())?,
                folder,
                port,
            }),
        })
    }

    /// Ends a cluster of one's own without a checkpoint, as a crash would.
    pub fn crash(&mut self) -> Result<()> {
        let own = self.own.as_mut().context("not a cluster of this process")?;
        own.server.signal(Signal::QUIT)?;
        wait_until("PostgreSQL has ended", START_LIMIT, || {
            own.server.exit_status().is_ok_and(|status| status.is_some())
        })
    }

    /// Starts a cluster of one's own again.
    pub fn restart(&mut self) -> Result<()> {
        let own = self.own.as_mut().context("not a cluster of this process")?;
        own.server = launch(&own.folder, own.port.number())?;
        Ok(())
    }

    /// The address of the maintenance database.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes an empty database, with names sorted by bytes, and answers its address.
    pub fn create_database(&self) -> Result<String> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("e2e_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        psql(
            &self.url,
            &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'"),
        )?;
        let (server, _) = self
            .url
            .rsplit_once('/')
            .context("the PostgreSQL address names no database")?;
        Ok(format!("{server}/{name}"))
    }
}

fn data_folder(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

fn url_of(port: u16) -> String {
    format!("postgres://hythe@127.0.0.1:{port}/postgres")
}

/// A program of PostgreSQL, run as its owner.
fn command(program: &str, folder: &TempDir) -> Result<Command> {
    let programs = programs().context("PostgreSQL is not installed (no `initdb`)")?;
    let mut command = Command::new(programs.join(program));
    command
        .current_dir(folder.path())
        .env("LC_ALL", "C")
        .env_remove("PGDATA");
    if let Some((user, group)) = owner()? {
        command.uid(user).gid(group);
    }
    Ok(command)
}

fn launch(folder: &TempDir, port: u16) -> Result<Daemon> {
    let mut postgres = command("postgres", folder)?;
    postgres
        .arg("-D")
        .arg(data_folder(folder))
        .args(["-p", &port.to_string()]);
    // Nothing here outlives the test, so nothing needs to survive a power cut.
    for setting in [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "fsync=off",
        "max_connections=200",
    ] {
        postgres.args(["-c", setting]);
    }
    let mut server = Daemon::start("postgres", &mut postgres, &folder.path().join("log"))?.stopped_by(Signal::INT);
    let url = url_of(port);
    server.wait_until("PostgreSQL answers", START_LIMIT, || psql(&url, "SELECT 1").is_ok())?;
    Ok(server)
}

/// Runs one statement and answers what it printed.
pub fn psql(url: &str, statement: &str) -> Result<String> {
    let finished =
        run(Command::new("psql").args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement, url]))?;
    Ok(finished.ok()?.stdout.trim().to_owned())
}

/// The folder with the server's programs. Debian keeps them off the path.
#[must_use]
pub fn programs() -> Option<PathBuf> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| has_programs(folder))
        .collect();
    versions.sort();
    versions.pop().or_else(|| {
        client::path_of("initdb")?
            .parent()
            .map(Path::to_owned)
            .filter(|it| has_programs(it))
    })
}

fn has_programs(folder: &Path) -> bool {
    folder.join("initdb").is_file() && folder.join("postgres").is_file()
}

/// PostgreSQL refuses to run as root: then it runs as its own user.
fn owner() -> Result<Option<(u32, u32)>> {
    if !client::is_root() {
        return Ok(None);
    }
    let users = std::fs::read_to_string("/etc/passwd")?;
    for line in users.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        if let ["postgres", _, user, group, ..] = fields.as_slice() {
            return Ok(Some((user.parse()?, group.parse()?)));
        }
    }
    bail!("PostgreSQL does not run as root, and there is no user `postgres`")
}
