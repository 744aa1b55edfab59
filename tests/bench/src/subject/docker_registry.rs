// SPDX-License-Identifier: Apache-2.0
//! Debian's `docker-registry` (Distribution): the filesystem driver, descriptors cached in memory, only errors logged.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::process::Daemon;
use tempfile::TempDir;

use super::{Kind, Running, Subject, folder, free_address, wait_until_ready};
use crate::load::endpoint::Endpoint;
use crate::load::tls::Identity;
use crate::process::Tree;

/// Starts one in an empty folder.
pub fn start() -> Result<Subject> {
    let folder = folder()?;
    let path = folder.path().to_owned();
    start_in(&path, Some(folder))
}

/// Starts one on a disk, with what is on it.
pub fn start_on(disk: &Path) -> Result<Subject> {
    start_in(disk, None)
}

fn start_in(path: &Path, folder: Option<TempDir>) -> Result<Subject> {
    let address = free_address()?;
    let endpoint = Endpoint::plain(&address)?;
    let (daemon, ready_after) = launch(path, &address, &endpoint, "")?;
    Ok(Subject {
        kind: Kind::DockerRegistry,
        tree: Tree::of(&[daemon.pid()])?,
        endpoint,
        ready_after,
        running: Running::Daemon { daemon, folder },
    })
}

/// Starts it again on the same data, with TLS.
pub fn into_tls(subject: Subject, identity: &Identity) -> Result<Subject> {
    let Running::Daemon {
        daemon,
        folder: Some(folder),
    } = subject.running
    else {
        anyhow::bail!("not a docker-registry of ours")
    };
    drop(daemon);
    let address = free_address()?;
    let endpoint = Endpoint::plain(&address)?.over(identity.client.clone());
    let tls = format!(
        "  tls:\n    certificate: {}\n    key: {}\n",
        identity.certificate.display(),
        identity.key.display()
    );
    let (daemon, ready_after) = launch(folder.path(), &address, &endpoint, &tls)?;
    let folder = Some(folder);
    Ok(Subject {
        kind: Kind::DockerRegistry,
        tree: Tree::of(&[daemon.pid()])?,
        endpoint,
        ready_after,
        running: Running::Daemon { daemon, folder },
    })
}

fn launch(folder: &Path, address: &str, endpoint: &Endpoint, tls: &str) -> Result<(Daemon, Duration)> {
    let config = folder.join("config.yml");
    let text = format!(
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  delete:\n    enabled: true\n  \
         filesystem:\n    rootdirectory: {}\n  cache:\n    blobdescriptor: inmemory\nhttp:\n  addr: {address}\n{tls}",
        folder.join("registry").display()
    );
    std::fs::write(&config, text)?;
    let mut command = Command::new("docker-registry");
    command.arg("serve").arg(&config);
    let started = Instant::now();
    let mut daemon = Daemon::start("docker-registry", &mut command, &folder.join("log"))?;
    wait_until_ready(&mut daemon, endpoint, "/v2/")?;
    Ok((daemon, started.elapsed()))
}
