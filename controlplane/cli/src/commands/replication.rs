// SPDX-License-Identifier: Apache-2.0
//! `hythe replication …`.

use clap::{Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use hythe_client::wire::{
    Enabled, FailedReplicationTasks, ListQuery, ListReplicationTasks, NamedReplicationRule, NamedReplicationRulePage,
    ReplicationConfiguration, ReplicationRule, ReplicationStatus, ReplicationTarget, ReplicationTask,
    ReplicationTaskPage, ReplicationTaskSubject, RepositoryFilter, RepositoryFilterType,
};
use hythe_model::{AccountId, ParseError, Region, ReplicatedSetting, RepositoryName};

use jiff::Timestamp;

use super::image::find;
use super::{replication_backfill, replication_destination};
use crate::confirm::Confirmation;
use crate::context::Context;
use crate::document::DocumentArg;
use crate::error::CliError;
use crate::human;
use crate::image_name::ImageName;
use crate::table::Table;

pub(crate) const EXAMPLES: &str = "Examples:
  hythe replication destination create eu --url registry.eu.example.com \\
      --username HYTHE… --password-file secret
  hythe replication rule put team-a --to eu --repository-prefix team-a/
  hythe replication backfill start eu         # what was there before the rule
  hythe replication get > replication.json && hythe replication set replication.json
  hythe replication status                    # what waits, for each destination
  hythe replication status team-a/web:1       # what became of one image
  hythe replication settings team-a/web       # what became of settings, with `rule put --settings`
  hythe replication tasks --failed && hythe replication retry --region eu

What is pushed from then on is replicated; a backfill brings what was there before. A replica stays where it came to, unless a rule says `--replicas`.";

/// `hythe replication …`
#[derive(Debug, Subcommand)]
pub enum ReplicationCommand {
    /// Manage where images can be replicated to
    #[command(subcommand)]
    Destination(replication_destination::ReplicationDestinationCommand),
    /// Manage rules that stand by themselves, beside the document
    #[command(subcommand)]
    Rule(RuleCommand),
    /// Replicate what was there before the rules
    #[command(subcommand)]
    Backfill(replication_backfill::BackfillCommand),
    /// Show the document with the rules of the registry
    Get,
    /// Put the document with the rules of the registry; without rules it is taken away
    Set {
        #[command(flatten)]
        document: DocumentArg,
    },
    /// Show what waits for each destination, or what became of one image
    Status {
        /// `REPOSITORY:TAG` or `REPOSITORY@DIGEST`
        image: Option<ImageName>,
    },
    /// Show what became of the settings of a repository at each destination
    Settings {
        /// The repository
        repository: RepositoryName,
    },
    /// List what waits, and what was given up
    Tasks {
        /// Only what was given up
        #[arg(long)]
        failed: bool,
        /// Only what goes to this destination
        #[arg(long, value_name = "NAME")]
        region: Option<Region>,
    },
    /// Try again what was given up
    Retry {
        #[command(flatten)]
        which: Which,
    },
    /// Forget what was given up
    Drop {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// Which tasks.
#[derive(clap::Args, Clone, Debug)]
pub struct Which {
    /// Only this one
    #[arg(long, value_name = "ID")]
    task: Option<String>,
    /// Only those for this destination
    #[arg(long, value_name = "NAME")]
    region: Option<Region>,
}

/// `hythe replication rule …`
#[derive(Debug, Subcommand)]
pub enum RuleCommand {
    /// Create or replace a rule: what is not given is off, whatever a rule of this name said before
    Put {
        /// What it is called
        name: String,
        /// A destination, perhaps with an account there: `eu` or `eu/111111111111`; several times for several
        #[arg(long = "to", value_name = "DESTINATION", required = true, value_parser = target)]
        to: Vec<ReplicationTarget>,
        /// How the names of repositories begin; several times for several; all repositories if left out
        #[arg(long = "repository-prefix", value_name = "PREFIX")]
        prefixes: Vec<String>,
        /// Delete there what is deleted here
        #[arg(long)]
        deletions: bool,
        /// Let images go on that were replicated here themselves
        #[arg(long)]
        replicas: bool,
        /// Bring this of the repositories, too; several with commas. The destination needs `--control-url`
        #[arg(long, value_name = "WHAT", value_enum, value_delimiter = ',')]
        settings: Vec<Setting>,
    },
    /// List rules
    #[command(visible_alias = "ls")]
    List,
    /// Show a rule
    Describe {
        /// What it is called
        name: String,
    },
    /// Delete a rule; what was still to be sent because of it is not sent
    #[command(visible_alias = "rm")]
    Delete {
        /// What it is called
        name: String,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// What of repositories goes to a destination beside their images.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Setting {
    /// Tag mutability with its exclusions, scan on push, sparse indexes
    RepositorySettings,
    /// The policies of repositories
    RepositoryPolicy,
    /// Their lifecycle policies
    LifecyclePolicy,
    /// Their resource tags
    ResourceTags,
}

impl From<Setting> for ReplicatedSetting {
    fn from(setting: Setting) -> Self {
        match setting {
            Setting::RepositorySettings => Self::RepositorySettings,
            Setting::RepositoryPolicy => Self::RepositoryPolicy,
            Setting::LifecyclePolicy => Self::LifecyclePolicy,
            Setting::ResourceTags => Self::ResourceTags,
        }
    }
}

pub(super) fn target(text: &str) -> Result<ReplicationTarget, ParseError> {
    let (region, account) = match text.split_once('/') {
        Some((region, account)) => (region, Some(account.parse::<AccountId>()?)),
        None => (text, None),
    };
    Ok(ReplicationTarget {
        region: region.parse()?,
        registry_id: account,
    })
}

pub(crate) async fn run(command: ReplicationCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        ReplicationCommand::Destination(command) => replication_destination::run(command, context).await,
        ReplicationCommand::Rule(command) => rule(command, context).await,
        ReplicationCommand::Backfill(command) => replication_backfill::run(command, context).await,
        ReplicationCommand::Get => {
            let document = client
                .replication_configuration()
                .await?
                .value
                .replication_configuration;
            let text = serde_json::to_string_pretty(&document).unwrap_or_default();
            context.writer.answer_text(&document, &text)
        }
        ReplicationCommand::Set { document } => {
            let text = document.read()?;
            let document: ReplicationConfiguration = serde_json::from_str(&text).map_err(|error| CliError::Usage {
                message: format!("this is no replication configuration: {error}"),
                hint: "`hythe replication get` shows one: an object with `rules`",
            })?;
            let put = client.put_replication_configuration(&document, None).await?.value;
            let rules = put.replication_configuration.rules.len() as u64;
            let said = format!("the document has {}", human::counted(rules, "rule"));
            context.writer.answer_text(&put, &said)
        }
        ReplicationCommand::Status { image: None } => progress(context).await,
        ReplicationCommand::Status { image: Some(image) } => status(image, context).await,
        ReplicationCommand::Settings { repository } => settings_status(&repository, context).await,
        ReplicationCommand::Tasks { failed, region } => tasks(failed, region, context).await,
        ReplicationCommand::Retry { which } => {
            let done = client.retry_replication_tasks(&which.into()).await?;
            let said = format!("{} will be tried again", human::counted(done.count, "task"));
            context.writer.answer_text(&done, &said)
        }
        ReplicationCommand::Drop { which, confirmation } => {
            confirmation.check("forget what could not be replicated")?;
            let done = client.drop_replication_tasks(&which.into()).await?;
            let said = format!("forgot {}", human::counted(done.count, "task"));
            context.writer.answer_text(&done, &said)
        }
    }
}

impl From<Which> for FailedReplicationTasks {
    fn from(which: Which) -> Self {
        Self {
            registry_id: None,
            region: which.region,
            task_id: which.task,
        }
    }
}

async fn rule(command: RuleCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        RuleCommand::Put {
            name,
            to,
            prefixes,
            deletions,
            replicas,
            settings,
        } => {
            let filter = |filter| RepositoryFilter {
                filter,
                filter_type: RepositoryFilterType::PrefixMatch,
            };
            let rule = ReplicationRule {
                destinations: to,
                repository_filters: prefixes.into_iter().map(filter).collect(),
                delete_replication: deletions.then_some(Enabled { enabled: true }),
                replica_replication: replicas.then_some(Enabled { enabled: true }),
                replicated_settings: settings.into_iter().map(Into::into).collect(),
            };
            show(context, &client.put_replication_rule(&name, &rule, None).await?.value)
        }
        RuleCommand::List => {
            let page = NamedReplicationRulePage {
                replication_rules: client.all_replication_rules(all()).try_collect().await?,
                next_token: None,
            };
            context.writer.answer(&page, || {
                let rows = page.replication_rules.iter().map(|rule| {
                    [
                        rule.rule_name.clone(),
                        targets(&rule.rule),
                        filters(&rule.rule),
                        also(&rule.rule),
                        human::age(context.now(), rule.updated_at),
                    ]
                });
                Table::list(["NAME", "TO", "REPOSITORIES", "ALSO", "UPDATED"], rows)
            })
        }
        RuleCommand::Describe { name } => show(context, &client.replication_rule(&name).await?.value),
        RuleCommand::Delete { name, confirmation } => {
            confirmation.check(&format!("delete the replication rule `{name}`"))?;
            let deleted = client.delete_replication_rule(&name, None).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.rule_name))
        }
    }
}

