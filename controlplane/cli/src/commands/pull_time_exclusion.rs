// SPDX-License-Identifier: Apache-2.0
//! `hythe registry pull-time-exclusion …`.

use clap::Subcommand;
use futures::TryStreamExt as _;
use hythe_client::wire::{ListQuery, PullTimeUpdateExclusionPage};

use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe registry pull-time-exclusion add arn:aws:iam::000000000000:role/scanner
  hythe registry pull-time-exclusion list
  hythe registry pull-time-exclusion remove arn:aws:iam::000000000000:role/scanner";

/// `hythe registry pull-time-exclusion …`
#[derive(Debug, Subcommand)]
pub enum PullTimeExclusionCommand {
    /// List the users and roles whose pulls do not count
    #[command(visible_alias = "ls")]
    List,
    /// Let pulls of a user or a role not count as the last pull of an image
    Add {
        /// The ARN of the user or the role, of any account
        #[arg(value_name = "ARN")]
        principal: String,
    },
    /// Let pulls of a user or a role count again
    #[command(visible_alias = "rm")]
    Remove {
        /// The ARN of the user or the role
        #[arg(value_name = "ARN")]
        principal: String,
    },
}

pub(crate) async fn run(command: PullTimeExclusionCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        PullTimeExclusionCommand::List => {
            let query = ListQuery {
                max_results: Some(1000),
                ..ListQuery::default()
            };
            let page = PullTimeUpdateExclusionPage {
                pull_time_update_exclusions: client.all_pull_time_exclusions(query).try_collect().await?,
                next_token: None,
            };
            context.writer.answer(&page, || {
                let rows = page.pull_time_update_exclusions.iter();
                let row = |it: &hythe_client::wire::PullTimeUpdateExclusion| {
                    [it.principal_arn.clone(), human::age(context.now(), it.created_at)]
                };
                Table::list(["PRINCIPAL", "SINCE"], rows.map(row))
            })
        }
        PullTimeExclusionCommand::Add { principal } => {
            let added = client.register_pull_time_exclusion(&principal).await?;
            let text = format!("pulls of {} do not count from now on", added.principal_arn);
            context.writer.answer_text(&added, &text)
        }
        PullTimeExclusionCommand::Remove { principal } => {
            let removed = client.deregister_pull_time_exclusion(&principal).await?;
            let text = format!("pulls of {} count again", removed.principal_arn);
            context.writer.answer_text(&removed, &text)
        }
    }
}
