// SPDX-License-Identifier: Apache-2.0
//! `hythe repository policy …`.

use clap::Subcommand;
use hythe_client::wire::SetRepositoryPolicy;
use hythe_model::RepositoryName;

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::document::{DocumentArg, warn};
use crate::error::CliError;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe repository policy set team-a/web policy.json
  hythe repository policy get team-a/web > policy.json
  hythe repository policy delete team-a/web --yes

A policy that lets everybody pull without logging in:
  {\"Version\": \"2012-10-17\", \"Statement\": [{\"Sid\": \"PublicPull\", \"Effect\": \"Allow\", \"Principal\": \"*\",
   \"Action\": [\"ecr:BatchGetImage\", \"ecr:GetDownloadUrlForLayer\", \"ecr:BatchCheckLayerAvailability\"]}]}";

/// `hythe repository policy …`
#[derive(Debug, Subcommand)]
pub enum RepositoryPolicyCommand {
    /// Print the policy of a repository, as it was set
    Get {
        /// The repository
        name: RepositoryName,
    },
    /// Set the policy of a repository, in place of the one it has
    Set {
        /// The repository
        name: RepositoryName,
        #[command(flatten)]
        document: DocumentArg,
        /// Set it even if you could not set another one then
        #[arg(long)]
        force: bool,
    },
    /// Delete the policy of a repository: only policies of users, groups and roles count then
    #[command(visible_alias = "rm")]
    Delete {
        /// The repository
        name: RepositoryName,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

pub(crate) async fn run(command: RepositoryPolicyCommand, context: &Context) -> Result<(), CliError> {
    match command {
        RepositoryPolicyCommand::Get { name } => {
            let policy = context.client()?.repository_policy(&name).await?.value;
            context.writer.answer_text(&policy, &policy.policy_text)
        }
        RepositoryPolicyCommand::Set { name, document, force } => {
            let request = SetRepositoryPolicy {
                policy_text: document.read()?,
                force,
            };
            let policy = context
                .client()?
                .set_repository_policy(&name, &request, None)
                .await?
                .value;
            warn(context, &policy.warnings);
            let done = format!("set the policy of {}", policy.repository_name);
            context.writer.answer_text(&policy, &done)
        }
        RepositoryPolicyCommand::Delete { name, confirmation } => {
            confirmation.check(&format!("delete the policy of repository `{name}`"))?;
            let policy = context.client()?.delete_repository_policy(&name, None).await?;
            let done = format!("deleted the policy of {}", policy.repository_name);
            context.writer.answer_text(&policy, &done)
        }
    }
}
