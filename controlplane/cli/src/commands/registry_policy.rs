// SPDX-License-Identifier: Apache-2.0
//! `hythe registry policy …`.

use clap::Subcommand;
use hythe_client::wire::{PutRegistryPolicy, PutRegistryPolicyStatement};

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::document::{DocumentArg, warn};
use crate::error::CliError;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe registry policy set policy.json
  hythe registry policy statement set ShareWithTeamB statement.json    # the other statements stay
  hythe registry policy statement delete ShareWithTeamB --yes

A statement that lets another account pull from all repositories under shared/:
  {\"Effect\": \"Allow\", \"Principal\": {\"AWS\": \"arn:aws:iam::111111111111:root\"},
   \"Action\": [\"ecr:BatchGetImage\", \"ecr:GetDownloadUrlForLayer\", \"ecr:BatchCheckLayerAvailability\"],
   \"Resource\": \"arn:aws:ecr:*:000000000000:repository/shared/*\"}";

/// `hythe registry policy …`
#[derive(Debug, Subcommand)]
pub enum RegistryPolicyCommand {
    /// Print the policy of the registry, as it was set
    Get,
    /// Set the policy of the registry, in place of the one it has
    Set {
        #[command(flatten)]
        document: DocumentArg,
        /// Set it even if you could not set another one then
        #[arg(long)]
        force: bool,
    },
    /// Delete the policy of the registry
    #[command(visible_alias = "rm")]
    Delete {
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Look at, set and delete single statements of the policy
    #[command(subcommand)]
    Statement(StatementCommand),
}

/// `hythe registry policy statement …`
#[derive(Debug, Subcommand)]
pub enum StatementCommand {
    /// List the statements that have a Sid
    #[command(visible_alias = "ls")]
    List,
    /// Print a statement
    Get {
        /// Its Sid
        sid: String,
    },
    /// Add a statement, or replace the one with this Sid; the others stay
    Set {
        /// Its Sid
        sid: String,
        #[command(flatten)]
        document: DocumentArg,
        /// Set it even if you could not change the policy then
        #[arg(long)]
        force: bool,
    },
    /// Delete a statement, and the policy with its last one
    #[command(visible_alias = "rm")]
    Delete {
        /// Its Sid
        sid: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

pub(crate) async fn run(command: RegistryPolicyCommand, context: &Context) -> Result<(), CliError> {
    match command {
        RegistryPolicyCommand::Get => {
            let policy = context.client()?.registry_policy().await?.value;
            context.writer.answer_text(&policy, &policy.policy_text)
        }
        RegistryPolicyCommand::Set { document, force } => {
            let request = PutRegistryPolicy {
                policy_text: document.read()?,
                force,
            };
            let policy = context.client()?.put_registry_policy(&request, None).await?.value;
            warn(context, &policy.warnings);
            let done = format!("set the policy of registry {}", policy.registry_id);
            context.writer.answer_text(&policy, &done)
        }
        RegistryPolicyCommand::Delete { confirmation } => {
            confirmation.check("delete the policy of the registry")?;
            let policy = context.client()?.delete_registry_policy(None).await?;
            let done = format!("deleted the policy of registry {}", policy.registry_id);
            context.writer.answer_text(&policy, &done)
        }
        RegistryPolicyCommand::Statement(command) => run_statement(command, context).await,
    }
}

async fn run_statement(command: StatementCommand, context: &Context) -> Result<(), CliError> {
    match command {
        StatementCommand::List => {
            let list = context.client()?.registry_policy_statements().await?;
            context.writer.answer(&list, || {
                let rows = list.statements.iter();
                Table::list(
                    ["SID", "STATEMENT"],
                    rows.map(|it| [it.sid.clone(), it.statement.clone()]),
                )
            })
        }
        StatementCommand::Get { sid } => {
            let statement = context.client()?.registry_policy_statement(&sid).await?.value;
            context.writer.answer_text(&statement, &statement.statement)
        }
        StatementCommand::Set { sid, document, force } => {
            let request = PutRegistryPolicyStatement {
                statement: document.read()?,
                force,
            };
            let client = context.client()?;
            let statement = client.put_registry_policy_statement(&sid, &request, None).await?.value;
            warn(context, &statement.warnings);
            context
                .writer
                .answer_text(&statement, &format!("set {}", statement.sid))
        }
        StatementCommand::Delete { sid, confirmation } => {
            confirmation.check(&format!("delete the statement `{sid}` of the policy of the registry"))?;
            let deleted = context.client()?.delete_registry_policy_statement(&sid, None).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.sid))
        }
    }
}
