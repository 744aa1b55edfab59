// SPDX-License-Identifier: Apache-2.0
//! `cargo xtask test`: everything that has to hold before a change lands.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use e2e::PostgresCluster;
use e2e::client::REQUIRE_CLIENTS;
use e2e::postgres::URL_VARIABLE;

use crate::command::{cargo, show, show_and_keep};
use crate::{debian, docs, install, say};

/// What to test.
#[derive(Debug, Args)]
pub struct Options {
    /// Only these steps; may be repeated, or a comma list.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Step>,
    /// List the steps.
    #[arg(long)]
    list: bool,
    /// Skip tests whose client is not installed (said loudly) instead of failing.
    #[arg(long)]
    allow_missing_clients: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Step {
    Install,
    Format,
    Lint,
    Rustdoc,
    Build,
    Docs,
    Deny,
    Unit,
    E2e,
}

impl Step {
    const fn words(self) -> &'static str {
        match self {
            Self::Install => "install what is missing: Debian packages, cargo-nextest, cargo-deny",
            Self::Format => "format: cargo fmt --check",
            Self::Lint => "lint: clippy on every target, warnings are errors",
            Self::Rustdoc => "rustdoc: API documentation builds without warnings",
            Self::Build => "build: binaries and tests",
            Self::Docs => "docs: the generated reference pages are up to date",
            Self::Deny => "deny: licences, bans, sources, advisories",
            Self::Unit => "unit: every test but the end-to-end ones; the store's suite on SQLite and PostgreSQL",
            Self::E2e => "e2e: real clients, Docker engine and Terraform against the real binaries",
        }
    }
}

/// How many tests passed, failed and were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// What the steps hand to each other.
struct Session {
    options: Vec<(&'static str, String)>,
    counts: Counts,
    notes: Vec<String>,
}

/// Runs the steps; all of them run even if one fails, except that nothing runs on what does not build.
pub fn run(options: &Options) -> Result<()> {
    if options.list {
        for step in Step::value_variants() {
            let name = step
                .to_possible_value()
                .map(|value| value.get_name().to_owned())
                .unwrap_or_default();
            say::line(&format!("{name:8} {}", step.words()));
        }
        return Ok(());
    }
    let mut session = Session {
        options: Vec::new(),
        counts: Counts::default(),
        notes: Vec::new(),
    };
    if !options.allow_missing_clients {
        session.options.push((REQUIRE_CLIENTS, "1".to_owned()));
    }
    let wanted = |step: &&Step| options.only.is_empty() || options.only.contains(step);
    let mut results: Vec<(Step, Duration, Option<String>)> = Vec::new();
    let mut postgres = None;
    for step in Step::value_variants().iter().filter(wanted) {
        let started = Instant::now();
        let outcome = say::step(step.words(), || match step {
            // Both need the database, and one cluster serves both.
            Step::Unit | Step::E2e if postgres.is_none() => {
                postgres = Some(start_postgres(&mut session, options)?);
                session.perform(*step, options)
            }
            _ => session.perform(*step, options),
        });
        let failure = outcome.err().map(|error| format!("{error:#}"));
        if let Some(failure) = &failure {
            say::problem(failure);
        }
        let goes_on = failure.is_none() || !matches!(step, Step::Install | Step::Build);
        results.push((*step, started.elapsed(), failure));
        if !goes_on {
            break;
        }
    }
    drop(postgres);
    summarise(&session, &results)
}

/// Starts the cluster that store tests and end-to-end tests share.
fn start_postgres(session: &mut Session, options: &Options) -> Result<Option<PostgresCluster>> {
    let started = Instant::now();
    match PostgresCluster::start() {
        Ok(cluster) => {
            say::line(&format!(
                "    PostgreSQL is ready after {}",
                say::seconds(started.elapsed())
            ));
            session.options.push((URL_VARIABLE, cluster.url().to_owned()));
            Ok(Some(cluster))
        }
        Err(error) if options.allow_missing_clients => {
            session.notes.push(format!("NOT TESTED on PostgreSQL: {error:#}"));
            Ok(None)
        }
        Err(error) => Err(error.context("cannot start PostgreSQL for the tests")),
    }
}

impl Session {
    fn perform(&mut self, step: Step, options: &Options) -> Result<()> {
        match step {
            Step::Install => {
                let missing = install::everything()?;
                if !options.allow_missing_clients {
                    return install::insist(&missing);
                }
                self.notes
                    .extend(missing.iter().map(|it| format!("NOT TESTED: {it} is not installed")));
                Ok(())
            }
            Step::Format => show(&mut cargo(&["fmt", "--all", "--", "--check"])),
            Step::Lint => show(&mut cargo(&[
                "clippy",
                "--quiet",
                "--locked",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ])),
            Step::Rustdoc => {
                let mut command = cargo(&["doc", "--quiet", "--locked", "--workspace", "--no-deps"]);
                show(command.env("RUSTDOCFLAGS", "-D warnings"))
            }
            // One call for binaries and tests, so that both share one set of features and everything is built once.
            Step::Build => show(&mut cargo(&[
                "build",
                "--quiet",
                "--locked",
                "--workspace",
                "--bins",
                "--tests",
            ])),
            Step::Docs => docs::check(),
            Step::Deny => self.deny(),
            Step::Unit => self.nextest("not package(e2e)"),
            Step::E2e => match debian::left_out() {
                None => self.nextest("package(e2e)"),
                Some((but, why)) => {
                    self.notes.push(why);
                    self.nextest(&format!("package(e2e){but}"))
                }
            },
        }
    }

