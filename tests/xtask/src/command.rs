// SPDX-License-Identifier: Apache-2.0
//! Commands whose output the caller sees as it comes.

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use e2e::binary::workspace_folder;
use e2e::client;

use crate::say;

/// Where tools are installed that the machine does not have. Inside `target`, so that they are cached with it.
pub const TOOLS: &str = "target/tools";

/// A `cargo` command in the workspace, without standard input.
#[must_use]
pub fn cargo(arguments: &[&str]) -> Command {
    let program = client::variable("CARGO").unwrap_or_else(|| "cargo".to_owned());
    in_workspace(&program, arguments)
}

/// Any command in the workspace, without standard input, with our own tools on its path.
#[must_use]
pub fn in_workspace(program: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .current_dir(workspace_folder())
        .stdin(Stdio::null())
        .env("PATH", search_path());
    // What `cargo run` sets for us means nothing, or something else, to the cargo we start.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command with its output on our own; insists on success.
pub fn show(command: &mut Command) -> Result<()> {
    let line = spell(command);
    let status = command.status().with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}

/// Runs a command, shows its output line by line, and answers it with whether it succeeded.
pub fn show_and_keep(command: &mut Command) -> Result<(bool, String)> {
    let line = spell(command);
    // nextest and cargo write to standard error only; what tests print comes there as well.
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let mut kept = String::new();
    if let Some(pipe) = child.stderr.take() {
        for text in BufReader::new(pipe).split(b'\n') {
            let text = text?;
            let text = String::from_utf8_lossy(&text);
            say::line(&text);
            kept.push_str(&text);
            kept.push('\n');
        }
    }
    Ok((child.wait()?.success(), kept))
}

/// Whether a command runs and succeeds; its output is nobody's business.
#[must_use]
pub fn works(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// The command line, for messages.
fn spell(command: &Command) -> String {
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).collect();
    words
        .iter()
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

fn search_path() -> OsString {
    let mut path = workspace_folder().join(TOOLS).join("bin").into_os_string();
    path.push(":");
    path.push(client::variable("PATH").unwrap_or_default());
    path
}
