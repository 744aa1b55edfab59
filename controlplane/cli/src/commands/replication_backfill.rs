// SPDX-License-Identifier: Apache-2.0
//! `hythe replication backfill …`.

use clap::Subcommand;
use futures::TryStreamExt as _;
use hythe_client::wire::{
    ListReplicationBackfillResults, ReplicationBackfill, ReplicationBackfillPage, ReplicationBackfillResultStatus,
    ReplicationBackfillResults, ReplicationBackfillStatus, ReplicationTarget, StartReplicationBackfill,
};

use super::replication::{all, target};
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

/// `hythe replication backfill …`
#[derive(Debug, Subcommand)]
pub enum BackfillCommand {
    /// Replicate what was there before the rules
    Start {
        /// A destination that rules name, perhaps with an account there: `eu` or `eu/111111111111`
        #[arg(value_name = "DESTINATION", value_parser = target)]
        to: ReplicationTarget,
    },
    /// List backfills, newest first
    #[command(visible_alias = "ls")]
    List,
    /// Show how a backfill does, and what became of its images
    Show {
        /// Its id
        id: String,
        /// Only the images that were given up
        #[arg(long)]
        failed: bool,
    },
    /// Stop a backfill; what is under way is finished
    Stop {
        /// Its id
        id: String,
    },
}

pub(super) async fn run(command: BackfillCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        BackfillCommand::Start { to } => {
            let request = StartReplicationBackfill { destination: to };
            let started = client.start_replication_backfill(&request).await?;
            let id = &started.replication_backfill_id;
            let said = format!("started {id}; `hythe replication backfill show {id}` says how it does");
            context.writer.answer_text(&started, &said)
        }
        BackfillCommand::List => {
            let page = ReplicationBackfillPage {
                backfills: client.all_replication_backfills(all()).try_collect().await?,
                next_token: None,
            };
            context.writer.answer(&page, || {
                let rows = page.backfills.iter().map(|backfill| {
                    [
                        backfill.replication_backfill_id.clone(),
                        destination(backfill),
                        format!("{}: {}", status(backfill.status), progress(backfill)),
                        human::age(context.now(), backfill.started_at),
                    ]
                });
                Table::list(["ID", "DESTINATION", "STATUS", "STARTED"], rows)
            })
        }
        BackfillCommand::Show { id, failed } => {
            let query = ListReplicationBackfillResults {
                result_status: failed.then_some(ReplicationBackfillResultStatus::Failed),
                max_results: Some(1000),
                ..ListReplicationBackfillResults::default()
            };
            let report = ReplicationBackfillResults {
                backfill: client.replication_backfill(&id, &query).await?.backfill,
                results: client
                    .all_replication_backfill_results(&id, query)
                    .try_collect()
                    .await?,
                next_token: None,
            };
            show(context, &report, failed)
        }
        BackfillCommand::Stop { id } => {
            let stopping = client.stop_replication_backfill(&id).await?;
            let said = format!("{id} stops when what is under way is done");
            context.writer.answer_text(&stopping, &said)
        }
    }
}

fn show(context: &Context, report: &ReplicationBackfillResults, failed: bool) -> Result<(), CliError> {
    let backfill = &report.backfill;
    context.writer.answer(report, || {
        if failed {
            let rows = report.results.iter().map(|it| {
                [
                    it.repository_name.to_string(),
                    human::one_line(&it.reference).into_owned(),
                    it.failure_code.clone().unwrap_or_default(),
                    it.failure_reason.clone().unwrap_or_default(),
                ]
            });
            return Table::list(["REPOSITORY", "IMAGE", "CODE", "REASON"], rows);
        }
        Table::fields([
            ("id", backfill.replication_backfill_id.clone()),
            ("destination", destination(backfill)),
            ("status", status(backfill.status).to_owned()),
            ("progress", progress(backfill)),
            ("reason", backfill.failure_reason.clone().unwrap_or_default()),
            ("started", backfill.started_at.to_string()),
            ("ended", backfill.ended_at.map(|at| at.to_string()).unwrap_or_default()),
        ])
    })
}

fn destination(backfill: &ReplicationBackfill) -> String {
    match &backfill.destination.registry_id {
        Some(account) => format!("{}/{account}", backfill.destination.region),
        None => backfill.destination.region.to_string(),
    }
}

fn progress(backfill: &ReplicationBackfill) -> String {
    let it = &backfill.progress;
    let ended = it.completed_replication_count + it.failed_replication_count + it.skipped_replication_count;
    let more = if it.is_total_final { "" } else { " or more" };
    let text = format!("{ended} of {}{more}", it.total_replication_count);
    match it.failed_replication_count {
        0 => text,
        failed => format!("{text}, {failed} failed"),
    }
}

fn status(status: ReplicationBackfillStatus) -> &'static str {
    match status {
        ReplicationBackfillStatus::Preparing => "preparing",
        ReplicationBackfillStatus::InProgress => "in progress",
        ReplicationBackfillStatus::Complete => "complete",
        ReplicationBackfillStatus::Failed => "failed",
        ReplicationBackfillStatus::Stopping => "stopping",
        ReplicationBackfillStatus::Stopped => "stopped",
    }
}