pub(super) fn all() -> ListQuery {
    ListQuery {
        max_results: Some(1000),
        ..ListQuery::default()
    }
}

fn show(context: &Context, rule: &NamedReplicationRule) -> Result<(), CliError> {
    let is_enabled = |it: Option<Enabled>| it.is_some_and(|it| it.enabled).to_string();
    context.writer.answer(rule, || {
        Table::fields([
            ("name", rule.rule_name.clone()),
            ("to", targets(&rule.rule)),
            ("repositories", filters(&rule.rule)),
            ("deletions", is_enabled(rule.rule.delete_replication)),
            ("replicas", is_enabled(rule.rule.replica_replication)),
            ("settings", settings(&rule.rule)),
            ("updated", rule.updated_at.to_string()),
        ])
    })
}

fn targets(rule: &ReplicationRule) -> String {
    let target = |target: &ReplicationTarget| match &target.registry_id {
        Some(account) => format!("{}/{account}", target.region),
        None => target.region.to_string(),
    };
    rule.destinations.iter().map(target).collect::<Vec<_>>().join(", ")
}

fn filters(rule: &ReplicationRule) -> String {
    if rule.repository_filters.is_empty() {
        return "all".into();
    }
    let filters: Vec<_> = rule
        .repository_filters
        .iter()
        .map(|it| format!("{}*", it.filter))
        .collect();
    filters.join(", ")
}

