// SPDX-License-Identifier: Apache-2.0
//! What every resource goes through in the acceptance tests of the Terraform provider.

use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use crate::process::wait_until;
use crate::{Server, Terraform, http};

/// How long an apply may take to begin, and to end when it is interrupted.
const INTERRUPT_LIMIT: Duration = Duration::from_mins(3);

/// What changes, the text that changes, the new text, what the plan says, and which attributes it changes.
pub type Change<'a> = (&'a str, &'a str, &'a str, &'a str, &'a [&'a str]);

/// What changes on the server, by which call, and which attributes show it.
pub type Drift<'a> = (&'a str, &'a str, Value, &'a [&'a str]);

/// A resource and what it goes through. Every step ends with an empty plan.
#[derive(Debug, Default)]
pub struct Life<'a> {
    /// The type without its prefix.
    pub kind: &'a str,
    /// Other resources that it needs.
    pub around: &'a str,
    /// The least arguments.
    pub basic: &'a str,
    /// All arguments.
    pub full: &'a str,
    /// What the server says of the full one, by the attribute's name.
    pub shown: &'a [(&'a str, Value)],
    /// From the full one, and back.
    pub changes: &'a [Change<'a>],
    /// The full one in other words: what is replaced by what.
    pub same: &'a [(&'a str, &'a str)],
    /// From the full one, at `path`.
    pub drift: &'a [Drift<'a>],
    /// The path of the object.
    pub path: &'a str,
    /// What an import is given.
    pub id: &'a str,
    /// What an import cannot know.
    pub unread: &'a [&'a str],
}

/// A server and a working folder of Terraform.
#[derive(Debug)]
pub struct Stage {
    // Order matters: the working folder goes before the server.
    /// Terraform.
    pub terraform: Terraform,
    /// What it talks to.
    pub server: Server,
}

impl Stage {
    /// Starts the server; `None` if Terraform is not installed, which is said aloud.
    pub fn set() -> Result<Option<Self>> {
        let server = Server::start()?;
        let terraform = Terraform::new(server.credentials())?;
        Ok(terraform.map(|terraform| Self { terraform, server }))
    }

    /// The status of a `GET`.
    pub fn status(&self, path: &str) -> Result<u16> {
        Ok(self.server.api("GET", path, None)?.status)
    }

    /// Sends a request that must succeed.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Result<()> {
        let body = (!body.is_null()).then_some(body);
        let answer = self.server.api(method, path, body)?;
        ensure!(
            (200..300).contains(&answer.status),
            "{method} {path}: {}",
            answer.text()
        );
        Ok(())
    }
}

