// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask fuzz`: feeds everything that reads what clients send with inputs that a fuzzer makes up.
//!
//! The programs are in `tests/fuzz`, what they run in `tests/fuzz-targets`. New inputs are collected in
//! `target/fuzz/corpus`; `--minimise` takes those that reach something new over into `tests/fuzz/corpus`, which
//! `cargo xtask test` replays.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use e2e::binary::workspace_folder;
use e2e::process::run_within;

use crate::command::{cargo, in_workspace, show, works};
use crate::{install, say};

/// Longer inputs find nothing that shorter ones do not.
const MAX_INPUT_BYTES: usize = 4096;
/// More of the corpus than this is not taken over for one target: it is cloned with the project.
const MAX_CORPUS_BYTES: u64 = 200 * 1024;
/// How long one input may take.
const INPUT_LIMIT: Duration = Duration::from_secs(10);
/// How much longer than asked for a program may run: it reads its corpus first.
const GRACE: Duration = Duration::from_mins(5);

const FOLDER: &str = "tests/fuzz";
const BUILT: &str = "target/fuzz";

/// How to fuzz.
#[derive(Debug, Args)]
pub struct Options {
    /// How long each target runs, in seconds.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Only these targets; may be repeated, or a comma list.
    #[arg(long, value_delimiter = ',')]
    target: Vec<String>,
    /// How many targets run at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Afterwards, keep the inputs that reach something new in `tests/fuzz/corpus`.
    #[arg(long)]
    minimise: bool,
    /// List the targets.
    #[arg(long)]
    list: bool,
}

/// What came of one target.
struct Outcome {
    target: String,
    line: String,
    failure: Option<String>,
}

/// Builds the programs and runs them.
pub fn run(options: &Options) -> Result<()> {
    let known = targets()?;
    if options.list {
        for target in &known {
            say::line(target);
        }
        return Ok(());
    }
    let wanted: Vec<String> = if options.target.is_empty() {
        known.clone()
    } else {
        options.target.clone()
    };
    for target in &wanted {
        ensure!(
            known.contains(target),
            "there is no target `{target}`; there are {}",
            known.join(", ")
        );
    }
    install::tool("fuzz", "cargo-fuzz", "^0.13")?;
    let programs = say::step("build the fuzz targets", build)?;

    e2e::interrupt::watch()?;
    let queue = Mutex::new(wanted.into_iter());
    let outcomes = Mutex::new(Vec::new());
    let words = format!("fuzz: {} s each, {} at once", options.seconds, options.jobs);
    say::step(&words, || {
        std::thread::scope(|scope| {
            for _ in 0..options.jobs.max(1) {
                scope.spawn(|| {
                    while let Some(target) = next(&queue) {
                        let outcome = fuzz(&programs, &target, options).unwrap_or_else(|error| Outcome {
                            line: "did not run".to_owned(),
                            failure: Some(format!("{target}: {error:#}")),
                            target,
                        });
                        say::line(&format!("    {:10} {}", outcome.target, outcome.line));
                        outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                    }
                });
            }
        });
        Ok(())
    })?;
    let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let failures: Vec<&str> = outcomes
        .iter()
        .filter_map(|outcome| outcome.failure.as_deref())
        .collect();
    if !failures.is_empty() {
        bail!(
            "{} of {} targets failed\n{}",
            failures.len(),
            outcomes.len(),
            failures.join("\n")
        );
    }
    Ok(())
}

fn next(queue: &Mutex<std::vec::IntoIter<String>>) -> Option<String> {
    if e2e::process::is_interrupted() {
        return None;
    }
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// The targets, by their programs.
fn targets() -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(workspace_folder().join(FOLDER).join("fuzz_targets"))? {
        names.extend(
            entry?
                .path()
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned()),
        );
    }
    Ok(names.into_iter().collect())
}

/// Builds every program; answers the folder that they are in.
fn build() -> Result<PathBuf> {
    let has_nightly = works(&mut in_workspace("rustup", &["run", "nightly", "rustc", "--version"]));
    if !has_nightly {
        say::line("    no nightly toolchain: the stable one is asked to take the fuzzer's flags");
    }
    let command = |sanitizer: &str| {
        let arguments = [
            "fuzz",
            "build",
            "--fuzz-dir",
            FOLDER,
            "--target-dir",
            BUILT,
            "--sanitizer",
            sanitizer,
        ];
        if has_nightly {
            in_workspace("rustup", &[&["run", "nightly", "cargo"], &arguments[..]].concat())
        } else {
            let mut command = cargo(&arguments);
            command.env("RUSTC_BOOTSTRAP", "1");
            command
        }
    };
    if let Err(error) = show(&mut command("address")) {
        say::problem(&format!("{error:#}"));
        say::loudly(
            "NOT CHECKED: memory errors (the address sanitizer does not work here); panics are found all the same",
        );
        show(&mut command("none"))?;
    }
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let folder = workspace_folder().join(BUILT).join(triple).join("release");
    ensure!(folder.is_dir(), "the programs are not in {}", folder.display());
    Ok(folder)
}