/// What a rule brings beside what is pushed, in short.
fn also(rule: &ReplicationRule) -> String {
    let is_enabled = |it: Option<Enabled>| it.is_some_and(|it| it.enabled);
    let mut also = Vec::new();
    if is_enabled(rule.delete_replication) {
        also.push("deletions");
    }
    if is_enabled(rule.replica_replication) {
        also.push("replicas");
    }
    if !rule.replicated_settings.is_empty() {
        also.push("settings");
    }
    also.join(", ")
}

fn settings(rule: &ReplicationRule) -> String {
    let name = |setting: &ReplicatedSetting| match setting {
        ReplicatedSetting::RepositorySettings => "repository settings",
        ReplicatedSetting::RepositoryPolicy => "repository policy",
        ReplicatedSetting::LifecyclePolicy => "lifecycle policy",
        ReplicatedSetting::ResourceTags => "resource tags",
    };
    if rule.replicated_settings.is_empty() {
        return "none".into();
    }
    rule.replicated_settings.iter().map(name).collect::<Vec<_>>().join(", ")
}

async fn progress(context: &Context) -> Result<(), CliError> {
    let progress = context.client()?.replication_progress().await?;
    context.writer.answer(&progress, || {
        let rows = progress.destinations.iter().map(|waiting| {
            [
                format!("{}/{}", waiting.region, waiting.registry_id),
                waiting.waiting_count.to_string(),
                waiting.failed_count.to_string(),
                waiting
                    .oldest_waiting_since
                    .map_or_else(String::new, |since| human::age(context.now(), since)),
            ]
        });
        Table::list(["DESTINATION", "WAITING", "GIVEN UP", "OLDEST"], rows)
    })
}

