// SPDX-License-Identifier: Apache-2.0
//! `hythe pull-through-cache mirror-run …`.

use std::time::Duration;

use clap::Subcommand;
use futures::TryStreamExt as _;
use hythe_client::Client;
use hythe_client::wire::{ListQuery, MirrorRun, MirrorRunPage, MirrorRunReport};
use hythe_model::RepositoryPrefix;

use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

/// How often it is asked how far a run is.
const PAUSE: Duration = Duration::from_millis(500);

/// `hythe pull-through-cache mirror-run …`
#[derive(Debug, Subcommand)]
pub enum MirrorRunCommand {
    /// Fetch now what is new at the other registry
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
            let started = client.start_mirror_run(&prefix).await?;
            let id = &started.mirror_run_id;
            if !waits {
                let said =
                    format!("started {id}; `hythe pull-through-cache mirror-run show {prefix}` says how it does");
                return context.writer.answer_text(&started, &said);
            }
            let report = wait(context, &client, &prefix, id).await?;
            show(context, &report)?;
            judge(&report.mirror_run)
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
            context.writer.answer(&page, || {
                let rows = page.mirror_runs.iter().map(|run| {
                    [
                        run.mirror_run_id.clone(),
                        run.status.to_lowercase(),
                        run.cause.to_lowercase(),
                        human::age(context.now(), run.started_at),
                        run.counts.tags.to_string(),
                        run.counts.created.to_string(),
                        run.counts.moved.to_string(),
                        run.counts.removed.to_string(),
                        run.counts.failed.to_string(),
                    ]
                });
                let header = [
                    "ID", "STATUS", "CAUSE", "STARTED", "TAGS", "NEW", "MOVED", "REMOVED", "FAILED",
                ];
                Table::list(header, rows)
            })
        }
        MirrorRunCommand::Show {
            prefix,
            id,
            wait: waits,
        } => {
            let id = match id {
                Some(id) => id,
                None => newest(&client, &prefix).await?,
            };
            if waits {
                let report = wait(context, &client, &prefix, &id).await?;
                show(context, &report)?;
                return judge(&report.mirror_run);
            }
            show(context, &client.mirror_run(&prefix, &id).await?)
        }
    }
}

async fn newest(client: &Client, prefix: &RepositoryPrefix) -> Result<String, CliError> {
    let query = ListQuery {
        max_results: Some(1),
        ..ListQuery::default()
    };
    let page = client.mirror_runs(prefix, &query).await?;
    let newest = page.mirror_runs.into_iter().next();
    newest.map(|run| run.mirror_run_id).ok_or_else(|| CliError::Usage {
        message: format!("the rule `{prefix}` has no mirror runs yet"),
        hint: "`hythe pull-through-cache mirror-run start` starts one",
    })
}

/// Waits until a run has ended. It goes on if this is interrupted.
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
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
        }
    }
}

fn progress(run: &MirrorRun) -> String {
    let place = run.current_repository.as_deref().unwrap_or("repositories");
    let counts = &run.counts;
    let waiting = human::counted(run.waiting_images, "image");
    let text = format!(
        "looking at {}: {} tags, {} new, {} moved, {} failed; {waiting} to fetch",
        human::one_line(place),
        counts.tags,
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
fn judge(run: &MirrorRun) -> Result<(), CliError> {
    if run.status == "COMPLETE" {
        return Ok(());
    }
    let why = match &run.failure_reason {
        Some(reason) => reason.clone(),
        None => human::counted(run.counts.failed, "failure"),
    };
    Err(CliError::MirrorBehind(why))
}
