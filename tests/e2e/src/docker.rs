// SPDX-License-Identifier: Apache-2.0
//! A Docker engine of our own, started by hand: no bridge, no firewall rules, its own folders and socket.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::binary;
use crate::client;
use crate::image::static_busybox;
use crate::process::{Daemon, Finished, run, run_with_input};
use crate::server::clean_environment;

/// A running engine. Dropping it stops it, and nothing of it stays mounted.
#[derive(Debug)]
pub struct DockerEngine {
    // Order matters: the engine stops, then its mounts go, then its folder.
    _daemon: Daemon,
    _mounts: Mounts,
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl DockerEngine {
    /// Starts an engine; `None` where that is impossible (not root, or not installed), which is said aloud.
    pub fn start() -> Result<Option<Self>> {
        if !client::is_root() {
            client::skip("a Docker engine of our own needs root")?;
            return Ok(None);
        }
        if client::find(&["docker", "dockerd", "containerd", "runc"])?.is_none() {
            return Ok(None);
        }
        // Short: a socket's path has at most 107 bytes.
        let folder = tempfile::Builder::new().prefix("hythe-dk-").tempdir_in("/tmp")?;
        let path = |name: &str| folder.path().join(name);
        let host = format!("unix://{}", path("sock").display());
        let mut command = Command::new(client::path_of("dockerd").context("no dockerd")?);
        command
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("exec"));
        command
            .arg("--pidfile")
            .arg(path("pid"))
            .args(["-H", &host, "--bridge=none", "--iptables=false"]);
        command.args(["--ip6tables=false", "--insecure-registry", "127.0.0.0/8"]);
        let mounts = Mounts(folder.path().to_owned());
        let mut daemon = Daemon::start("dockerd", &mut command, &path("log"))?;

        std::fs::create_dir(path("bin"))?;
        std::fs::create_dir(path("config"))?;
        let search = client::variable("PATH").unwrap_or_default();
        let environment = vec![
            ("DOCKER_HOST".to_owned(), host),
            ("DOCKER_CONFIG".to_owned(), path("config").display().to_string()),
            ("DOCKER_BUILDKIT".to_owned(), "0".to_owned()),
            ("PATH".to_owned(), format!("{}:{search}", path("bin").display())),
        ];
        daemon.wait_until("the Docker engine answers", Duration::from_mins(1), || {
            let mut version = Command::new("docker");
            version
                .arg("version")
                .envs(environment.iter().map(|(name, value)| (name, value)));
            run(&mut version).is_ok_and(|finished| finished.status.success())
        })?;
        Ok(Some(Self {
            _daemon: daemon,
            _mounts: mounts,
            folder,
            environment,
        }))
    }

    /// A `docker` command for this engine, with a client configuration of its own.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        clean_environment(&mut command);
        command.args(arguments).current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// What points a program at this engine and its client configuration.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// Runs `docker …` and insists on success.
    pub fn docker(&self, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.command(arguments))?.ok()
    }

    /// Runs `docker …` and insists on failure.
    pub fn docker_refused(&self, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.command(arguments))?.refused()
    }

    /// Logs in with the password on standard input.
    pub fn login(&self, registry: &str, user: &str, password: &str) -> Result<Finished> {
        let mut command = self.command(&["login", "--username", user, "--password-stdin", registry]);
        run_with_input(&mut command, password.as_bytes())
    }

    /// A folder for a test's own files.
    #[must_use]
    pub fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The client's configuration file.
    #[must_use]
    pub fn config_file(&self) -> PathBuf {
        self.folder.path().join("config/config.json")
    }

    /// Puts `docker-credential-hythe` on the client's path: the `hythe` executable under its other name.
    pub fn install_credential_helper(&self) -> Result<PathBuf> {
        let helper = self.folder.path().join("bin/docker-credential-hythe");
        std::os::unix::fs::symlink(binary::hythe()?, &helper)?;
        Ok(helper)
    }

    /// Builds an image from nothing but a static busybox; its run says `words`.
    pub fn build(&self, image: &str, words: &str, more: &[&str]) -> Result<Finished> {
        let context = self.folder.path().join("context");
        std::fs::create_dir_all(&context)?;
        let busybox = static_busybox().context("no static busybox (Debian: busybox-static)")?;
        std::fs::copy(busybox, context.join("busybox"))?;
        let steps =
            format!("FROM scratch\nCOPY busybox /bin/busybox\nENTRYPOINT [\"/bin/busybox\", \"echo\", \"{words}\"]\n");
        std::fs::write(context.join("Dockerfile"), steps)?;
        let context = context.display().to_string();
        self.docker(&[&["build", "--tag", image], more, &[context.as_str()]].concat())
    }
}

/// What an engine that had to be killed leaves mounted.
#[derive(Debug)]
struct Mounts(PathBuf);

impl Drop for Mounts {
    fn drop(&mut self) {
        unmount_below(&self.0);
    }
}

/// Unmounts everything below a folder, the newest mount first.
pub fn unmount_below(folder: &Path) {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    for line in mounts.lines().rev() {
        if let Some(place) = line
            .split(' ')
            .nth(1)
            .filter(|place| Path::new(place).starts_with(folder))
        {
            // Not through `run`, which an interruption stops: this is the clean-up after one.
            let _ = Command::new("umount").args(["--lazy", place]).status();
        }
    }
}
