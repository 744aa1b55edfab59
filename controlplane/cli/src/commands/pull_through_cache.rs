// SPDX-License-Identifier: Apache-2.0
//! `hythe pull-through-cache …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use futures::TryStreamExt as _;
use hythe_client::wire::{
    CreatePullThroughCacheRule, ListQuery, PullThroughCacheCredential, PullThroughCacheRule, PullThroughCacheRulePage,
    RefreshPullThroughCache, Secret, UpdatePullThroughCacheRule,
};
use hythe_model::{RegistryUrl, RepositoryName, RepositoryPrefix, Tag};

use crate::confirm::Confirmation;
use crate::context::Context;
use crate::document::DocumentArg;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe pull-through-cache create hub --upstream registry-1.docker.io
  docker pull 127.0.0.1:5000/hub/library/alpine:3
  hythe pull-through-cache create ghcr --upstream ghcr.io --username octocat --token-file token
  hythe pull-through-cache validate ghcr
  hythe pull-through-cache update ghcr --tag-freshness 3600
  hythe pull-through-cache refresh hub/library/alpine 3
  hythe pull-through-cache delete hub --yes

Whoever pulls needs the right to import (ecr:BatchImportUpstreamImage) and, at the first pull, to create the repository.";

/// `hythe pull-through-cache …`
#[derive(Debug, Subcommand)]
pub enum PullThroughCacheCommand {
    /// Let repositories below a prefix come from another registry
    Create {
        /// How their names begin, such as `hub` for `hub/library/alpine`; `ROOT` for all that no other rule is for
        prefix: RepositoryPrefix,
        /// The other registry: its host, with its port if it has one
        #[arg(long, value_name = "HOST")]
        upstream: RegistryUrl,
        /// What takes the place of the prefix in names there; nothing by default
        #[arg(long, value_name = "PREFIX")]
        upstream_prefix: Option<RepositoryPrefix>,
        /// What kind of registry it is, in ECR's words; it changes nothing
        #[arg(long, value_name = "KIND")]
        upstream_registry: Option<String>,
        #[command(flatten)]
        credential: CredentialArgs,
        /// For how many seconds an answer about a tag counts; a day by default
        #[arg(long, value_name = "SECONDS")]
        tag_freshness: Option<u64>,
    },
    /// List rules
    #[command(visible_alias = "ls")]
    List,
    /// Show a rule
    #[command(visible_alias = "describe")]
    Show {
        /// The prefix
        prefix: RepositoryPrefix,
    },
    /// Change who asks the other registry, or how often
    Update {
        /// The prefix
        prefix: RepositoryPrefix,
        #[command(flatten)]
        credential: CredentialArgs,
        /// Ask without a credential from now on
        #[arg(long, conflicts_with = "username")]
        no_credential: bool,
        /// For how many seconds an answer about a tag counts
        #[arg(long, value_name = "SECONDS")]
        tag_freshness: Option<u64>,
    },
    /// Delete a rule; what came by it stays
    #[command(visible_alias = "rm")]
    Delete {
        /// The prefix
        prefix: RepositoryPrefix,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Ask the other registry whether it is there and takes the credential
    Validate {
        /// The prefix
        prefix: RepositoryPrefix,
    },
    /// Ask the other registry at the next pull, however fresh its last answer is
    Refresh {
        /// The repository
        repository: RepositoryName,
        /// The tag; all tags if absent
        tag: Option<Tag>,
    },
}

/// Who asks the other registry.
#[derive(Args, Debug)]
pub struct CredentialArgs {
    /// The user that asks the other registry
    #[arg(long, value_name = "NAME", requires = "token_file")]
    username: Option<String>,
    /// A file with the token or password of that user, or `-` for standard input
    #[arg(long, value_name = "FILE", requires = "username")]
    token_file: Option<PathBuf>,
}

impl CredentialArgs {
    fn read(self) -> Result<Option<PullThroughCacheCredential>, CliError> {
        let (Some(username), Some(file)) = (self.username, self.token_file) else {
            return Ok(None);
        };
        let text = DocumentArg::at(file).read()?;
        Ok(Some(PullThroughCacheCredential {
            username,
            access_token: Secret::new(text.trim_end_matches(['\r', '\n'])),
        }))
    }
}

pub(crate) async fn run(command: PullThroughCacheCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        PullThroughCacheCommand::Create {
            prefix,
            upstream,
            upstream_prefix,
            upstream_registry,
            credential,
            tag_freshness,
        } => {
            let request = CreatePullThroughCacheRule {
                ecr_repository_prefix: prefix,
                upstream_registry_url: upstream,
                upstream_registry,
                upstream_repository_prefix: upstream_prefix,
                credential: credential.read()?,
                tag_freshness_seconds: tag_freshness,
            };
            show(context, &client.create_pull_through_cache_rule(&request).await?.value)
        }
        PullThroughCacheCommand::List => {
            let query = ListQuery {
                max_results: Some(1000),
                ..ListQuery::default()
            };
            let page = PullThroughCacheRulePage {
                pull_through_cache_rules: client.all_pull_through_cache_rules(query).try_collect().await?,
                next_token: None,
            };
            context.writer.answer(&page, || {
                let rows = page.pull_through_cache_rules.iter().map(|rule| {
                    [
                        rule.ecr_repository_prefix.to_string(),
                        rule.upstream_registry_url.to_string(),
                        rule.upstream_repository_prefix.to_string(),
                        user(rule),
                        human::age(context.now(), rule.created_at),
                    ]
                });
                Table::list(["PREFIX", "UPSTREAM", "UPSTREAM PREFIX", "USER", "CREATED"], rows)
            })
        }
        PullThroughCacheCommand::Show { prefix } => {
            show(context, &client.pull_through_cache_rule(&prefix).await?.value)
        }
        PullThroughCacheCommand::Update {
            prefix,
            credential,
            no_credential,
            tag_freshness,
        } => {
            let request = UpdatePullThroughCacheRule {
                credential: credential.read()?,
                remove_credential: no_credential,
                tag_freshness_seconds: tag_freshness,
            };
            let updated = client.update_pull_through_cache_rule(&prefix, &request, None).await?;
            show(context, &updated.value)
        }
        PullThroughCacheCommand::Delete { prefix, confirmation } => {
            confirmation.check(&format!("delete the pull-through cache rule `{prefix}`"))?;
            let deleted = client.delete_pull_through_cache_rule(&prefix, None).await?;
            let text = format!("deleted {}", deleted.ecr_repository_prefix);
            context.writer.answer_text(&deleted, &text)
        }
        PullThroughCacheCommand::Validate { prefix } => {
            let answer = client.validate_pull_through_cache_rule(&prefix).await?;
            let text = match &answer.failure {
                None => format!("{} can be used", answer.upstream_registry_url),
                Some(failure) => format!("{} cannot be used: {failure}", answer.upstream_registry_url),
            };
            context.writer.answer_text(&answer, &text)
        }
        PullThroughCacheCommand::Refresh { repository, tag } => {
            let request = RefreshPullThroughCache { image_tag: tag };
            let answer = client.refresh_pull_through_cache(&repository, &request).await?;
            let text = format!("{} tags will be asked about at their next pull", answer.refreshed_tags);
            context.writer.answer_text(&answer, &text)
        }
    }
}

fn user(rule: &PullThroughCacheRule) -> String {
    rule.credential
        .as_ref()
        .map_or_else(String::new, |user| user.username.clone())
}

fn show(context: &Context, rule: &PullThroughCacheRule) -> Result<(), CliError> {
    context.writer.answer(rule, || {
        Table::fields([
            ("prefix", rule.ecr_repository_prefix.to_string()),
            ("upstream", rule.upstream_registry_url.to_string()),
            ("upstream registry", rule.upstream_registry.clone().unwrap_or_default()),
            ("upstream prefix", rule.upstream_repository_prefix.to_string()),
            ("user", user(rule)),
            ("tag freshness", format!("{} s", rule.tag_freshness_seconds)),
            ("created", rule.created_at.to_string()),
            ("updated", rule.updated_at.to_string()),
        ])
    })
}
