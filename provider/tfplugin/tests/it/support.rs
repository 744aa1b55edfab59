// SPDX-License-Identifier: Apache-2.0
//! A folder with a configuration, a shelf and a Terraform program.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tfplugin::Served;

use crate::shelf::Shelf;

pub const ADDRESS: &str = "registry.terraform.io/example/shelf";

/// How Terraform finds the provider.
pub enum Reach {
    Reattach(Served),
    Handshake,
}

pub struct Workspace {
    folder: TempDir,
    reach: Reach,
}

/// What a Terraform command printed, and its exit code.
pub struct Outcome {
    pub code: Option<i32>,
    pub text: String,
}

impl Workspace {
    /// A workspace whose provider runs in this process. None if there is no Terraform to test with.
    pub async fn reattached() -> Option<Self> {
        if !has_terraform() {
            return None;
        }
        let served = tfplugin::serve_in_process(Shelf, ADDRESS).await.unwrap();
        Some(Self::new(Reach::Reattach(served)))
    }

    /// A workspace whose provider is a program that Terraform starts.
    pub fn with_program() -> Option<Self> {
        if !has_terraform() {
            return None;
        }
        let workspace = Self::new(Reach::Handshake);
        let plugins = workspace.path().join("plugins");
        std::fs::create_dir(&plugins).unwrap();
        std::os::unix::fs::symlink(program(), plugins.join("terraform-provider-shelf")).unwrap();
        Some(workspace)
    }

    fn new(reach: Reach) -> Self {
        let workspace = Self {
            folder: tempfile::tempdir().unwrap(),
            reach,
        };
        for name in ["shelf", "tmp"] {
            std::fs::create_dir(workspace.path().join(name)).unwrap();
        }
        let plugins = workspace.path().join("plugins");
        let settings = match workspace.reach {
            Reach::Reattach(_) => String::new(),
            Reach::Handshake => {
                format!(
                    "provider_installation {{\n  dev_overrides {{\n    \"example/shelf\" = \"{}\"\n  }}\n}}\n",
                    plugins.display()
                )
            }
        };
        std::fs::write(workspace.path().join("settings.tfrc"), settings).unwrap();
        workspace
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Temporary files of everything that runs here.
    pub fn temporary(&self) -> PathBuf {
        self.path().join("tmp")
    }

    pub fn shelf(&self) -> PathBuf {
        self.path().join("shelf")
    }

    /// What the shelf has about a book.
    pub fn book(&self, isbn: &str) -> Option<Json> {
        let bytes = std::fs::read(self.shelf().join(format!("{isbn}.json"))).ok()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// Puts a book on the shelf behind Terraform's back.
    pub fn put_book(&self, isbn: &str, title: &str) {
        let book = json!({"isbn": isbn, "title": title, "genre": "novel", "summary": null, "revision": 1, "owner": "nobody", "password": null});
        std::fs::write(self.shelf().join(format!("{isbn}.json")), book.to_string()).unwrap();
    }

    pub fn journal(&self) -> String {
        std::fs::read_to_string(self.shelf().join("journal.txt")).unwrap_or_default()
    }

    /// Writes the configuration; the provider block comes by itself.
    pub fn write(&self, config: &str) {
        self.write_raw(&format!(
            "provider \"shelf\" {{\n  directory = \"{}\"\n}}\n{config}",
            self.shelf().display()
        ));
    }

    pub fn write_raw(&self, config: &str) {
        let head = "terraform {\n  required_providers {\n    shelf = { source = \"example/shelf\" }\n  }\n}\n";
        std::fs::write(self.path().join("main.tf"), format!("{head}{config}")).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("terraform");
        command.current_dir(self.path()).args(arguments).arg("-no-color");
        command
            .env("CHECKPOINT_DISABLE", "1")
            .env("TF_IN_AUTOMATION", "1")
            .env("TF_INPUT", "0");
        command
            .env("TF_CLI_CONFIG_FILE", self.path().join("settings.tfrc"))
            .env("TMPDIR", self.temporary());
        command.env_remove("TF_LOG");
        if let Reach::Reattach(served) = &self.reach {
            command.env("TF_REATTACH_PROVIDERS", served.reattach());
        }
        command
    }

    pub async fn run(&self, arguments: &[&str]) -> Outcome {
        let mut command = self.command(arguments);
        outcome(
            tokio::task::spawn_blocking(move || command.output().unwrap())
                .await
                .unwrap(),
        )
    }

    pub async fn apply(&self) -> Outcome {
        self.run(&["apply", "-auto-approve"]).await
    }

    /// Applies, and then the plan must be empty.
    pub async fn apply_and_settle(&self) {
        let applied = self.apply().await;
        assert_eq!(applied.code, Some(0), "{}", applied.text);
        self.assert_settled().await;
    }

    pub async fn assert_settled(&self) {
        let plan = self.plan().await;
        assert_eq!(plan.code, Some(0), "the plan is not empty: {}", plan.text);
    }

    /// Plans; exit code 0 means no change, 2 changes.
    pub async fn plan(&self) -> Outcome {
        self.run(&["plan", "-detailed-exitcode"]).await
    }

    pub async fn destroy(&self) {
        let destroyed = self.run(&["destroy", "-auto-approve"]).await;
        assert_eq!(destroyed.code, Some(0), "{}", destroyed.text);
    }

    /// The attributes of a resource in the state.
    pub fn state_of(&self, address: &str) -> Option<Json> {
        self.instance(address).map(|instance| instance["attributes"].clone())
    }

    /// The instance object of a resource in the state file.
    pub fn instance(&self, address: &str) -> Option<Json> {
        let state: Json = serde_json::from_str(&self.state_text()).unwrap();
        let (kind, name) = address.split_once('.').unwrap();
        let resources = state["resources"].as_array().unwrap().clone();
        let resource = resources.iter().find(|it| it["type"] == kind && it["name"] == name)?;
        Some(resource["instances"][0].clone())
    }

    pub fn state_text(&self) -> String {
        std::fs::read_to_string(self.path().join("terraform.tfstate")).unwrap()
    }
}

impl Outcome {
    /// Terraform breaks and frames its messages; this is their text.
    pub fn words(&self) -> String {
        self.text
            .replace(['│', '╷', '╵', '\n'], " ")
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    pub fn assert_fails_with(&self, words: &str) {
        assert_eq!(self.code, Some(1), "{}", self.text);
        assert!(self.words().contains(words), "no `{words}` in: {}", self.text);
    }
}

pub fn outcome(output: Output) -> Outcome {
    let text = [output.stdout, output.stderr].concat();
    Outcome {
        code: output.status.code(),
        text: String::from_utf8_lossy(&text).into_owned(),
    }
}

fn has_terraform() -> bool {
    let found = Command::new("terraform")
        .arg("-version")
        .env("CHECKPOINT_DISABLE", "1")
        .output()
        .is_ok();
    if !found {
        std::io::stderr()
            .write_all(b"skipped: there is no `terraform` on the PATH\n")
            .unwrap();
    }
    found
}

/// The sample provider as a program. Cargo builds examples together with tests.
pub fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let program = tests.parent().unwrap().parent().unwrap().join("examples").join("shelf");
    assert!(
        program.exists(),
        "build the example first: cargo build -p tfplugin --example shelf"
    );
    program
}