async fn status(image: ImageName, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    let image = image.resolve(&client).await?;
    let digest = find(&client, &image).await?.image_digest;
    let found = client.image_replication_status(&image.repository, &digest).await?;
    context.writer.answer(&found, || {
        let rows = found.replication_statuses.iter().map(|it| {
            [
                format!("{}/{}", it.region, it.registry_id),
                state(it.status).to_owned(),
                human::age(context.now(), it.updated_at),
                it.attempts.map_or_else(String::new, |attempts| attempts.to_string()),
                it.next_attempt_at
                    .map_or_else(String::new, |at| next(context.now(), at)),
                it.failure_code.clone().unwrap_or_default(),
                it.failure_reason.clone().unwrap_or_default(),
            ]
        });
        let head = ["DESTINATION", "STATUS", "SINCE", "ATTEMPTS", "NEXT", "CODE", "REASON"];
        Table::list(head, rows)
    })
}

async fn settings_status(repository: &RepositoryName, context: &Context) -> Result<(), CliError> {
    let found = context.client()?.repository_replication_status(repository).await?;
    context.writer.answer(&found, || {
        let rows = found.replication_statuses.iter().map(|it| {
            [
                format!("{}/{}", it.region, it.registry_id),
                state(it.status).to_owned(),
                human::age(context.now(), it.updated_at),
                it.failure_code.clone().unwrap_or_default(),
                it.failure_reason.clone().unwrap_or_default(),
            ]
        });
        Table::list(["DESTINATION", "STATUS", "SINCE", "CODE", "REASON"], rows)
    })
}

fn state(status: ReplicationStatus) -> &'static str {
    match status {
        ReplicationStatus::InProgress => "in progress",
        ReplicationStatus::Complete => "complete",
        ReplicationStatus::Failed => "failed",
    }
}

/// When something is tried next; what is due waits for its turn.
fn next(now: Timestamp, at: Timestamp) -> String {
    if at <= now { "now".into() } else { human::age(now, at) }
}

async fn tasks(failed: bool, region: Option<Region>, context: &Context) -> Result<(), CliError> {
    let query = ListReplicationTasks {
        region,
        is_failed: failed.then_some(true),
        max_results: Some(1000),
        ..ListReplicationTasks::default()
    };
    let page = ReplicationTaskPage {
        replication_tasks: context.client()?.all_replication_tasks(query).try_collect().await?,
        next_token: None,
    };
    context.writer.answer(&page, || {
        let rows = page.replication_tasks.iter().map(|task| {
            [
                task.task_id.clone(),
                format!("{}/{}", task.region, task.registry_id),
                kind(task).to_owned(),
                name(task),
                if task.is_failed { "given up" } else { "waiting" }.to_owned(),
                task.attempts.to_string(),
                if task.is_failed {
                    String::new()
                } else {
                    next(context.now(), task.next_attempt_at)
                },
                task.failure_code.clone().unwrap_or_default(),
                task.failure_reason.clone().unwrap_or_default(),
            ]
        });
        let head = [
            "ID",
            "DESTINATION",
            "KIND",
            "WHAT",
            "STATE",
            "ATTEMPTS",
            "NEXT",
            "CODE",
            "REASON",
        ];
        Table::list(head, rows)
    })
}

fn kind(task: &ReplicationTask) -> &'static str {
    match task.subject {
        _ if task.is_deletion => "deletion",
        ReplicationTaskSubject::Image => "image",
        ReplicationTaskSubject::Settings => "settings",
    }
}

/// The image, or the repository whose settings it is about.
fn name(task: &ReplicationTask) -> String {
    match &task.reference {
        Some(reference) if reference.contains(':') => {
            format!("{}@{}", task.repository_name, human::one_line(reference))
        }
        Some(reference) => format!("{}:{}", task.repository_name, human::one_line(reference)),
        None => task.repository_name.to_string(),
    }
}
