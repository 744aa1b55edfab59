// SPDX-License-Identifier: Apache-2.0
//! `hythe pull-through-cache …`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use futures::TryStreamExt as _;
use hythe_client::wire::{
    CreatePullThroughCacheRule, ListQuery, PullThroughCacheCredential, PullThroughCacheRule, PullThroughCacheRulePage,
    RefreshPullThroughCache, Secret, UpdatePullThroughCacheRule,
};
use hythe_model::{MirrorSettings, NamePattern, RegistryUrl, RepositoryName, RepositoryPrefix, Tag, TagPattern};
use jiff::Timestamp;

use super::mirror_run::{self, MirrorRunCommand};
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
  hythe pull-through-cache update hub --mirror library/alpine --mirror 'team/*' --mirror-every 60 --mirror-newest 5
  hythe pull-through-cache mirror-run start hub --wait
  hythe pull-through-cache mirror-run list hub
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
        #[command(flatten)]
        mirror: MirrorArgs,
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
    /// Change who asks the other registry, how often, or what comes without a pull
    ///
    /// A credential, the freshness and the mirror each stay if none of their options is given. A mirror is replaced as a
    /// whole: give all of its options again, since those that are left out are off.
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
        #[command(flatten)]
        mirror: MirrorArgs,
        /// Let nothing come without a pull any more; what came stays
        #[arg(long, conflicts_with = "mirror")]
        no_mirror: bool,
    },
    /// Delete a rule; what came by it stays
    #[command(visible_alias = "rm")]
    Delete {
        /// The prefix
        prefix: RepositoryPrefix,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Ask the other registry whether it is there and takes the credential; exit code 1 if not
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
    /// What comes without a pull: start runs of a mirror, and see what they have fetched
    #[command(subcommand, visible_alias = "mirror-runs")]
    MirrorRun(MirrorRunCommand),
}

/// What comes without a pull. Together they are the whole mirror: what is not given is off, also with `update`.
#[derive(Args, Debug)]
pub struct MirrorArgs {
    /// Fetch this repository on a schedule, by its name at the other registry; `*` stands for any characters. Can be repeated
    #[arg(long, value_name = "REPOSITORY", requires = "mirror_every")]
    mirror: Vec<NamePattern>,
    /// Fetch every so many minutes, give or take a tenth: 1 to 43200
    #[arg(long, value_name = "MINUTES", requires = "mirror")]
    mirror_every: Option<u64>,
    /// Fetch only tags like this; `*` stands for any characters. Can be repeated; without, all tags
    #[arg(long, value_name = "TAG", requires = "mirror")]
    mirror_tag: Vec<TagPattern>,
    /// Do not fetch tags like this. Can be repeated
    #[arg(long, value_name = "TAG", requires = "mirror")]
    mirror_exclude: Vec<TagPattern>,
    /// Of tags that are versions, fetch only so many of the highest of each repository
    #[arg(long, value_name = "COUNT", requires = "mirror")]
    mirror_newest: Option<u64>,
    /// Remove tags that came from the other registry when they are gone there
    #[arg(long, requires = "mirror")]
    mirror_remove_vanished: bool,
}