/// Runs one target for its time, and takes over what it found if that is wanted.
fn fuzz(programs: &Path, target: &str, options: &Options) -> Result<Outcome> {
    let root = workspace_folder();
    let collected = root.join(BUILT).join("corpus").join(target);
    let kept = root.join(FOLDER).join("corpus").join(target);
    let artifacts = root.join(FOLDER).join("artifacts").join(target);
    for folder in [&collected, &kept, &artifacts] {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let mut command = program(programs, target);
    command
        .arg(format!("-max_total_time={}", options.seconds))
        .arg(format!("-max_len={MAX_INPUT_BYTES}"))
        .arg(format!("-timeout={}", INPUT_LIMIT.as_secs()))
        .arg(format!("-dict={}", root.join(FOLDER).join("registry.dict").display()))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .args(["-print_final_stats=1", "-rss_limit_mb=2048"])
        .args([&collected, &kept]);
    let finished = run_within(&mut command, Duration::from_secs(options.seconds) + GRACE)?;
    if !finished.status.success() {
        let found = finished
            .stderr
            .lines()
            .rfind(|line| line.contains("Test unit written to"));
        let input = found
            .and_then(|line| line.split_once("written to "))
            .map_or("", |(_, path)| path.trim());
        let said: Vec<&str> = finished
            .stderr
            .lines()
            .filter(|line| line.contains("panicked at"))
            .collect();
        return Ok(Outcome {
            target: target.to_owned(),
            line: "FAILED".to_owned(),
            failure: Some(format!(
                "{target}: {}\n    again: {} {input}\n    mended? keep the input: mv {input} {}",
                if said.is_empty() {
                    last_lines(&finished.stderr)
                } else {
                    said.join("\n")
                },
                programs.join(target).display(),
                kept.display(),
            )),
        });
    }
    let number = |name: &str| stat(&finished.stderr, name).unwrap_or_default();
    let mut line = format!(
        "ok: {} runs, {} a second, {} new inputs, {} edges",
        number("number_of_executed_units"),
        number("average_exec_per_sec"),
        number("new_units_added"),
        edges(&finished.stderr).unwrap_or_default(),
    );
    if options.minimise {
        let count = minimise(programs, target, &collected, &kept)?;
        let _ = write!(line, "; {count} kept");
    }
    Ok(Outcome {
        target: target.to_owned(),
        line,
        failure: None,
    })
}

/// The program of a target, as cargo-fuzz would run it.
fn program(programs: &Path, target: &str) -> Command {
    let mut command = Command::new(programs.join(target));
    // Rust links some C libraries' symbols twice, on purpose.
    command
        .env("ASAN_OPTIONS", "detect_odr_violation=0")
        .env("RUST_BACKTRACE", "0");
    command
}

/// Replaces the kept corpus by the smallest inputs that together reach all that both reach; answers how many.
fn minimise(programs: &Path, target: &str, collected: &Path, kept: &Path) -> Result<usize> {
    let merged = collected.with_extension("merged");
    if merged.exists() {
        std::fs::remove_dir_all(&merged)?;
    }
    std::fs::create_dir_all(&merged)?;
    let mut command = program(programs, target);
    command.arg("-merge=1").args([&merged, collected, kept]);
    run_within(&mut command, GRACE)?.ok()?;
    let mut files = Vec::new();
    for entry in std::fs::read_dir(&merged)? {
        let entry = entry?;
        files.push((entry.metadata()?.len(), entry.path()));
    }
    files.sort();
    std::fs::remove_dir_all(kept)?;
    std::fs::create_dir_all(kept)?;
    let mut bytes = 0;
    let mut count = 0;
    for (length, path) in files {
        bytes += length;
        if bytes > MAX_CORPUS_BYTES {
            break;
        }
        std::fs::copy(&path, kept.join(path.file_name().context("an input without a name")?))?;
        count += 1;
    }
    std::fs::remove_dir_all(merged)?;
    Ok(count)
}

/// A line of the final statistics, `stat::name: value`.
fn stat(output: &str, name: &str) -> Option<u64> {
    let line = output
        .lines()
        .rfind(|line| line.starts_with("stat::") && line.contains(name))?;
    line.rsplit_once(':')?.1.trim().parse().ok()
}

/// How much of the program was reached, `… cov: 1234 ft: …`.
fn edges(output: &str) -> Option<u64> {
    let line = output.lines().rfind(|line| line.contains(" cov: "))?;
    line.split_once(" cov: ")?.1.split_whitespace().next()?.parse().ok()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(20)..)
        .unwrap_or_default()
        .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_fuzzer_says_is_read() {
        let output = "#1 INITED cov: 12 ft: 13\n#99 DONE   cov: 345 ft: 1200 corp: 5/6b\nDone 99 runs\n\
                      stat::number_of_executed_units: 99\nstat::average_exec_per_sec:     33\n";
        assert_eq!(stat(output, "number_of_executed_units"), Some(99));
        assert_eq!(stat(output, "average_exec_per_sec"), Some(33));
        assert_eq!(edges(output), Some(345));
        assert_eq!(edges(""), None);
    }
}
