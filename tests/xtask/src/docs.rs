// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask docs`: reference pages, printed by the binaries themselves, and whether the committed ones are those.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use e2e::binary::{self, workspace_folder};
use e2e::process::run as run_to_end;
use e2e::server::clean_environment;

use crate::command::{cargo, show};
use crate::say;

/// Pages of `docs/reference`, with what `hythe docs` calls them.
const REFERENCE: [(&str, &str); 3] = [("configuration.md", "config"), ("cli.md", "cli"), ("rest.md", "rest")];

/// What the provider writes, in `docs`: the Terraform Registry's layout.
const PROVIDER: [&str; 7] = [
    "index.md",
    "resources",
    "data-sources",
    "ephemeral-resources",
    "functions",
    GUIDES,
    "list-resources",
];

/// The folder in which generated pages stand beside others.
const GUIDES: &str = "guides";

/// Longest page that the Terraform Registry takes, in bytes.
const MAX_PAGE_BYTES: usize = 500_000;

/// What to do with the pages.
#[derive(Debug, Args)]
pub struct Options {
    /// Write nothing; fail if a committed page is stale, missing or too many.
    #[arg(long)]
    check: bool,
}

/// Writes or checks the pages, after a build.
pub fn run(options: &Options) -> Result<()> {
    say::step("build the binaries", || {
        show(&mut cargo(&["build", "--quiet", "-p", "hythe", "-p", "hythe-provider"]))
    })?;
    if options.check {
        return say::step("compare the reference pages", check);
    }
    say::step("write the reference pages", || {
        let docs = workspace_folder().join("docs");
        for stale in committed(&docs)?.keys() {
            std::fs::remove_file(docs.join(stale))?;
        }
        for (path, text) in generated()? {
            let path = docs.join(path);
            std::fs::create_dir_all(path.parent().context("a page has no folder")?)?;
            std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
        }
        Ok(())
    })
}

/// Compares what is committed with what the binaries of this build print.
pub fn check() -> Result<()> {
    let docs = workspace_folder().join("docs");
    let (wanted, found) = (generated()?, committed(&docs)?);
    let mut wrong = Vec::new();
    for (path, text) in &wanted {
        match std::fs::read_to_string(docs.join(path)) {
            Err(_) => wrong.push(format!("docs/{} is missing", path.display())),
            Ok(committed) if committed != *text => wrong.push(format!("docs/{} is stale", path.display())),
            Ok(_) => {}
        }
    }
    wrong.extend(
        found
            .keys()
            .filter(|path| !wanted.contains_key(*path))
            .map(|it| format!("docs/{} is too many", it.display())),
    );
    if !wrong.is_empty() {
        bail!("{}; run `cargo xtask docs` and commit the result", wrong.join(", "));
    }
    say::line(&format!("    {} pages are up to date", wanted.len()));
    Ok(())
}

/// The pages as the binaries print them, by path in `docs`.
fn generated() -> Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::new();
    for (file, name) in REFERENCE {
        let mut command = Command::new(binary::hythe()?);
        clean_environment(&mut command);
        let page = run_to_end(command.args(["docs", name]))?.ok()?.stdout;
        pages.insert(Path::new("reference").join(file), page);
    }
    pages.insert(Path::new("reference").join("conformance.md"), conformance::page());
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(binary::provider()?);
    clean_environment(&mut command);
    let examples = workspace_folder().join("examples");
    run_to_end(
        command
            .args(["docs", "--out"])
            .arg(folder.path())
            .arg("--examples")
            .arg(examples),
    )?
    .ok()?;
    for part in PROVIDER {
        read_below(folder.path(), Path::new(part), &mut pages)?;
    }
    for (path, text) in &pages {
        ensure!(!text.trim().is_empty(), "the page {} is empty", path.display());
        ensure!(
            text.len() < MAX_PAGE_BYTES,
            "the page {} has {} bytes",
            path.display(),
            text.len()
        );
    }
    Ok(pages)
}

/// The pages that are committed where every page is generated, by path in `docs`. Among the guides some are written by hand.
fn committed(docs: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::new();
    for part in [&["reference"], &PROVIDER[..]].concat() {
        if part == GUIDES {
            continue;
        }
        read_below(docs, Path::new(part), &mut pages)?;
    }
    Ok(pages)
}

/// Reads a page, or all pages of a folder; nothing if there is neither.
fn read_below(root: &Path, part: &Path, pages: &mut BTreeMap<PathBuf, String>) -> Result<()> {
    let path = root.join(part);
    if path.is_dir() {
        for entry in std::fs::read_dir(&path)? {
            read_below(root, &part.join(entry?.file_name()), pages)?;
        }
    } else if path.is_file() {
        pages.insert(part.to_owned(), std::fs::read_to_string(&path)?);
    }
    Ok(())
}
