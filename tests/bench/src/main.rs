// SPDX-License-Identifier: Apache-2.0
//! The load harness.
//!
//! `run` measures Hythe beside other servers in one run: the same requests, in turn, round by round. `soak` keeps Hythe under
//! mixed load with restarts and watches for what grows. What is measured how is in `docs/benchmarks/README.md`.
//!
//! Invariants:
//! - It links none of Hythe's crates: what it says about the wire comes from the public specifications.
//! - Everything is bounded in number and time, listens on loopback, and is stopped and removed at the end.
//! - Nothing that a measurement needs is made inside its clock.

mod figures;
mod load;
mod measure;
mod process;
mod report;
mod run;
mod soak;
mod subject;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::json;

use self::figures::Section;
use self::report::machine::Machine;
use self::report::page::Method;
use self::report::terminal::{self, Progress};
use self::report::{page, targets};
use self::run::Plan;
use self::run::collection::Amounts;
use self::subject::Kind;
use self::work::fill::Amount;

/// What is stored for `start` and `listing`, with `--large` and without.
const LARGE: Amount = Amount {
    manifests: 1_000_000,
    tags: 100_000,
    repositories: 100_000,
};
const MODEST: Amount = Amount {
    manifests: 50_000,
    tags: 10_000,
    repositories: 10_000,
};
/// After so long no further round begins.
const LIMIT: Duration = Duration::from_mins(20);
const QUICK_LIMIT: Duration = Duration::from_mins(3);
const MAX_ROUNDS: usize = 25;
const MAX_SECONDS: f64 = 60.0;
const MAX_RATE: f64 = 100_000.0;

#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Measure Hythe beside docker-registry, nginx and others.
    #[command(name = "run", bin_name = "cargo xtask bench --", long_about = ABOUT, after_long_help = EXAMPLES)]
    Run(Box<Options>),
    /// Keep Hythe under mixed load with restarts, and watch for what grows.
    #[command(name = "soak", bin_name = "cargo xtask soak", long_about = SOAK)]
    Soak(soak::Options),
}

const ABOUT: &str = "Measure Hythe beside Debian's docker-registry, nginx (the limit for GET) and others.

Every round starts every server anew in an empty folder, gives each the same content, and takes each measurement \
from one server after the other, forwards in even rounds and backwards in odd ones. What is set up is outside the clock. \
Hythe runs as it comes: authorization, metrics and logs on. Shown are medians of the rounds, and ratios round by round.

Use a machine that does nothing else: client and servers share its cores.";

const SOAK: &str = "Keep Hythe under mixed load with restarts, and watch for what grows.

Four clients push, pull, move tags, delete, list, and leave in the middle of uploads. The server is restarted again and again, \
by SIGTERM and by kill -9 in turn; after each start every image that was acknowledged is pulled and checked. Once a second memory, \
descriptors and latency are looked at: the run fails if one of them trends upwards, or if anything acknowledged is lost.";

const EXAMPLES: &str = "Examples:
  cargo xtask bench                         everything, five rounds, about 20 minutes; writes docs/benchmarks
  cargo xtask bench -- --quick              a first look, less than 4 minutes; writes target/bench
  cargo xtask bench -- --only get,manifest  only these groups
  cargo xtask bench -- --only start,listing --large
                                            with 1,000,000 manifests, 100,000 tags and 100,000 repositories stored
  cargo xtask bench -- --only collection --large
                                            100,000 blobs taken away beside 10,000, 100,000 and 1,000,000 live ones
  cargo xtask bench -- --only push --rounds 9 --servers hythe,docker-registry
  cargo xtask bench -- --only get,manifest --rounds 9 --servers hythe,hythe-unaudited
                                            what the audit log costs: the second records no reads
  cargo xtask bench -- --peer zot=http://127.0.0.1:5001 --pid 4711
                                            with a server that runs already; its process id for CPU and memory";