impl MirrorArgs {
    fn read(self) -> Option<MirrorSettings> {
        let interval_minutes = self.mirror_every?;
        Some(MirrorSettings {
            interval_minutes,
            repositories: self.mirror,
            tags: self.mirror_tag,
            exclude_tags: self.mirror_exclude,
            newest_tags: self.mirror_newest,
            remove_vanished: self.mirror_remove_vanished,
        })
    }
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
            mirror,
        } => {
            let request = CreatePullThroughCacheRule {
                ecr_repository_prefix: prefix,
                upstream_registry_url: upstream,
                upstream_registry,
                upstream_repository_prefix: upstream_prefix,
                credential: credential.read()?,
                tag_freshness_seconds: tag_freshness,
                mirror: mirror.read(),
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
                        mirror(rule),
                        human::age(context.now(), rule.created_at),
                    ]
                });
                Table::list(
                    ["PREFIX", "UPSTREAM", "UPSTREAM PREFIX", "USER", "MIRROR", "CREATED"],
                    rows,
                )
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
            mirror,
            no_mirror,
        } => {
            let request = UpdatePullThroughCacheRule {
                credential: credential.read()?,
                remove_credential: no_credential,
                tag_freshness_seconds: tag_freshness,
                mirror: mirror.read(),
                remove_mirror: no_mirror,
            };
            if request == UpdatePullThroughCacheRule::default() {
                return Err(CliError::Usage {
                    message: "this changes nothing".into(),
                    hint: "give `--username` with `--token-file`, `--no-credential`, `--tag-freshness`, `--mirror` with `--mirror-every`, or `--no-mirror`",
                });
            }
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
            let upstream = answer.upstream_registry_url.to_string();
            if answer.is_valid {
                return context.writer.answer_text(&answer, &format!("{upstream} can be used"));
            }
            context.writer.answer_text(&answer, "")?;
            let reason = answer
                .failure
                .unwrap_or_else(|| "it does not answer as a registry".into());
            Err(CliError::RuleUnusable { upstream, reason })
        }
        PullThroughCacheCommand::Refresh { repository, tag } => {
            let request = RefreshPullThroughCache { image_tag: tag };
            let answer = client.refresh_pull_through_cache(&repository, &request).await?;
            let tags = human::counted(answer.refreshed_tags, "tag");
            let text = format!("{tags} will be asked about at the next pull");
            context.writer.answer_text(&answer, &text)
        }
        PullThroughCacheCommand::MirrorRun(command) => mirror_run::run(command, context).await,
    }
}

/// How often something comes without a pull.
fn mirror(rule: &PullThroughCacheRule) -> String {
    let minutes = |mirror: &MirrorSettings| format!("every {} min", mirror.interval_minutes);
    rule.mirror.as_ref().map_or_else(String::new, minutes)
}

fn user(rule: &PullThroughCacheRule) -> String {
    rule.credential
        .as_ref()
        .map_or_else(String::new, |user| user.username.clone())
}

fn show(context: &Context, rule: &PullThroughCacheRule) -> Result<(), CliError> {
    context.writer.answer(rule, || {
        let mirror_of =
            |shown: &dyn Fn(&MirrorSettings) -> String| rule.mirror.as_ref().map_or_else(String::new, shown);
        let vanished = |mirror: &MirrorSettings| if mirror.remove_vanished { "removed" } else { "kept" }.to_owned();
        let status = rule.mirror_status.as_ref();
        let time = |at: Option<Timestamp>| at.map_or_else(String::new, |at| at.to_string());
        Table::fields([
            ("prefix", rule.ecr_repository_prefix.to_string()),
            ("upstream", rule.upstream_registry_url.to_string()),
            ("upstream registry", rule.upstream_registry.clone().unwrap_or_default()),
            ("upstream prefix", rule.upstream_repository_prefix.to_string()),
            ("user", user(rule)),
            ("tag freshness", format!("{} s", rule.tag_freshness_seconds)),
            ("created", rule.created_at.to_string()),
            ("updated", rule.updated_at.to_string()),
            ("mirror", mirror(rule)),
            ("repositories", mirror_of(&|it| joined(&it.repositories))),
            ("tags", mirror_of(&|it| joined(&it.tags))),
            ("excluded tags", mirror_of(&|it| joined(&it.exclude_tags))),
            (
                "newest tags",
                mirror_of(&|it| it.newest_tags.map_or_else(String::new, |count| count.to_string())),
            ),
            ("vanished tags", mirror_of(&vanished)),
            ("next run", time(status.map(|status| status.next_run_at))),
            ("up to date at", time(status.and_then(|status| status.succeeded_at))),
        ])
    })
}

fn joined<T: AsRef<str>>(patterns: &[T]) -> String {
    patterns.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ")
}
