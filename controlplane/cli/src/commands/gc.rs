// SPDX-License-Identifier: Apache-2.0
//! `hythe gc …`.

use std::time::Duration;

use clap::Subcommand;
use hythe_client::wire::{GarbageCollectionRun, GarbageCollectionRunStatus};

use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe gc status
  hythe gc run --wait";

/// How often `run --wait` asks how far it has come.
const POLL: Duration = Duration::from_millis(500);

/// `hythe gc …`
#[derive(Debug, Subcommand)]
pub enum GcCommand {
    /// Show what waits to be collected, what was collected, and how long it will take
    Status,
    /// Collect now what is due; nothing is collected early
    Run {
        /// Come back when it is done
        #[arg(long)]
        wait: bool,
    },
}

pub(crate) async fn run(command: GcCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        GcCommand::Status => {
            let state = client.garbage_collection().await?;
            context.writer.answer(&state, || {
                let when = if state.enabled { "all the time" } else { "when asked" };
                let rate = match state.max_blobs_per_second {
                    0 => "no bound".to_owned(),
                    rate => format!("at most {rate} blobs a second on each node"),
                };
                let remaining = match (state.due_links, state.remaining_seconds) {
                    (0, _) | (_, None) => String::new(),
                    (_, Some(seconds)) => format!("about {}", duration(seconds)),
                };
                let oldest = state.oldest_due_at.map(|since| human::age(context.now(), since));
                let run = state.runs.first().map(shown).unwrap_or_default();
                Table::fields([
                    ("collects", format!("{when}, {rate}")),
                    ("spares new blobs for", duration(state.grace_minutes * 60)),
                    ("links due", state.due_links.to_string()),
                    ("oldest due", oldest.unwrap_or_default()),
                    ("remaining time", remaining),
                    ("links waiting", state.waiting_links.to_string()),
                    ("blobs being deleted", state.deleting_blobs.to_string()),
                    ("blobs deleted", state.totals.deleted_blobs.to_string()),
                    ("bytes freed", human::size(state.totals.deleted_bytes)),
                    ("failures", state.totals.failures.to_string()),
                    ("last run", run),
                ])
            })
        }
        GcCommand::Run { wait } => {
            let mut run = client.run_garbage_collection().await?;
            let mut told = None;
            while wait && run.status == GarbageCollectionRunStatus::InProgress {
                tokio::time::sleep(POLL).await;
                run = client.garbage_collection_run(&run.run_id).await?;
                if context.writer.shows_progress() && told != Some(run.done.reviewed_links) {
                    told = Some(run.done.reviewed_links);
                    context.writer.note(&shown(&run));
                }
            }
            context.writer.answer_text(&run, &shown(&run))
        }
    }
}

/// What came of a run so far.
fn shown(run: &GarbageCollectionRun) -> String {
    let state = match run.status {
        GarbageCollectionRunStatus::InProgress => "goes on",
        GarbageCollectionRunStatus::Complete => "complete",
    };
    let mut text = format!(
        "{} {state}: {} of {} looked at, {} deleted, {} freed",
        run.run_id,
        run.done.reviewed_links,
        human::counted(run.due_links, "link"),
        human::counted(run.done.deleted_blobs, "blob"),
        human::size(run.done.deleted_bytes),
    );
    if run.done.failures > 0 {
        text.push_str(", ");
        text.push_str(&human::counted(run.done.failures, "failure"));
    }
    text
}

/// Seconds in the largest unit that leaves a whole number.
fn duration(seconds: u64) -> String {
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    human::counted(count, unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_shown_in_the_unit_that_suits() {
        let cases = [
            (0, "0 seconds"),
            (90, "90 seconds"),
            (600, "10 minutes"),
            (86_400, "24 hours"),
            (864_000, "10 days"),
        ];
        for (seconds, want) in cases {
            assert_eq!(duration(seconds), want);
        }
    }
}