impl Life<'_> {
    fn address(&self) -> String {
        format!("hythe_{}.r", self.kind)
    }

    fn config(&self, lines: &str) -> String {
        format!(
            "{}\nresource \"hythe_{}\" \"r\" {{\n{lines}\n}}\n",
            self.around, self.kind
        )
    }

    /// Basic, full, changes, other words, drift, import, disappearance, conflict, destruction.
    pub fn run(&self) -> Result<()> {
        let Some(stage) = Stage::set()? else { return Ok(()) };
        let Stage { terraform, .. } = &stage;
        let address = self.address();
        terraform.configure(&self.config(self.basic))?;
        terraform.apply_and_settle().context("basic")?;
        ensure!(stage.status(self.path)? == 200, "the server has no `{}`", self.path);
        self.import(&stage).context("basic")?;
        terraform.plan()?.expect_empty().context("imported")?;
        if !self.full.is_empty() {
            self.full_life(&stage)?;
        }
        self.disappear(&stage).context("disappears")?;

        // Somebody else's is not taken over by a create.
        if !self.kind.contains("attachment") && !self.kind.contains("membership") {
            terraform.run(&["state", "rm", &address])?.ok()?;
            let found = terraform.diagnostics_of_failure(&["apply", "-auto-approve"])?;
            let text: String = found.iter().map(|it| it.text.clone()).collect();
            ensure!(text.contains("exists"), "a create took over what was there: {text}");
            terraform.run(&["import", "-no-color", &address, self.id])?.ok()?;
        }
        terraform.destroy()?;
        ensure!(stage.status(self.path)? == 404, "`{}` is left on the server", self.path);
        Ok(())
    }

    fn full_life(&self, stage: &Stage) -> Result<()> {
        let (terraform, address) = (&stage.terraform, self.address());
        let apply = |lines: &str| {
            terraform.configure(&self.config(lines))?;
            terraform.apply_and_settle()
        };
        apply(self.full).context("full")?;
        let attributes = terraform.attributes(&address)?;
        for (name, wanted) in self.shown {
            let is = attributes.get(name).unwrap_or(&Value::Null);
            ensure!(is == wanted, "{name} is {is}, not {wanted}");
        }
        self.import(stage).context("full")?;
        apply(self.full)?;
        for (what, old, new, action, affected) in self.changes {
            ensure!(self.full.contains(old), "{what}: `{old}` is not there to change");
            terraform.configure(&self.config(&self.full.replace(old, new)))?;
            let plan = terraform.plan()?;
            ensure!(
                plan.changes() == [format!("{address} {action}")],
                "{what}: {:?}\n{}",
                plan.changes(),
                plan.text
            );
            let changed = plan.changed_attributes(&address);
            let is_expected = if *action == "update" {
                changed == *affected
            } else {
                affected.iter().all(|it| changed.iter().any(|other| other == it))
            };
            ensure!(
                is_expected,
                "{what}: the plan changes {changed:?}, not {affected:?}\n{}",
                plan.text
            );
            terraform.apply_and_settle().context(what.to_string())?;
            apply(self.full)?;
        }
        for (old, new) in self.same {
            ensure!(self.full.contains(old), "`{old}` is not there to say otherwise");
            terraform.configure(&self.config(&self.full.replace(old, new)))?;
            terraform.plan()?.expect_empty().context(new.to_string())?;
        }
        terraform.configure(&self.config(self.full))?;
        for (what, method, body, affected) in self.drift {
            stage.send(method, self.path, body)?;
            let plan = terraform.plan()?;
            let changed = plan.changed_attributes(&address);
            ensure!(
                plan.changes() == [format!("{address} update")] && changed == *affected,
                "{what}: {:?} {changed:?}, not {affected:?}\n{}",
                plan.changes(),
                plan.text
            );
            terraform.apply_and_settle().context(what.to_string())?;
        }
        // Back to the defaults.
        apply(self.basic).context("from full to basic")
    }

    /// Forgets the resource and imports it again: the attributes must be the same.
    fn import(&self, stage: &Stage) -> Result<()> {
        let (terraform, address) = (&stage.terraform, self.address());
        let before = terraform.attributes(&address)?;
        terraform.run(&["state", "rm", &address])?.ok()?;
        terraform.run(&["import", "-no-color", &address, self.id])?.ok()?;
        let mut after = terraform.attributes(&address)?;
        for name in self.unread {
            if let (Some(known), Some(unread)) = (before.get(name), after.get_mut(name)) {
                *unread = known.clone();
            }
        }
        ensure!(after == before, "import read\n{after:#}\ninstead of\n{before:#}");
        Ok(())
    }

    /// Deletes the object on the server; the next plan makes it again.
    fn disappear(&self, stage: &Stage) -> Result<()> {
        let (terraform, address) = (&stage.terraform, self.address());
        stage.send("DELETE", self.path, &Value::Null)?;
        let plan = terraform.plan()?;
        ensure!(plan.changes() == [format!("{address} create")], "{:?}", plan.changes());
        ensure!(plan.drift() == [format!("{address} delete")], "{:?}", plan.drift());
        terraform.apply_and_settle()
    }
}

/// The path of the REST API with these parts.
#[must_use]
pub fn path(parts: &[&str]) -> String {
    let parts: Vec<String> = parts.iter().map(|part| http::percent_encode(part)).collect();
    format!("/api/v1/{}", parts.join("/"))
}

/// Applies, and interrupts Terraform and its provider as a terminal does, as soon as `is_under_way` says so. Both have to
/// end by themselves.
pub fn interrupt_apply(terraform: &Terraform, is_under_way: impl FnMut() -> bool) -> Result<()> {
    let mut command = terraform.command(&["apply", "-auto-approve", "-no-color", "-parallelism=4"]);
    let output = terraform.folder().join("interrupted.log");
    let file = std::fs::File::create(&output)?;
    // A process group of its own, as a terminal gives it: the interrupt reaches Terraform and the provider alike.
    command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file);
    let mut child = command.spawn()?;
    let group = Pid::from_raw(i32::try_from(child.id())?).context("not a process id")?;
    let begun = wait_until("the apply is under way", INTERRUPT_LIMIT, is_under_way);
    kill_process_group(group, Signal::INT)?;
    let ended = wait_until("Terraform ends", INTERRUPT_LIMIT, || {
        child.try_wait().is_ok_and(|it| it.is_some())
    });
    if ended.is_err() {
        kill_process_group(group, Signal::KILL)?;
        child.wait()?;
    }
    let printed = std::fs::read_to_string(&output)?;
    begun.and(ended).with_context(|| printed.clone())?;
    ensure!(
        !printed.contains("Plugin did not respond") && !printed.contains("panic"),
        "{printed}"
    );
    Ok(())
}
