// SPDX-License-Identifier: Apache-2.0
//! The Terraform program, with the provider of this process.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use hythe_client::Environment;
use hythe_provider::{HytheProvider, SOURCE};
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
        Some(Self { folder, served: plugin })
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
        // Terraform wants options before arguments.
        let (subcommand, rest) = arguments.split_first().unwrap();
        command
            .args([subcommand, "-no-color"])
            .args(rest)
            .current_dir(self.folder.path())
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0")
            .env("TF_CLI_CONFIG_FILE", self.folder.path().join("terraform.rc"))
            .env("TF_REATTACH_PROVIDERS", self.served.reattach())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Ended {
        ended(
            self.command(arguments)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap(),
        )
        .await
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

/// Waits for the end of a command.
pub async fn ended(child: Child) -> Ended {
    let output = child.wait_with_output().await.unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    Ended {
        code: output.status.code(),
        text,
    }
}

/// Text without the frame that Terraform draws around messages, and without its line breaks.
pub fn folded(text: &str) -> String {
    text.split(|c: char| c.is_whitespace() || c == '│' || c == '╷' || c == '╵')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}
