// SPDX-License-Identifier: Apache-2.0
//! Which real clients are on this machine.

use std::path::PathBuf;

use anyhow::{Result, bail};

use crate::binary;

/// Set by `cargo xtask test`: a client that is not installed is then a failure.
pub const REQUIRE_CLIENTS: &str = "HYTHE_REQUIRE_CLIENTS";

/// Where a program is.
#[must_use]
pub fn path_of(program: &str) -> Option<PathBuf> {
    let path = variable("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        // Where `cargo xtask` puts what the machine does not have.
        .chain([binary::workspace_folder().join("target/tools/bin")])
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// Finds programs that a test needs. `None` means "skip this test", which is said aloud, and is an error in CI.
pub fn find(programs: &[&str]) -> Result<Option<Vec<PathBuf>>> {
    let missing: Vec<&str> = programs
        .iter()
        .copied()
        .filter(|name| path_of(name).is_none())
        .collect();
    if missing.is_empty() {
        return Ok(Some(programs.iter().copied().filter_map(path_of).collect()));
    }
    skip(&format!("not installed: {}", missing.join(", ")))?;
    Ok(None)
}

/// Says that a test cannot run here and why.
///
/// # Errors
/// In CI and under `cargo xtask test`, where everything must run.
#[allow(clippy::print_stderr, reason = "a skipped test must be seen in the test's output")]
pub fn skip(why: &str) -> Result<()> {
    if variable("CI").is_some() || variable(REQUIRE_CLIENTS).is_some() {
        bail!("{why}; every client is required here (CI or {REQUIRE_CLIENTS} is set)");
    }
    eprintln!("SKIPPED: {why}");
    Ok(())
}

/// Says something that belongs into a test's output, such as how much was examined.
#[allow(clippy::print_stderr, reason = "the output of a test is where it is looked for")]
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// Whether this process is root.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A non-empty environment variable.
#[must_use]
#[allow(
    clippy::disallowed_methods,
    reason = "the one place where the harness reads the environment"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
