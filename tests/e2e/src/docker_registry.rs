// SPDX-License-Identifier: Apache-2.0
//! Debian's `docker-registry` (Distribution), as a registry that is not ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::{Daemon, wait_until};
use crate::{RegistryClient, ReservedPort, client, http};

const START_LIMIT: Duration = Duration::from_mins(1);

/// A running one. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct DockerRegistry {
    daemon: Daemon,
    program: PathBuf,
    address: String,
    _port: ReservedPort,
    folder: TempDir,
}

impl DockerRegistry {
    /// Starts one on a free loopback port, where it is installed. Everybody may do everything.
    pub fn start() -> Result<Option<Self>> {
        let Some(found) = client::find(&["docker-registry"])? else {
            return Ok(None);
        };
        let [program] = &found[..] else { return Ok(None) };
        let folder = tempfile::Builder::new().prefix("hythe-e2e-").tempdir()?;
        let port = ReservedPort::any()?;
        let address = port.address();
        let daemon = launch(program, folder.path(), &address)?;
        Ok(Some(Self {
            daemon,
            program: program.clone(),
            address,
            _port: port,
            folder,
        }))
    }

    /// `host:port`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Talks to it.
    #[must_use]
    pub fn client(&self) -> RegistryClient {
        RegistryClient::with(&self.address, None)
    }

    /// Kills it as a power cut would.
    pub fn kill9(&mut self) -> Result<()> {
        self.daemon.kill9()
    }

    /// Starts it again on the same address and data.
    pub fn restart(&mut self) -> Result<()> {
        self.daemon.stop();
        self.daemon = launch(&self.program, self.folder.path(), &self.address)?;
        Ok(())
    }
}

fn launch(program: &Path, folder: &Path, address: &str) -> Result<Daemon> {
    let config = folder.join("config.yml");
    let text = format!(
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  delete:\n    enabled: true\n  \
         filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
        folder.join("registry").display()
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new(program);
    command.arg("serve").arg(&config);
    let daemon = Daemon::start("docker-registry", &mut command, &folder.join("log"))?;
    wait_until("docker-registry answers", START_LIMIT, || {
        http::request(address, "GET", "/v2/", &[], &[]).is_ok_and(|answer| answer.status == 200)
    })?;
    Ok(daemon)
}
