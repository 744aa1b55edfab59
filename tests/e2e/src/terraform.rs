// SPDX-License-Identifier: Apache-2.0
//! Runs Terraform with our provider, in a working folder of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::binary;
use crate::client;
use crate::process::{Finished, run_within};
use crate::server::{Credentials, clean_environment};

/// The provider's source address.
pub const SOURCE: &str = "hythe/hythe";

/// Where Terraform looks for a provider of [`SOURCE`] in a mirror folder.
pub const MIRROR_HOST: &str = "registry.terraform.io";

/// How long one Terraform command may take.
const LIMIT: Duration = Duration::from_mins(5);

/// A Terraform working folder.
#[derive(Debug)]
pub struct Terraform {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

impl Terraform {
    /// A working folder whose provider talks to `server`; `None` if Terraform is not installed, which is said aloud.
    pub fn new(credentials: &Credentials) -> Result<Option<Self>> {
        if client::find(&["terraform"])?.is_none() {
            return Ok(None);
        }
        let folder = tempfile::Builder::new().prefix("hythe-tf-").tempdir()?;
        let mut terraform = Self {
            folder,
            environment: Vec::new(),
        };
        for (name, value) in credentials.environment() {
            terraform.set(name, &value);
        }
        terraform.use_development_build()?;
        Ok(Some(terraform))
    }

    /// Takes the provider from this build, without `terraform init`.
    fn use_development_build(&mut self) -> Result<()> {
        let folder = binary::provider()?
            .parent()
            .context("the provider is in no folder")?
            .display()
            .to_string();
        let text =
            format!("provider_installation {{\n  dev_overrides {{ \"{SOURCE}\" = \"{folder}\" }}\n  direct {{}}\n}}\n");
        self.set_cli_config(&text)
    }

    /// Replaces the CLI configuration.
    pub fn set_cli_config(&mut self, text: &str) -> Result<()> {
        let path = self.folder.path().join("terraform.rc");
        std::fs::write(&path, text)?;
        self.set("TF_CLI_CONFIG_FILE", &path.display().to_string());
        Ok(())
    }

    /// Sets an environment variable of all later commands.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The working folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes `main.tf`: which provider, then `body`.
    pub fn configure(&self, body: &str) -> Result<()> {
        let head =
            format!("terraform {{\n  required_providers {{\n    hythe = {{ source = \"{SOURCE}\" }}\n  }}\n}}\n\n");
        std::fs::write(self.folder.path().join("main.tf"), format!("{head}{body}"))?;
        Ok(())
    }

    /// A command in the working folder.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        clean_environment(&mut command);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TF_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).current_dir(self.folder.path());
        command
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a command to its end, however it ends.
    pub fn run(&self, arguments: &[&str]) -> Result<Finished> {
        run_within(&mut self.command(arguments), LIMIT)
    }

    /// Applies and insists on success.
    pub fn apply(&self) -> Result<Finished> {
        self.run(&["apply", "-auto-approve", "-no-color"])?.ok()
    }

    /// Applies, then insists that a plan is empty: what every configuration must do.
    pub fn apply_and_settle(&self) -> Result<()> {
        self.apply()?;
        self.plan()?.expect_empty()
    }

    /// Destroys everything and insists on success.
    pub fn destroy(&self) -> Result<Finished> {
        self.run(&["destroy", "-auto-approve", "-no-color"])?.ok()
    }

    /// Makes a plan and insists that making it succeeds.
    pub fn plan(&self) -> Result<Plan> {
        self.plan_with(&[])
    }

    /// Makes a plan with further arguments.
    pub fn plan_with(&self, more: &[&str]) -> Result<Plan> {
        let finished = self.run(&[&["plan", "-no-color", "-detailed-exitcode", "-out=tfplan"], more].concat())?;
        let is_empty = match finished.status.code() {
            Some(0) => true,
            Some(2) => false,
            _ => bail!("`{}` failed\n{}", finished.command, finished.both()),
        };
        let json = self.run(&["show", "-json", "tfplan"])?.ok()?.stdout;
        Ok(Plan {
            is_empty,
            text: finished.stdout,
            json: serde_json::from_str(&json)?,
        })
    }

    /// Runs a command that must fail and answers its diagnostics.
    pub fn diagnostics_of_failure(&self, arguments: &[&str]) -> Result<Vec<Diagnostic>> {
        let finished = self.run(&[arguments, &["-json"]].concat())?.refused()?;
        let mut found = Vec::new();
        for line in finished.stdout.lines() {
            let Ok(value) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            found.extend(value.get("diagnostic").map(Diagnostic::from));
        }
        ensure!(
            !found.is_empty(),
            "`{}` failed without a diagnostic\n{}",
            finished.command,
            finished.both()
        );
        Ok(found)
    }

    /// The diagnostics of `terraform validate`.
    pub fn validate(&self) -> Result<Vec<Diagnostic>> {
        let finished = self.run(&["validate", "-json"])?;
        let answer: Value = serde_json::from_str(&finished.stdout).with_context(|| finished.both())?;
        let list = answer
            .get("diagnostics")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default();
        Ok(list.iter().map(Diagnostic::from).collect())
    }