    /// The advisory database comes over the network: without it advisories are not checked, and that is said.
    fn deny(&mut self) -> Result<()> {
        // What is looked at are the dependencies for every system, of which a build fetches only those for its own.
        show(&mut cargo(&["fetch", "--quiet", "--locked"]))?;
        show(&mut cargo(&[
            "deny",
            "--offline",
            "check",
            "bans",
            "licenses",
            "sources",
        ]))?;
        let (is_good, output) = show_and_keep(&mut cargo(&["deny", "check", "advisories"]))?;
        if output.contains("failed to fetch advisory database") {
            self.notes
                .push("NOT CHECKED: advisories (the advisory database cannot be fetched here)".to_owned());
            return Ok(());
        }
        ensure!(is_good, "`cargo deny check advisories` failed");
        Ok(())
    }

    fn nextest(&mut self, filter: &str) -> Result<()> {
        let arguments = [
            "nextest",
            "run",
            "--locked",
            "--workspace",
            "--profile",
            "ci",
            "-E",
            filter,
        ];
        let mut command = cargo(&arguments);
        // A failed test says what it wanted; forty frames of the test library do not help.
        command.env("RUST_LIB_BACKTRACE", "0");
        command.envs(self.options.iter().map(|(name, value)| (*name, value)));
        if !self.options.iter().any(|(name, _)| *name == REQUIRE_CLIENTS) {
            command.env_remove("CI");
        }
        let (is_good, output) = show_and_keep(&mut command)?;
        let counts = counts_of(&output).context("the tests did not run: they do not build, see above")?;
        // The filters leave out whole programs, which nextest does not count: what is skipped here was marked `#[ignore]`.
        self.counts.passed += counts.passed;
        self.counts.failed += counts.failed;
        self.counts.skipped += counts.skipped;
        ensure!(is_good, "{} tests failed", counts.failed);
        ensure!(counts.passed > 0, "no test ran");
        Ok(())
    }
}

/// Reads `Summary [   1.2s] 12 tests run: 10 passed (1 slow), 2 failed, 3 skipped`.
fn counts_of(output: &str) -> Option<Counts> {
    let line = output
        .lines()
        .rfind(|line| line.trim_start().starts_with("Summary ["))?;
    let (_, outcomes) = line.split_once(':')?;
    let mut counts = Counts::default();
    for part in outcomes.split(',') {
        // What stands in brackets, such as `(1 slow, 1 leaky)`, belongs to those that passed.
        if part.ends_with(')') && !part.contains('(') {
            continue;
        }
        let mut words = part.split_whitespace();
        let (Some(number), Some(outcome)) = (words.next(), words.next()) else {
            continue;
        };
        let Ok(number) = number.parse::<u64>() else { continue };
        match outcome {
            "passed" => counts.passed += number,
            "skipped" => counts.skipped += number,
            _ => counts.failed += number,
        }
    }
    Some(counts)
}

fn summarise(session: &Session, results: &[(Step, Duration, Option<String>)]) -> Result<()> {
    say::line("\nSummary");
    for (step, took, failure) in results {
        let verdict = if failure.is_none() { "ok    " } else { "FAILED" };
        let words = step.words().split(':').next().unwrap_or_default();
        say::line(&format!("  {verdict}  {words:32} {}", say::seconds(*took)));
    }
    for note in &session.notes {
        say::loudly(note);
    }
    let Counts {
        passed,
        failed,
        skipped,
    } = session.counts;
    if passed + failed > 0 {
        say::line(&format!("\n{passed} passed, {failed} failed, {skipped} skipped"));
    }
    let failed: Vec<&str> = results
        .iter()
        .filter_map(|(_, _, failure)| failure.as_deref())
        .collect();
    if !failed.is_empty() {
        bail!(
            "{} of {} steps failed: {}",
            failed.len(),
            results.len(),
            failed.join("; ")
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_from_every_form_of_the_summary() {
        let cases = [
            ("     Summary [   0.003s] 2 tests run: 2 passed, 0 skipped", (2, 0, 0)),
            (
                "Summary [ 1.2s] 12 tests run: 10 passed (1 slow, 1 leaky), 2 failed, 3 skipped",
                (10, 2, 3),
            ),
            (
                "Summary [ 9s] 5/9 tests run: 2 passed, 1 failed, 1 exec failed, 1 timed out, 0 skipped",
                (2, 3, 0),
            ),
        ];
        for (line, (passed, failed, skipped)) in cases {
            let output = format!("noise\n{line}\nerror: test run failed\n");
            assert_eq!(
                counts_of(&output),
                Some(Counts {
                    passed,
                    failed,
                    skipped
                }),
                "{line}"
            );
        }
        assert_eq!(counts_of("no summary"), None);
    }
}
