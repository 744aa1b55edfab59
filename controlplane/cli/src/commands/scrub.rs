// SPDX-License-Identifier: Apache-2.0
//! `hythe scrub …`.

use std::time::Duration;

use clap::{Args, Subcommand};
use futures::TryStreamExt as _;
use hythe_client::Client;
use hythe_client::wire::{ListQuery, Scrub, ScrubFindingDetail, ScrubReport, StartScrub};

use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe scrub                           # check everything, and wait; exit code 1 if something is wrong
  hythe scrub --sample 5                # hash the bytes of 5 % of the blobs only
  hythe scrub --quarantine --no-wait    # put damaged files aside; the next push mends them
  hythe scrub show 0199…                # what one has found
  hythe scrub cancel 0199…";
/// How often it is asked how far a scrub is.
const PAUSE: Duration = Duration::from_millis(500);

/// `hythe scrub …`
#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub struct ScrubArgs {
    #[command(subcommand)]
    command: Option<ScrubCommand>,
    /// Hash the bytes of so many percent of the blobs; whether they are there is looked at of all
    #[arg(long, default_value_t = 100, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(0..=100))]
    sample: u32,
    /// Put damaged files aside, so that the next push of the blob mends it; nothing is deleted
    #[arg(long)]
    quarantine: bool,
    /// Do not wait for the end
    #[arg(long)]
    no_wait: bool,
}

/// What else there is to do about scrubs.
#[derive(Debug, Subcommand)]
pub enum ScrubCommand {
    /// List scrubs, newest first
    #[command(visible_alias = "ls")]
    List,
    /// Show a scrub and what it has found
    Show {
        /// Its id
        id: String,
        /// Wait for its end
        #[arg(long)]
        wait: bool,
    },
    /// End a scrub
    Cancel {
        /// Its id
        id: String,
    },
}

pub(crate) async fn run(args: ScrubArgs, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match args.command {
        None => {
            let request = StartScrub {
                sample: Some(args.sample),
                quarantine: args.quarantine,
            };
            let started = client.start_scrub(&request).await?;
            if args.no_wait {
                let text = format!("started scrub {}", started.scrub_id);
                return context.writer.answer_text(&started, &text);
            }
            wait(context, &client, &started.scrub_id).await?;
            show(context, &client, &started.scrub_id, true).await
        }
        Some(ScrubCommand::List) => {
            let page = client.scrubs(&ListQuery::default()).await?;
            context.writer.answer(&page, || {
                let rows = page.scrubs.iter().map(|scrub| {
                    [
                        scrub.scrub_id.clone(),
                        scrub.status.to_lowercase(),
                        human::age(context.now(), scrub.started_at),
                        scrub.checked.blobs.to_string(),
                        human::size(scrub.checked.bytes),
                        scrub.finding_count.to_string(),
                    ]
                });
                Table::list(["ID", "STATUS", "STARTED", "BLOBS", "HASHED", "FINDINGS"], rows)
            })
        }
        Some(ScrubCommand::Show { id, wait: waits }) => {
            if waits {
                wait(context, &client, &id).await?;
            }
            show(context, &client, &id, waits).await
        }
        Some(ScrubCommand::Cancel { id }) => {
            let scrub = client.cancel_scrub(&id).await?;
            let text = format!("scrub {} is {}", scrub.scrub_id, scrub.status.to_lowercase());
            context.writer.answer_text(&scrub, &text)
        }
    }
}

/// Waits until a scrub has ended. It goes on if this is interrupted.
async fn wait(context: &Context, client: &Client, id: &str) -> Result<(), CliError> {
    let mut last = None;
    loop {
        let query = ListQuery {
            max_results: Some(1),
            ..ListQuery::default()
        };
        let scrub = client.scrub(id, &query).await?.scrub;
        if scrub.ended_at.is_some() {
            return Ok(());
        }
        let now = (scrub.phase.clone(), scrub.checked, scrub.finding_count);
        if last.as_ref() != Some(&now) {
            if context.writer.shows_progress() {
                context.writer.note(&progress(&scrub));
            }
            last = Some(now);
        }
        tokio::select! {
            () = tokio::time::sleep(PAUSE) => {}
            _ = tokio::signal::ctrl_c() => return Err(CliError::Interrupted),
        }
    }
}

fn progress(scrub: &Scrub) -> String {
    let what = scrub.phase.to_lowercase().replace('_', " ");
    let (blobs, bytes) = (scrub.checked.blobs, human::size(scrub.checked.bytes));
    let findings = human::counted(scrub.finding_count, "finding");
    format!("checking {what}: {blobs} blobs, {bytes} hashed, {findings}")
}

/// Shows a scrub. Whoever waited for its end wants to know whether all is well, which one that was cut short cannot say.
async fn show(context: &Context, client: &Client, id: &str, has_waited: bool) -> Result<(), CliError> {
    let scrub = client.scrub(id, &ListQuery::default()).await?.scrub;
    let findings: Vec<ScrubFindingDetail> = client.all_scrub_findings(id).try_collect().await?;
    let report = ScrubReport {
        scrub,
        findings,
        next_token: None,
    };
    let scrub = &report.scrub;
    let is_cut_short = scrub.status == "CANCELLED";
    context.writer.answer(&report, || {
        if report.findings.is_empty() {
            return Table::fields([
                ("scrub", scrub.scrub_id.clone()),
                ("status", scrub.status.to_lowercase()),
                ("blobs", scrub.checked.blobs.to_string()),
                ("bytes hashed", human::size(scrub.checked.bytes)),
                ("files", scrub.checked.files.to_string()),
                ("images", scrub.checked.images.to_string()),
                ("references", scrub.checked.references.to_string()),
                ("tags", scrub.checked.tags.to_string()),
                ("findings", scrub.finding_count.to_string()),
            ]);
        }
        let rows = report.findings.iter().map(|found| {
            let aside = if found.is_quarantined { "; put aside" } else { "" };
            [
                found.kind.clone(),
                found.digest.as_ref().map_or("-".to_owned(), ToString::to_string),
                found.repository.clone().unwrap_or_else(|| "-".to_owned()),
                format!("{}{aside}", found.detail),
            ]
        });
        Table::list(["KIND", "DIGEST", "REPOSITORY", "WHAT"], rows)
    })?;
    if scrub.finding_count > 0 {
        return Err(CliError::Unsound(scrub.finding_count));
    }
    if has_waited && is_cut_short {
        return Err(CliError::ScrubFailed("it was cancelled".to_owned()));
    }
    match &scrub.failure_reason {
        Some(reason) => Err(CliError::ScrubFailed(reason.clone())),
        None => Ok(()),
    }
}
