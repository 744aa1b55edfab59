// SPDX-License-Identifier: Apache-2.0
//! A soak: mixed load for minutes or hours, with restarts polite and not, and an oracle that knows what was acknowledged.
//!
//! It fails if an acknowledged image is lost or changed, or if memory, descriptors or latency trend upwards.

mod client;
mod judge;
mod sampler;
mod trend;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use e2e::Server;
use serde_json::json;

use self::client::Client;
use self::judge::Judgement;
use self::sampler::{Sampler, Shared};
use crate::load::endpoint::Endpoint;
use crate::report::machine::Machine;
use crate::report::terminal;
use crate::subject::{Kind, hythe};

/// Clients at once; each has a repository of its own, so that it alone knows what is in it.
const CLIENTS: usize = 4;
/// How long the server lives between two restarts.
const MIN_LIFE: Duration = Duration::from_secs(20);
/// Tokens are good for an hour: a life ends before. It is as long as can be, since a leak shows within a life only.
const MAX_LIFE: Duration = Duration::from_mins(50);
/// How many lives a run is parted into, between those bounds.
const LIVES: u32 = 5;
/// Two days.
const MAX_MINUTES: f64 = 48.0 * 60.0;

/// What to soak.
#[derive(Debug, Args)]
pub struct Options {
    /// How long, in minutes.
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Where report, plots and JSON go.
    #[arg(long, value_name = "FOLDER", default_value = "target/soak")]
    out: PathBuf,
}

/// How a life of the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// SIGTERM: it may finish what it does.
    Polite,
    /// SIGKILL.
    Killed,
}

/// Soaks.
pub fn run(options: &Options) -> Result<()> {
    ensure!(
        (0.5..=MAX_MINUTES).contains(&options.minutes),
        "--minutes must be 0.5 to {MAX_MINUTES}"
    );
    let version = Kind::Hythe.version().unwrap_or_default();
    let machine = Machine::look(vec![("hythe".to_owned(), version)]);
    machine.lines().iter().for_each(|line| terminal::line(line));
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    let life = (length / LIVES).clamp(MIN_LIFE, MAX_LIFE);

    let mut server = Server::start()?;
    let repositories: Vec<String> = (0..CLIENTS).map(|number| format!("soak/client-{number}")).collect();
    for name in &repositories {
        server.create_repository(name)?;
    }
    let mut clients: Vec<Client> = repositories
        .iter()
        .enumerate()
        .map(|(at, name)| Client::new(name, at as u64))
        .collect();
    let shared = Shared::default();
    let mut sampler = Sampler::new();
    let began = Instant::now();
    let mut lives = 0_u32;
    while began.elapsed() < length {
        let left = length.saturating_sub(began.elapsed());
        // The last life takes what would be too short for one of its own.
        let this = if left < life + MIN_LIFE { left } else { life };
        let end = if lives.is_multiple_of(2) {
            End::Polite
        } else {
            End::Killed
        };
        live(&mut server, &mut clients, &shared, &mut sampler, lives, this, end)
            .with_context(|| format!("in life {}; the server's log ends:\n{}", lives + 1, tail(&server.log())))?;
        server.restart().context("the server does not start again")?;
        let endpoint = endpoint(&server, &repositories)?;
        let mut checked = 0;
        for client in &mut clients {
            checked += client
                .check_everything(&endpoint)
                .with_context(|| format!("after {end:?}, life {}", lives + 1))?;
        }
        lives += 1;
        terminal::line(&format!(
            "{:>5.1} min  life {lives} ended ({}), {checked} acknowledged images are whole, {}",
            began.elapsed().as_secs_f64() / 60.0,
            match end {
                End::Polite => "SIGTERM",
                End::Killed => "kill -9",
            },
            shared.summary()
        ));
    }
    server.stop();

    let judgements = judge::judge(&sampler);
    report(&options.out, &machine, options, &sampler, &judgements, &shared, lives)?;
    judge::print(&judgements);
    terminal::line(&format!(
        "written: {0}/soak.md, {0}/soak.json, plots",
        options.out.display()
    ));
    let growing = judgements.iter().filter(|it| it.grows).count();
    ensure!(growing == 0, "{growing} figures trend upwards");
    shared.insist_on_work()
}

/// One life of the server under load.
fn live(
    server: &mut Server,
    clients: &mut [Client],
    shared: &Shared,
    sampler: &mut Sampler,
    number: u32,
    length: Duration,
    end: End,
) -> Result<()> {
    let repositories: Vec<String> = clients.iter().map(|client| client.repository().to_owned()).collect();
    let endpoint = endpoint(server, &repositories)?;
    let (stop, ending) = (AtomicBool::new(false), AtomicBool::new(false));
    scope(|threads| {
        let running: Vec<_> = clients
            .iter_mut()
            .map(|client| {
                let (endpoint, stop, ending) = (&endpoint, &stop, &ending);
                threads.spawn(move || client.work(endpoint, shared, stop, ending))
            })
            .collect();
        let watched = sampler.watch(server, number, length, shared, || {
            running.iter().any(std::thread::ScopedJoinHandle::is_finished)
        });
        // From here on a client may find the server gone in the middle of anything.
        ending.store(true, Ordering::SeqCst);
        let ended = match end {
            End::Polite => {
                let status = server.stop();
                stop.store(true, Ordering::SeqCst);
                status
                    .filter(std::process::ExitStatus::success)
                    .map(|_| ())
                    .context("the server did not end well on SIGTERM")
            }
            End::Killed => {
                let killed = server.kill9();
                stop.store(true, Ordering::SeqCst);
                killed
            }
        };
        for thread in running {
            thread.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        watched?;
        ended
    })
}

fn endpoint(server: &Server, repositories: &[String]) -> Result<Endpoint> {
    let (password, _) = server.authorization_token(&json!({}))?;
    let endpoint = Endpoint::plain(server.registry())?.with(e2e::http::basic("AWS", &password));
    let names: Vec<&str> = repositories.iter().map(String::as_str).collect();
    let token = hythe::bearer(&endpoint, &names)?;
    Ok(endpoint.with(token))
}

/// The last lines of a log.
fn tail(log: &str) -> String {
    const LINES: usize = 15;
    let lines: Vec<&str> = log.lines().collect();
    lines
        .get(lines.len().saturating_sub(LINES)..)
        .unwrap_or_default()
        .join("\n")
}

fn report(
    folder: &Path,
    machine: &Machine,
    options: &Options,
    sampler: &Sampler,
    judgements: &[Judgement],
    shared: &Shared,
    lives: u32,
) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut page = "# Soak\n\nGenerated by `cargo xtask soak`.\n\n".to_owned();
    for line in machine.lines() {
        let _ = writeln!(page, "- {line}");
    }
    let _ = write!(
        page,
        "- Run: {} minutes, {lives} lives of the server, {CLIENTS} clients; {}\n\n{}",
        options.minutes,
        shared.summary(),
        judge::table(judgements)
    );
    for (name, plot) in sampler.plots() {
        std::fs::write(folder.join(name), plot.draw())?;
        let _ = writeln!(page, "\n![{}]({name})", plot.title);
    }
    std::fs::write(folder.join("soak.md"), page)?;
    let everything = json!({
        "machine": machine.json(),
        "minutes": options.minutes,
        "lives": lives,
        "operations": shared.json(),
        "judgements": judgements.iter().map(Judgement::json).collect::<Vec<_>>(),
        "samples": sampler.json(),
    });
    std::fs::write(
        folder.join("soak.json"),
        serde_json::to_string_pretty(&everything)? + "\n",
    )?;
    Ok(())
}
