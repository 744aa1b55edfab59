// SPDX-License-Identifier: Apache-2.0
//! A home folder for one client, logged in to one server the way `docker login` leaves it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use crate::client;
use crate::process::{Finished, run};
use crate::server::{Server, clean_environment};

/// A client's program, and a home in which it finds Docker's configuration.
#[derive(Debug)]
pub struct ClientHome {
    program: PathBuf,
    folder: TempDir,
}

impl ClientHome {
    /// A client that is logged in as the administrator; `None` if it is not installed, which is said aloud.
    pub fn logged_in(program: &str, server: &Server) -> Result<Option<Self>> {
        let Some(programs) = client::find(&[program])? else {
            return Ok(None);
        };
        let program = programs.into_iter().next().context("a program was found")?;
        let folder = tempfile::Builder::new().prefix("hythe-cl-").tempdir()?;
        let credentials = server.credentials();
        let user = format!("{}:{}", credentials.access_key_id, credentials.secret_access_key);
        let config = json!({ "auths": { server.registry(): { "auth": STANDARD.encode(user) } } });
        std::fs::create_dir(folder.path().join(".docker"))?;
        std::fs::write(folder.path().join(".docker/config.json"), config.to_string())?;
        Ok(Some(Self { program, folder }))
    }

    /// Another program in the same home, with the same login.
    #[must_use]
    pub fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        clean_environment(&mut command);
        command.args(arguments).current_dir(self.folder.path());
        command
            .env("HOME", self.folder.path())
            .env("DOCKER_CONFIG", self.folder.path().join(".docker"))
            .env("REGISTRY_AUTH_FILE", self.folder.path().join(".docker/config.json"))
            .env("XDG_CONFIG_HOME", self.folder.path().join(".config"))
            .env("TMPDIR", self.folder.path())
            // cosign asks for the password of a key otherwise.
            .env("COSIGN_PASSWORD", "");
        command
    }

    /// Runs the client to its end, however it ends.
    pub fn attempt(&self, arguments: &[&str]) -> Result<Finished> {
        run(&mut self.command_of(&self.program, arguments))
    }

    /// Runs the client and insists on success.
    pub fn run(&self, arguments: &[&str]) -> Result<Finished> {
        self.attempt(arguments)?.ok()
    }

    /// Runs the client and insists on failure.
    pub fn refused(&self, arguments: &[&str]) -> Result<Finished> {
        self.attempt(arguments)?.refused()
    }

    /// The home, in which the client runs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the home.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        std::fs::write(self.folder.path().join(name), text).with_context(|| name.to_owned())
    }
}
