// SPDX-License-Identifier: Apache-2.0
//! `hythe lifecycle …`: the policy of a repository, what it would do, and what it has done.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hythe_client::wire::PutLifecyclePolicy;
use hythe_model::RepositoryName;
use hythe_rules::lifecycle::LifecyclePolicy;
use serde::Serialize;

use super::lifecycle_preview::{self, PREVIEW_EXAMPLES, PreviewArgs};
use super::lifecycle_run::{self, RunArgs};
use crate::confirm::Confirmation;
use crate::context::Context;
use crate::document::DocumentArg;
use crate::error::CliError;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe lifecycle preview team-a/web policy.json     # what it would do, and why
  hythe lifecycle set team-a/web policy.json
  hythe lifecycle run team-a/web --wait              # now, instead of within the hour
  hythe lifecycle runs team-a/web                    # what it has done
  hythe image restore team-a/web:v1                  # what it has deleted comes back for a while

A policy that deletes untagged images after two weeks and keeps ten releases:
  {\"rules\": [
    {\"rulePriority\": 1, \"selection\": {\"tagStatus\": \"untagged\", \"countType\": \"sinceImagePushed\",
      \"countUnit\": \"days\", \"countNumber\": 14}, \"action\": {\"type\": \"expire\"}},
    {\"rulePriority\": 2, \"selection\": {\"tagStatus\": \"tagged\", \"tagPatternList\": [\"v*\"],
      \"countType\": \"imageCountMoreThan\", \"countNumber\": 10}, \"action\": {\"type\": \"expire\"}}]}";

/// `hythe lifecycle …`
#[derive(Debug, Subcommand)]
pub enum LifecycleCommand {
    /// Print the lifecycle policy of a repository, as it was set
    Get {
        /// The repository
        name: RepositoryName,
    },
    /// Set the lifecycle policy of a repository, in place of the one it has
    Set {
        /// The repository
        name: RepositoryName,
        #[command(flatten)]
        document: DocumentArg,
    },
    /// Delete the lifecycle policy of a repository: its images stay then
    #[command(visible_alias = "rm")]
    Delete {
        /// The repository
        name: RepositoryName,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Show what a policy would do, image by image; nothing is changed
    #[command(after_help = PREVIEW_EXAMPLES)]
    Preview(PreviewArgs),
    /// Do what the policy says now
    Run(RunArgs),
    /// List what the policy has done, or show one run with its images
    Runs {
        /// The repository
        name: RepositoryName,
        /// Show this run
        run: Option<String>,
    },
    /// Check a policy in a file; needs no server
    Validate(ValidateArgs),
}

/// `hythe lifecycle validate`
#[derive(Args, Debug)]
pub struct ValidateArgs {
    /// The file with the policy, or `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Refuse what ECR would refuse: `retain`, hours and weeks, expiry by last pull
    #[arg(long)]
    strict: bool,
}

pub(crate) async fn run(command: LifecycleCommand, context: &Context) -> Result<(), CliError> {
    match command {
        LifecycleCommand::Get { name } => {
            let policy = context.client()?.lifecycle_policy(&name).await?.value;
            context.writer.answer_text(&policy, &policy.lifecycle_policy_text)
        }
        LifecycleCommand::Set { name, document } => {
            let request = PutLifecyclePolicy {
                lifecycle_policy_text: document.read()?,
            };
            let policy = context
                .client()?
                .put_lifecycle_policy(&name, &request, None)
                .await?
                .value;
            let done = format!("set the lifecycle policy of {}", policy.repository_name);
            context.writer.answer_text(&policy, &done)?;
            context
                .writer
                .note(&format!("`hythe lifecycle preview {name}` shows what it will do"));
            Ok(())
        }
        LifecycleCommand::Delete { name, confirmation } => {
            confirmation.check(&format!("delete the lifecycle policy of repository `{name}`"))?;
            let policy = context.client()?.delete_lifecycle_policy(&name, None).await?;
            let done = format!("deleted the lifecycle policy of {}", policy.repository_name);
            context.writer.answer_text(&policy, &done)
        }
        LifecycleCommand::Preview(args) => lifecycle_preview::run(args, context).await,
        LifecycleCommand::Run(args) => lifecycle_run::start(args, context).await,
        LifecycleCommand::Runs { name, run: None } => lifecycle_run::list(&name, context).await,
        LifecycleCommand::Runs { name, run: Some(run) } => lifecycle_run::show(&name, &run, context).await,
        LifecycleCommand::Validate(args) => validate(args, context),
    }
}

#[derive(Debug, Serialize)]
struct Validated {
    rules: usize,
}

fn validate(args: ValidateArgs, context: &Context) -> Result<(), CliError> {
    let text = DocumentArg::at(args.file).read()?;
    let parsed = if args.strict {
        LifecyclePolicy::parse_strict(&text)
    } else {
        LifecyclePolicy::parse(&text)
    };
    let policy = parsed.map_err(|error| CliError::LifecyclePolicy { error })?;
    let rules = policy.rules().len();
    let plural = if rules == 1 { "" } else { "s" };
    let text = format!("valid: a lifecycle policy with {rules} rule{plural}");
    context.writer.answer_text(&Validated { rules }, &text)
}
