// SPDX-License-Identifier: Apache-2.0
//! The servers that are compared.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use e2e::process::Daemon;
use e2e::{RegistryClient, Server, client, http};
use serde_json::json;
use tempfile::TempDir;

use crate::report;

/// The repository that is pushed to.
pub const REPOSITORY: &str = "bench";

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Ours, as it comes: SQLite, authentication, metrics, logs.
    Hythe,
    /// Debian's `docker-registry`: files, no authentication.
    DockerRegistry,
}

impl Kind {
    /// Those that are installed; ours always is.
    #[must_use]
    pub fn available() -> Vec<Self> {
        if client::path_of("docker-registry").is_some() {
            return vec![Self::Hythe, Self::DockerRegistry];
        }
        report::line("docker-registry is not installed (Debian: docker-registry): Hythe is measured alone");
        vec![Self::Hythe]
    }

    /// Its name in the table.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hythe => "hythe",
            Self::DockerRegistry => "docker-registry",
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Subject {
    /// Which one.
    pub kind: Kind,
    /// How long it took from its start to the first good answer.
    pub ready_after: Duration,
    /// A client that may push and pull.
    pub client: RegistryClient,
    running: Running,
}

#[derive(Debug)]
enum Running {
    Hythe(Box<Server>),
    DockerRegistry { daemon: Daemon, _folder: TempDir },
}

impl Subject {
    /// Starts one in an empty folder.
    pub fn start(kind: Kind) -> Result<Self> {
        match kind {
            Kind::Hythe => Self::hythe(),
            Kind::DockerRegistry => Self::docker_registry(),
        }
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match &self.running {
            Running::Hythe(server) => server.pid(),
            Running::DockerRegistry { daemon, .. } => daemon.pid(),
        }
    }

    fn hythe() -> Result<Self> {
        let started = Instant::now();
        let server = Server::start()?;
        let ready_after = started.elapsed();
        server.create_repository(REPOSITORY)?;
        // As an engine does it: a password once, then a bearer token for the repository.
        let (password, _) = server.authorization_token(&json!({}))?;
        let authorization = http::basic("AWS", &password);
        let scope = format!("repository:{REPOSITORY}:pull,push");
        let target = format!(
            "/token?service={}&scope={}",
            http::percent_encode(server.registry()),
            http::percent_encode(&scope)
        );
        let headers = [("Authorization", authorization.as_str())];
        let answer = http::request(server.registry(), "GET", &target, &headers, &[])?
            .expect(200)?
            .json()?;
        let token = answer
            .get("token")
            .and_then(serde_json::Value::as_str)
            .context("no token")?;
        let client = RegistryClient::with(server.registry(), Some(format!("Bearer {token}")));
        Ok(Self {
            kind: Kind::Hythe,
            ready_after,
            client,
            running: Running::Hythe(Box::new(server)),
        })
    }

    fn docker_registry() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("hythe-bench-").tempdir()?;
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        let config = folder.path().join("config.yml");
        std::fs::write(&config, config_text(folder.path(), &address))?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&config);
        let started = Instant::now();
        let daemon = Daemon::start("docker-registry", &mut command, &folder.path().join("log"))?;
        let client = RegistryClient::with(&address, None);
        while !client
            .call("GET", "/v2/", &[], &[])
            .is_ok_and(|response| response.status == 200)
        {
            anyhow::ensure!(
                started.elapsed() < Duration::from_secs(30),
                "docker-registry does not start: {}",
                daemon.log()
            );
            sleep(Duration::from_millis(1));
        }
        let ready_after = started.elapsed();
        let running = Running::DockerRegistry {
            daemon,
            _folder: folder,
        };
        Ok(Self {
            kind: Kind::DockerRegistry,
            ready_after,
            client,
            running,
        })
    }
}

fn config_text(folder: &Path, address: &str) -> String {
    let root = folder.join("registry");
    format!(
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  filesystem:\n    rootdirectory: {}\n  \
         cache:\n    blobdescriptor: inmemory\nhttp:\n  addr: {address}\n",
        root.display()
    )
}
