// SPDX-License-Identifier: Apache-2.0
//! `hythe pull-through-cache mirror-run …`.

use std::time::Duration;

use clap::Subcommand;
use futures::TryStreamExt as _;
use hythe_client::Client;
use hythe_client::wire::{ListQuery, MirrorRun, MirrorRunPage, MirrorRunReport, code};
use hythe_model::RepositoryPrefix;
use jiff::Timestamp;

use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

/// How often it is asked how far a run is.
const PAUSE: Duration = Duration::from_millis(500);

/// `hythe pull-through-cache mirror-run …`
#[derive(Debug, Subcommand)]
pub enum MirrorRunCommand {
    /// Fetch now what is new at the other registry; with `--wait`, a run that is going on already is waited for
    Start {
        /// The prefix of the rule
        prefix: RepositoryPrefix,
        /// Wait for the end; exit code 1 if not everything could be fetched
        #[arg(long)]
        wait: bool,
    },
    /// List runs, newest first
    #[command(visible_alias = "ls")]
    List {
        /// The prefix of the rule
        prefix: RepositoryPrefix,
    },
    /// Show a run: what it has fetched, skipped, removed, and could not fetch
    #[command(visible_alias = "describe")]
    Show {
        /// The prefix of the rule
        prefix: RepositoryPrefix,
        /// Its id; the newest run if absent
        id: Option<String>,
        /// Wait for the end; exit code 1 if not everything could be fetched
        #[arg(long)]
        wait: bool,
    },
}

pub(super) async fn run(command: MirrorRunCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        MirrorRunCommand::Start { prefix, wait: waits } => {
            let started = client.start_mirror_run(&prefix).await.map_err(CliError::from);
            let goes_on = |error: &CliError| error.problem_code() == Some(code::MIRROR_RUN_IN_PROGRESS);
            let (id, joins) = match started {
                Ok(started) if !waits => {
                    let id = &started.mirror_run_id;
                    let said = format!("started {id}; `{}` says how it does", show_command(&prefix, ""));
                    return context.writer.answer_text(&started, &said);
                }
                Ok(started) => (started.mirror_run_id, false),
                Err(error) if waits && goes_on(&error) => {
                    let id = newest(&client, &prefix).await?;
                    (id.ok_or(error)?, true)
                }
                Err(error) if goes_on(&error) => {
                    let command = show_command(&prefix, " --wait");
                    return Err(error.hinted(format!("`{command}` shows it, and waits for its end")));
                }
                Err(error) => return Err(error),
            };
            wait_and_judge(context, &client, &prefix, Some(id), joins).await
        }
        MirrorRunCommand::List { prefix } => {
            let query = ListQuery {
                max_results: Some(1000),
                ..ListQuery::default()
            };
            let page = MirrorRunPage {
                mirror_runs: client.all_mirror_runs(&prefix, query).try_collect().await?,
                next_token: None,
            };
            context.writer.answer(&page, || list(&page.mirror_runs, context.now()))
        }
        MirrorRunCommand::Show {
            prefix,
            id,
            wait: waits,
        } => {
            if waits {
                return wait_and_judge(context, &client, &prefix, id, false).await;
            }
            let id = match id {
                Some(id) => id,
                None => newest(&client, &prefix).await?.ok_or_else(|| none_yet(&prefix))?,
            };
            show(context, &client.mirror_run(&prefix, &id).await?)
        }
    }
}

/// One run a line. All that it has counted is in the run itself.
fn list(runs: &[MirrorRun], now: Timestamp) -> Table {
    let rows = runs.iter().map(|run| {
        let counts = &run.counts;
        let changes = [
            (counts.created, "new"),
            (counts.moved, "moved"),
            (counts.removed, "removed"),
            (counts.failed, "failed"),
        ];
        let changes = changes.iter().filter(|(count, _)| *count > 0);
        let changes: Vec<_> = changes.map(|(count, what)| format!("{count} {what}")).collect();
        [
            run.mirror_run_id.clone(),
            run.status.to_lowercase(),
            format!("{} ({})", human::age(now, run.started_at), run.cause.to_lowercase()),
            counts.tags.to_string(),
            changes.join(", "),
        ]
    });
    Table::list(["ID", "STATUS", "STARTED", "TAGS", "CHANGES"], rows)
}

fn show_command(prefix: &RepositoryPrefix, more: &str) -> String {
    format!("hythe pull-through-cache mirror-run show {prefix}{more}")
}

async fn newest(client: &Client, prefix: &RepositoryPrefix) -> Result<Option<String>, CliError> {
    let query = ListQuery {
        max_results: Some(1),
        ..ListQuery::default()
    };
    let page = client.mirror_runs(prefix, &query).await?;
    Ok(page.mirror_runs.into_iter().next().map(|run| run.mirror_run_id))
}

fn none_yet(prefix: &RepositoryPrefix) -> CliError {
    let error = CliError::Usage {
        message: format!("the rule `{prefix}` has no mirror runs yet"),
        hint: "",
    };
    error.hinted(format!(
        "`hythe pull-through-cache mirror-run start {prefix}` starts one"
    ))
}

