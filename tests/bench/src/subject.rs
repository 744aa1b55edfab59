// SPDX-License-Identifier: Apache-2.0
//! The servers that are compared: each in a folder of its own on the same file system, on loopback, one beside the other.

pub mod docker_registry;
pub mod hythe;
pub mod nginx;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use e2e::process::Daemon;
use e2e::{Server, client};
use tempfile::TempDir;

use crate::load::connection::Connection;
use crate::load::endpoint::Endpoint;
use crate::load::tls::Identity;
use crate::process::Tree;

/// The repository of everything that needs no other.
pub const REPOSITORY: &str = "bench/web";
/// Further repositories, so that the catalog has something to list.
pub const CATALOG_REPOSITORIES: usize = 100;
/// How long a peer may take to start.
pub const START_LIMIT: Duration = Duration::from_secs(30);

/// The name of one of the further repositories.
#[must_use]
pub fn catalog_repository(number: usize) -> String {
    format!("bench/catalog-{number:03}")
}

/// Which server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours, as it comes: SQLite, authorization, metrics, logs.
    Hythe,
    /// Ours without records of reads, to see what those cost.
    Unaudited,
    /// Debian's `docker-registry`: files, no authentication.
    DockerRegistry,
    /// nginx with plain files: the limit for GET.
    Nginx,
    /// One that runs already.
    Other {
        /// Its name in the tables.
        name: String,
        /// `http://[user:password@]host:port`.
        url: String,
        /// Its process.
        pid: u32,
    },
}

impl Kind {
    /// Its name in the tables.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Hythe => "hythe",
            Self::Unaudited => "hythe-unaudited",
            Self::DockerRegistry => "docker-registry",
            Self::Nginx => "nginx",
            Self::Other { name, .. } => name,
        }
    }

    /// Whether it is a registry; else it serves files only.
    #[must_use]
    pub fn is_registry(&self) -> bool {
        !matches!(self, Self::Nginx)
    }

    /// Whether we can start it, and in front of TLS.
    #[must_use]
    pub fn is_ours_to_start(&self) -> bool {
        !matches!(self, Self::Other { .. })
    }

    /// Whether its program is installed.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        match self {
            Self::DockerRegistry | Self::Nginx => client::path_of(self.name()).is_some(),
            Self::Hythe | Self::Unaudited | Self::Other { .. } => true,
        }
    }

    /// The version that it calls itself.
    #[must_use]
    pub fn version(&self) -> Option<String> {
        let (program, arguments) = match self {
            Self::Hythe | Self::Unaudited => (e2e::binary::hythe().ok()?, ["--version"]),
            Self::DockerRegistry => (client::path_of("docker-registry")?, ["--version"]),
            Self::Nginx => (client::path_of("nginx")?, ["-v"]),
            Self::Other { .. } => return None,
        };
        let finished = e2e::process::run(std::process::Command::new(program).args(arguments)).ok()?;
        let text = finished.both();
        // `docker-registry github.com/docker/distribution 2.8.2+ds1`, `nginx version: nginx/1.22.1`, `hythe 0.1.0`.
        let version = text
            .split([' ', '/', '\n'])
            .map(str::trim)
            .rfind(|word| word.starts_with(|first: char| first.is_ascii_digit()));
        version.map(str::to_owned)
    }
}

/// What keeps a server's processes and files.
#[derive(Debug)]
enum Running {
    /// `_data` is a stopped server, whose folder the running one uses.
    Hythe {
        server: Box<Server>,
        _data: Option<Box<Server>>,
    },
    /// `folder` goes with it; a disk of the caller's does not.
    Daemon {
        daemon: Daemon,
        folder: Option<TempDir>,
    },
    Other,
}

/// A running server.
#[derive(Debug)]
pub struct Subject {
    /// Which one.
    pub kind: Kind,
    /// Where it is, for somebody who may push and pull.
    pub endpoint: Endpoint,
    /// Its processes.
    pub tree: Tree,
    /// From its start to its first good answer.
    pub ready_after: Duration,
    running: Running,
}

impl Subject {
    /// Starts one in an empty folder, with its repositories.
    pub fn start(kind: &Kind) -> Result<Self> {
        let started = match kind {
            Kind::Hythe | Kind::Unaudited => hythe::start(kind),
            Kind::DockerRegistry => docker_registry::start(),
            Kind::Nginx => nginx::start(),
            Kind::Other { url, pid, .. } => Ok(Self {
                kind: kind.clone(),
                endpoint: Endpoint::from_url(url)?,
                tree: Tree::of(&[*pid])?,
                ready_after: Duration::ZERO,
                running: Running::Other,
            }),
        };
        started.with_context(|| format!("cannot start {}", kind.name()))
    }

    /// Starts a registry on a disk of its own; again, if it was there before.
    pub fn start_on(kind: &Kind, disk: &Path) -> Result<Self> {
        let started = match kind {
            Kind::Hythe | Kind::Unaudited => hythe::start_on(kind, &disk.join("hythe")),
            Kind::DockerRegistry => docker_registry::start_on(disk),
            Kind::Nginx | Kind::Other { .. } => anyhow::bail!("not a registry that can be started anywhere"),
        };
        started.with_context(|| format!("cannot start {}", kind.name()))
    }

    /// Starts it again on the same data, with TLS.
    pub fn into_tls(self, identity: &Identity) -> Result<Self> {
        match self.kind {
            Kind::Hythe | Kind::Unaudited => hythe::into_tls(self, identity),
            Kind::DockerRegistry => docker_registry::into_tls(self, identity),
            Kind::Nginx => nginx::into_tls(self, identity),
            Kind::Other { .. } => anyhow::bail!("another server's TLS is its own"),
        }
    }

    /// The folder whose files it serves, for what cannot be pushed to.
    #[must_use]
    pub fn files(&self) -> Option<&Path> {
        match &self.running {
            Running::Daemon { folder, .. } if self.kind == Kind::Nginx => folder.as_ref().map(TempDir::path),
            _ => None,
        }
    }

    /// Our own server.
    #[must_use]
    pub fn server(&self) -> Option<&Server> {
        match &self.running {
            Running::Hythe { server, .. } => Some(server),
            Running::Daemon { .. } | Running::Other => None,
        }
    }
}

/// Waits until a daemon answers `target` with 200, and answers how long it took.
fn wait_until_ready(daemon: &mut Daemon, endpoint: &Endpoint, target: &str) -> Result<Duration> {
    let started = std::time::Instant::now();
    daemon.wait_until("it is ready", START_LIMIT, || {
        Connection::open(endpoint)
            .and_then(|mut connection| connection.call("GET", target, "", &[]))
            .is_ok_and(|answer| answer.status == 200)
    })?;
    Ok(started.elapsed())
}

/// A free port on loopback. Between this and its use somebody else might take it; the start fails then, and says so.
fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

fn folder() -> Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("hythe-bench-").tempdir()?;
    ensure!(
        folder.path().to_str().is_some(),
        "the temporary folder has no plain name"
    );
    Ok(folder)
}