#[derive(Debug, Args)]
struct Options {
    /// Only these groups; a comma list, or repeated.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,
    /// Which servers to start; those that are not installed are left out, which is said.
    #[arg(long, value_delimiter = ',', default_value = "hythe,docker-registry,nginx", value_parser = known_server)]
    servers: Vec<Kind>,
    /// A further server that runs already: `NAME=http://[USER:PASSWORD@]HOST:PORT`. May be repeated, each with a --pid.
    #[arg(long, value_name = "NAME=URL")]
    peer: Vec<String>,
    /// The process of the --peer at the same place.
    #[arg(long, value_name = "PID")]
    pid: Vec<u32>,
    /// How many rounds [default: 5, with --quick 2].
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of each measurement [default: 0.6, with --quick 0.2].
    #[arg(long)]
    seconds: Option<f64>,
    /// Few and short measurements: for a first look, not for figures to quote.
    #[arg(long)]
    quick: bool,
    /// Store 1,000,000 manifests, 100,000 tags and 100,000 repositories for `start` and `listing`, instead of a twentieth and a
    /// tenth, and take away 100,000 blobs for `collection`, instead of a tenth.
    #[arg(long)]
    large: bool,
    /// Rates of the open loop of pulls, in images per second; pushes come at a fifth of them.
    #[arg(long, value_delimiter = ',', default_value = "50,100,200,400,800,1600")]
    rates: Vec<f64>,
    /// Where page, plots and JSON go [default: docs/benchmarks; with --quick or --only target/bench].
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
    /// Fail if a target that was measured is not met.
    #[arg(long)]
    insist: bool,
}