/// Waits for the end of a run, by default of the newest; shows it, and fails if not everything is here. Says first that it
/// `joins` a run that somebody else has started.
async fn wait_and_judge(
    context: &Context,
    client: &Client,
    prefix: &RepositoryPrefix,
    id: Option<String>,
    joins: bool,
) -> Result<(), CliError> {
    let ended = async {
        let id = match id {
            Some(id) => id,
            None => first(context, client, prefix).await?,
        };
        if joins {
            context
                .writer
                .note(&format!("the run {id} is going on: waiting for it"));
        }
        wait(context, client, prefix, &id).await
    };
    // Listened to all the time: once it has been, a signal no longer ends the process by itself.
    let report = tokio::select! {
        biased;
        _ = tokio::signal::ctrl_c() => {
            let command = show_command(prefix, " --wait");
            return Err(CliError::Interrupted.hinted(format!("the run goes on; `{command}` waits for it again")));
        }
        ended = ended => ended?,
    };
    show(context, &report)?;
    judge(&report.mirror_run, prefix)
}

/// The newest run; of a mirror that was just set up the first one, once it has begun.
async fn first(context: &Context, client: &Client, prefix: &RepositoryPrefix) -> Result<String, CliError> {
    let mut has_told = false;
    loop {
        if let Some(id) = newest(client, prefix).await? {
            return Ok(id);
        }
        if client.pull_through_cache_rule(prefix).await?.value.mirror.is_none() {
            return Err(none_yet(prefix));
        }
        if !has_told {
            context.writer.note("the first run begins in a moment: waiting for it");
            has_told = true;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Waits until a run has ended.
async fn wait(
    context: &Context,
    client: &Client,
    prefix: &RepositoryPrefix,
    id: &str,
) -> Result<MirrorRunReport, CliError> {
    let mut last = None;
    loop {
        let report = client.mirror_run(prefix, id).await?;
        let run = &report.mirror_run;
        if run.ended_at.is_some() {
            return Ok(report);
        }
        let now = (run.counts, run.waiting_images, run.current_repository.clone());
        if last.as_ref() != Some(&now) {
            if context.writer.shows_progress() {
                context.writer.note(&progress(run));
            }
            last = Some(now);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn progress(run: &MirrorRun) -> String {
    let place = run.current_repository.as_deref().unwrap_or("repositories");
    let counts = &run.counts;
    let waiting = human::counted(run.waiting_images, "image");
    let text = format!(
        "looking at {}: {}, {} new, {} moved, {} failed; {waiting} to fetch",
        human::one_line(place),
        human::counted(counts.tags, "tag"),
        counts.created,
        counts.moved,
        counts.failed
    );
    match run.resumes_at {
        Some(at) => format!("{text}; goes on at {at}"),
        None => text,
    }
}

fn show(context: &Context, report: &MirrorRunReport) -> Result<(), CliError> {
    let run = &report.mirror_run;
    context.writer.answer(report, || {
        let counts = &run.counts;
        let time = |at: Option<jiff::Timestamp>| at.map_or_else(String::new, |at| at.to_string());
        let fields = vec![
            ("id", run.mirror_run_id.clone()),
            ("status", run.status.to_lowercase()),
            ("cause", run.cause.to_lowercase()),
            ("repositories", counts.repositories.to_string()),
            ("tags", counts.tags.to_string()),
            ("new", counts.created.to_string()),
            ("moved", counts.moved.to_string()),
            ("unchanged", counts.unchanged.to_string()),
            ("skipped", counts.skipped.to_string()),
            ("removed", counts.removed.to_string()),
            ("referrers", counts.referrers.to_string()),
            ("failed", counts.failed.to_string()),
            ("waiting", run.waiting_images.to_string()),
            ("reason", run.failure_reason.clone().unwrap_or_default()),
            ("started", run.started_at.to_string()),
            ("goes on", time(run.resumes_at)),
            ("ended", time(run.ended_at)),
        ];
        let notes = report.notes.iter().map(|note| {
            let name = note.repository_name.as_deref().unwrap_or("repositories");
            let what = match &note.reference {
                Some(reference) if reference.contains(':') => format!("{name}@{reference}"),
                Some(reference) => format!("{name}:{reference}"),
                None => name.to_owned(),
            };
            let kind = match note.kind.as_str() {
                "SKIPPED" => "skipped",
                "REMOVED" => "removed",
                _ => "failed",
            };
            (
                kind,
                format!("{}: {}", human::one_line(&what), human::one_line(&note.reason)),
            )
        });
        let notes: Vec<_> = notes.collect();
        Table::blocks([fields, notes].into_iter().filter(|block| !block.is_empty()))
    })
}

/// Whoever waited wants to know whether everything is here.
fn judge(run: &MirrorRun, prefix: &RepositoryPrefix) -> Result<(), CliError> {
    if run.status == "COMPLETE" {
        return Ok(());
    }
    let why = match &run.failure_reason {
        Some(reason) => reason.clone(),
        None => human::counted(run.counts.failed, "failure"),
    };
    let command = show_command(prefix, &format!(" {}", run.mirror_run_id));
    let hint = format!("`{command}` says what could not be fetched; the next run tries it again");
    Err(CliError::MirrorBehind(why).hinted(hint))
}