    /// The attributes of a resource or data source in the state; null if it is not there.
    pub fn attributes(&self, address: &str) -> Result<Value> {
        let state = self.state()?;
        let resources = state.pointer("/values/root_module/resources").and_then(Value::as_array);
        let found = resources
            .into_iter()
            .flatten()
            .find(|it| it.get("address").and_then(Value::as_str) == Some(address));
        Ok(found.and_then(|it| it.get("values")).cloned().unwrap_or(Value::Null))
    }

    /// The addresses in the state.
    pub fn addresses(&self) -> Result<Vec<String>> {
        Ok(self
            .run(&["state", "list"])?
            .stdout
            .lines()
            .map(str::to_owned)
            .collect())
    }

    /// An output's value.
    pub fn output(&self, name: &str) -> Result<Value> {
        Ok(serde_json::from_str(
            &self.run(&["output", "-json", name])?.ok()?.stdout,
        )?)
    }

    /// The whole state as `terraform show -json` prints it.
    pub fn state(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["show", "-json"])?.ok()?.stdout)?)
    }

    /// The state file's text.
    pub fn state_text(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.folder.path().join("terraform.tfstate"))?)
    }
}

/// A plan.
#[derive(Debug)]
pub struct Plan {
    /// Whether it changes nothing.
    pub is_empty: bool,
    /// What a person reads.
    pub text: String,
    /// `terraform show -json`.
    pub json: Value,
}

impl Plan {
    /// Insists that nothing changes.
    pub fn expect_empty(&self) -> Result<()> {
        ensure!(
            self.is_empty && self.changes().is_empty(),
            "the plan is not empty:\n{}",
            self.text
        );
        Ok(())
    }

    /// `address action` of everything that changes, such as `hythe_repository.a update`; a replacement is `delete,create`.
    #[must_use]
    pub fn changes(&self) -> Vec<String> {
        let all = self
            .json
            .get("resource_changes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let text = all.filter_map(|change| {
            let actions = change.pointer("/change/actions")?.as_array()?;
            let actions: Vec<&str> = actions.iter().filter_map(Value::as_str).collect();
            let address = change.get("address")?.as_str()?;
            (actions != ["no-op"] && actions != ["read"]).then(|| format!("{address} {}", actions.join(",")))
        });
        text.collect()
    }

    /// What changes outside Terraform the refresh saw, as `address action`.
    #[must_use]
    pub fn drift(&self) -> Vec<String> {
        let all = self
            .json
            .get("resource_drift")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let text = all.filter_map(|change| {
            let actions = change.pointer("/change/actions")?.as_array()?;
            let actions: Vec<&str> = actions.iter().filter_map(Value::as_str).collect();
            Some(format!("{} {}", change.get("address")?.as_str()?, actions.join(",")))
        });
        text.collect()
    }

    /// The names of the top-level attributes that the plan changes for one resource.
    #[must_use]
    pub fn changed_attributes(&self, address: &str) -> Vec<String> {
        let all = self
            .json
            .get("resource_changes")
            .and_then(Value::as_array)
            .into_iter()
            .flatten();
        let mut of_address = all.filter(|it| it.get("address").and_then(Value::as_str) == Some(address));
        let Some(change) = of_address.next().and_then(|it| it.get("change")) else {
            return Vec::new();
        };
        let member = |name: &str| change.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
        let (before, after, unknown) = (member("before"), member("after"), member("after_unknown"));
        let mut names: Vec<String> = before
            .keys()
            .chain(after.keys())
            .chain(unknown.keys())
            .cloned()
            .collect();
        names.sort();
        names.dedup();
        names.retain(|name| before.get(name) != after.get(name) || unknown.get(name) == Some(&Value::Bool(true)));
        names
    }
}

/// A message from Terraform.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// `error` or `warning`.
    pub severity: String,
    /// Summary and detail, with white space folded: Terraform wraps nothing here, but providers may.
    pub text: String,
    /// The source line it points at.
    pub code: String,
}

impl From<&Value> for Diagnostic {
    fn from(value: &Value) -> Self {
        let member = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let text = format!("{} {}", member("/summary"), member("/detail"));
        Self {
            severity: member("/severity").to_owned(),
            text: text.split_whitespace().collect::<Vec<_>>().join(" "),
            code: member("/snippet/code").to_owned(),
        }
    }
}

/// Lays out a mirror folder with the provider of this build, as `terraform init` wants it; answers the version.
pub fn write_mirror(folder: &Path, version: &str) -> Result<PathBuf> {
    let os_arch = format!("linux_{}", crate::image::architecture());
    let place = folder.join(MIRROR_HOST).join(SOURCE).join(version).join(os_arch);
    std::fs::create_dir_all(&place)?;
    let program = place.join(format!("terraform-provider-hythe_v{version}"));
    // A copy rather than a link: Terraform hashes the folder for its lock file.
    std::fs::copy(binary::provider()?, &program)?;
    Ok(program)
}