fn known_server(name: &str) -> Result<Kind, String> {
    match name {
        "hythe" => Ok(Kind::Hythe),
        "hythe-unaudited" => Ok(Kind::Unaudited),
        "docker-registry" => Ok(Kind::DockerRegistry),
        "nginx" => Ok(Kind::Nginx),
        other => Err(format!(
            "`{other}` is none of hythe, docker-registry, nginx; for others see --peer"
        )),
    }
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let outcome = e2e::interrupt::watch().and_then(|()| match command {
        Command::Run(options) => measure(&options),
        Command::Soak(options) => soak::run(&options),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::problem(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<()> {
    let plan = plan(options)?;
    let subjects: Vec<String> = plan.kinds.iter().map(|kind| kind.name().to_owned()).collect();
    let versions = plan.kinds.iter().map(|kind| {
        let version = kind.version().unwrap_or_else(|| "(version unknown)".to_owned());
        (kind.name().to_owned(), version)
    });
    let machine = Machine::look(versions.collect());
    machine.lines().iter().for_each(|line| terminal::line(line));
    let mut progress = Progress::new();
    let (figures, rounds) = run::run(&plan, &mut progress)?;
    progress.end();

    terminal::table(&figures, &subjects);
    let judged = targets::judge(&figures);
    terminal::verdicts(&judged);
    let is_partial = options.quick || !options.only.is_empty();
    let folder = options
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from(if is_partial { "target/bench" } else { "docs/benchmarks" }));
    let method = Method {
        rounds,
        seconds: plan.length.as_secs_f64(),
        command: command_line(options),
    };
    page::write(&folder, &figures, &judged, &machine, &method, &subjects)?;
    let everything = json!({
        "machine": machine.json(),
        "command": method.command,
        "rounds": rounds,
        "seconds": method.seconds,
        "sha256_cpu_s_per_gb": figures.sha256_floor,
        "targets": judged.iter().map(|it| json!({
            "target": it.what,
            "demanded": it.demanded,
            "measured": it.measured.map(|middle| middle.median),
            "range": it.measured.map(|middle| [middle.low, middle.high]),
            "verdict": it.verdict.words(),
        })).collect::<Vec<_>>(),
        "rows": figures.json(),
    });
    let text = serde_json::to_string_pretty(&everything)? + "\n";
    std::fs::write(folder.join("results.json"), text)?;
    terminal::line(&format!(
        "\nwritten: {0}/results.md, {0}/results.json, plots",
        folder.display()
    ));
    let missed = judged
        .iter()
        .filter(|it| it.verdict == targets::Verdict::NotMet)
        .count();
    ensure!(!options.insist || missed == 0, "{missed} targets are not met");
    Ok(())
}

fn plan(options: &Options) -> Result<Plan> {
    let rounds = options.rounds.unwrap_or(if options.quick { 2 } else { 5 });
    ensure!((1..=MAX_ROUNDS).contains(&rounds), "--rounds must be 1 to {MAX_ROUNDS}");
    let seconds = options.seconds.unwrap_or(if options.quick { 0.2 } else { 0.6 });
    ensure!(
        (0.05..=MAX_SECONDS).contains(&seconds),
        "--seconds must be 0.05 to {MAX_SECONDS}"
    );
    let mut rates = options.rates.clone();
    rates.sort_by(f64::total_cmp);
    ensure!(
        rates.iter().all(|rate| (1.0..=MAX_RATE).contains(rate)),
        "--rates must be 1 to {MAX_RATE} a second"
    );
    if options.quick {
        rates = rates.into_iter().step_by(2).collect();
    }
    let mut kinds = Vec::new();
    for kind in &options.servers {
        if kind.is_installed() {
            kinds.push(kind.clone());
        } else {
            terminal::line(&format!("{} is not installed and left out", kind.name()));
        }
    }
    ensure!(
        options.peer.len() == options.pid.len(),
        "each --peer needs a --pid, in the same order"
    );
    for (peer, pid) in options.peer.iter().zip(&options.pid) {
        let (name, url) = peer.split_once('=').context("--peer is NAME=URL")?;
        if name.is_empty() || kinds.iter().any(|kind| kind.name() == name) {
            bail!("`{name}` cannot be the name of a peer");
        }
        let (name, url) = (name.to_owned(), url.to_owned());
        kinds.push(Kind::Other { name, url, pid: *pid });
    }
    ensure!(!kinds.is_empty(), "no server to measure");
    let sections = if options.only.is_empty() {
        Section::value_variants().to_vec()
    } else {
        options.only.clone()
    };
    Ok(Plan {
        kinds,
        sections,
        rounds,
        length: Duration::from_secs_f64(seconds),
        rates,
        amount: if options.large { LARGE } else { MODEST },
        collection: amounts(options),
        limit: if options.quick { QUICK_LIMIT } else { LIMIT },
    })
}

/// Live blobs and garbage for `collection`.
fn amounts(options: &Options) -> Amounts {
    let (live, garbage): (&[u64], u64) = match (options.quick, options.large) {
        (true, _) => (&[1_000, 10_000], 500),
        (false, false) => (&[10_000, 100_000, 1_000_000], 10_000),
        (false, true) => (&[10_000, 100_000, 1_000_000], 100_000),
    };
    Amounts {
        live: live.to_vec(),
        garbage,
    }
}

/// How this run was asked for, without what is only true here.
fn command_line(options: &Options) -> String {
    let words: Vec<String> = std::env::args().skip(2).collect();
    let mut shown = vec!["cargo xtask bench".to_owned()];
    let mut is_private = false;
    for word in words {
        let hides = ["--peer", "--pid", "--out"].iter().any(|name| word.starts_with(name));
        if !hides && !is_private {
            shown.push(word.clone());
        }
        is_private = hides && !word.contains('=') || word == "--peer";
    }
    if shown.len() > 1 {
        shown.insert(1, "--".to_owned());
    }
    shown.extend(options.peer.iter().filter_map(|peer| {
        let (name, _) = peer.split_once('=')?;
        Some(format!("--peer {name}=…"))
    }));
    shown.join(" ")
}
