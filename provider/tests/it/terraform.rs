// SPDX-License-Identifier: Apache-2.0
//! The Terraform program, with the provider of this process.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use hythe_client::Environment;
use hythe_provider::{HytheProvider, SOURCE};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tfplugin::Served;
use tokio::process::{Child, Command};

use crate::server::Server;

pub const ADDRESS: &str = "hythe_repository.r";

/// A working folder and a provider that talks to one server.
pub struct Terraform {
    folder: TempDir,
    served: Served,
    /// Providers beside ours, and the value with which Terraform finds them all.
    others: Vec<Served>,
    reattach: String,
}

/// A command that runs.
pub struct Running {
    child: Child,
    log: PathBuf,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub text: String,
}

/// A provider whose environment says no more than where `server` is.
pub async fn serve(endpoint: &str, folder: &Path) -> Served {
    let variables = [
        ("HYTHE_ENDPOINT", endpoint),
        ("HYTHE_ACCESS_KEY_ID", "HYTHEAAAAAAAAAAAAAAA"),
        ("HYTHE_SECRET_ACCESS_KEY", "secret"),
    ];
    let environment = Environment::new(variables, folder.to_path_buf());
    tfplugin::serve_in_process(HytheProvider::new(environment), SOURCE)
        .await
        .unwrap()
}

/// Whether Terraform is installed; said aloud if not. Where the clients are required its absence is a failure.
pub fn is_installed() -> bool {
    let path = std::env::vars_os()
        .find(|(name, _)| name == "PATH")
        .map(|(_, value)| value)
        .unwrap_or_default();
    let is_there = std::env::split_paths(&path).any(|folder| folder.join("terraform").is_file());
    if !is_there {
        let is_required = std::env::vars_os().any(|(name, _)| name == "HYTHE_TEST_REQUIRE_CLIENTS");
        assert!(!is_required, "`terraform` is not installed");
        std::io::stderr()
            .write_all(b"skipped: `terraform` is not installed\n")
            .unwrap();
    }
    is_there
}

impl Terraform {
    /// `None` if Terraform is not installed.
    pub async fn with(server: &Server) -> Option<Self> {
        if !is_installed() {
            return None;
        }
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("terraform.rc"), "").unwrap();
        let plugin = serve(&server.endpoint(), folder.path()).await;
        let reattach = plugin.reattach().to_owned();
        Some(Self {
            folder,
            served: plugin,
            others: Vec::new(),
            reattach,
        })
    }

    /// Adds another provider.
    pub fn add(&mut self, other: Served) {
        self.others.push(other);
        let providers = std::iter::once(&self.served).chain(&self.others);
        let members =
            providers.flat_map(|it| serde_json::from_str::<serde_json::Map<String, Value>>(it.reattach()).unwrap());
        self.reattach = Value::Object(members.collect()).to_string();
    }

    /// Writes the configuration, and makes it ready.
    pub async fn configure(&self, body: &str) {
        self.write(
            "main.tf",
            &format!(
                "terraform {{\n  required_providers {{\n    hythe = {{ source = \"hythe/hythe\" }}\n  }}\n}}\n{body}\n"
            ),
        );
        let ended = self.run(&["init"]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.text);
    }

    /// A single `hythe_repository.r` with these arguments.
    pub async fn configure_repository(&self, arguments: &str) {
        self.configure(&format!("resource \"hythe_repository\" \"r\" {{\n{arguments}\n}}"))
            .await;
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        for (name, _) in std::env::vars_os() {
            if ["TF_", "HYTHE_"]
                .iter()
                .any(|prefix| name.to_string_lossy().starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        // Terraform wants options before arguments; the commands on states have no colours.
        let (subcommand, rest) = arguments.split_first().unwrap();
        command.arg(subcommand);
        if *subcommand != "state" {
            command.arg("-no-color");
        }
        command
            .args(rest)
            .current_dir(self.folder.path())
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0")
            .env("TF_CLI_CONFIG_FILE", self.folder.path().join("terraform.rc"))
            .env("TF_REATTACH_PROVIDERS", &self.reattach)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Ended {
        self.start(arguments).end().await
    }

    /// Starts a command.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let log = self.folder.path().join("terraform.log");
        let output = File::create(&log).unwrap();
        let mut command = self.command(arguments);
        command.stdout(output.try_clone().unwrap()).stderr(output);
        Running {
            child: command.spawn().unwrap(),
            log,
        }
    }

    /// Applies, insists on success, and on an empty plan after it.
    pub async fn apply(&self) {
        let ended = self.run(&["apply", "-auto-approve"]).await;
        assert_eq!(ended.code, Some(0), "{}", ended.text);
        self.expect_empty_plan().await;
    }

    pub async fn expect_empty_plan(&self) {
        let plan = self.run(&["plan", "-detailed-exitcode"]).await;
        assert_eq!(plan.code, Some(0), "the plan is not empty:\n{}", plan.text);
    }

    /// Applies, and insists on failure; answers what was printed, with white space and frames folded.
    pub async fn apply_refused(&self) -> String {
        let ended = self.run(&["apply", "-auto-approve"]).await;
        assert_eq!(ended.code, Some(1), "{}", ended.text);
        folded(&ended.text)
    }

    /// The attributes of `hythe_repository.r` in the state; null if it is not there.
    pub async fn attributes(&self) -> Value {
        let output = self.command(&["show", "-json"]).output().await.unwrap();
        let state: Value = serde_json::from_slice(&output.stdout).unwrap();
        let resources = state
            .pointer("/values/root_module/resources")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        resources
            .iter()
            .find(|it| it["address"] == ADDRESS)
            .map(|it| it["values"].clone())
            .unwrap_or_default()
    }

    pub async fn is_tainted(&self) -> bool {
        let output = self.command(&["show", "-json"]).output().await.unwrap();
        String::from_utf8_lossy(&output.stdout).contains("\"tainted\":true")
    }
}

impl Running {
    /// What a user's Ctrl-C does.
    pub fn interrupt(&self) {
        let pid = i32::try_from(self.child.id().unwrap()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::INT).unwrap();
    }

    /// Waits until it has printed this.
    pub async fn prints(&self, text: &str) {
        while !std::fs::read_to_string(&self.log).unwrap().contains(text) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for its end.
    pub async fn end(mut self) -> Ended {
        let code = self.child.wait().await.unwrap().code();
        let text = std::fs::read_to_string(&self.log).unwrap();
        Ended { code, text }
    }
}

/// Text without the frame that Terraform draws around messages, and without its line breaks.
pub fn folded(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c == '│' || c == '╷' || c == '╵')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
