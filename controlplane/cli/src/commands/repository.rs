// SPDX-License-Identifier: Apache-2.0
//! `hythe repository …`.

use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use hythe_client::IdempotencyKey;
use hythe_client::wire::{
    CreateRepository, EncryptionConfiguration, ImageScanningConfiguration, ListRepositories, Repository,
    RepositoryPage, ResourceTag, ResourceTagList, UpdateRepository,
};
use hythe_model::{EncryptionType, ExclusionFilter, RepositoryName, TagMutabilityMode};

use super::{repository_policy, repository_template};
use crate::confirm::Confirmation;
use crate::context::Context;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

const CREATE_EXAMPLES: &str = "Examples:
  hythe repository create team-a/web
  hythe repository create team-a/web --tag-mutability immutable-with-exclusion --exclusion-filter 'dev-*'
  hythe repository create team-a/web --resource-tag team=a --resource-tag env=prod";

const LIST_EXAMPLES: &str = "Examples:
  hythe repository list --prefix team-a/
  hythe repository list --output json | jq -r '.repositories[].repositoryUri'";

const DELETE_EXAMPLES: &str = "Examples:
  hythe repository delete team-a/web
  hythe repository delete team-a/web --force --yes     # with all its images, without asking";

/// `hythe repository …`
#[derive(Debug, Subcommand)]
pub enum RepositoryCommand {
    /// Create a repository
    #[command(after_help = CREATE_EXAMPLES)]
    Create(CreateArgs),
    /// List repositories
    #[command(visible_alias = "ls", after_help = LIST_EXAMPLES)]
    List {
        /// Only names that start like this
        #[arg(long)]
        prefix: Option<String>,
    },
    /// Show a repository and how much it holds
    Describe {
        /// The repository
        name: RepositoryName,
    },
    /// Change settings of a repository; those that are not given stay
    Update(UpdateArgs),
    /// Delete a repository
    #[command(visible_alias = "rm", after_help = DELETE_EXAMPLES)]
    Delete {
        /// The repository
        name: RepositoryName,
        /// Delete the images in it too
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        confirmation: Confirmation,
    },
    /// Add resource tags to a repository, or give them new values
    Tag {
        /// The repository
        name: RepositoryName,
        /// The resource tags
        #[arg(required = true, value_name = "KEY=VALUE", value_parser = resource_tag)]
        tags: Vec<ResourceTag>,
    },
    /// Remove resource tags from a repository
    Untag {
        /// The repository
        name: RepositoryName,
        /// The keys of the resource tags
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// List the resource tags of a repository
    Tags {
        /// The repository
        name: RepositoryName,
    },
    /// Manage the policy of a repository: who may do what with it
    #[command(subcommand, after_help = repository_policy::EXAMPLES)]
    Policy(repository_policy::RepositoryPolicyCommand),
    /// Manage templates: what repositories are like that the server creates, on a first push for example
    #[command(subcommand, after_help = repository_template::EXAMPLES)]
    Template(repository_template::RepositoryTemplateCommand),
}

/// `hythe repository create`
#[derive(Args, Debug)]
pub struct CreateArgs {
    /// The name, such as `team-a/web`
    name: RepositoryName,
    /// Whether tags may be moved to other images
    #[arg(long, value_enum, value_name = "MODE")]
    tag_mutability: Option<Mutability>,
    /// Tags to which the opposite applies, with `*` as wildcard; up to 5 times
    #[arg(long = "exclusion-filter", value_name = "PATTERN", requires = "tag_mutability")]
    exclusion_filters: Vec<ExclusionFilter>,
    /// Scan images when they are pushed
    #[arg(long)]
    scan_on_push: bool,
    /// Let an index list images that the repository does not hold; an image always needs its own layers
    #[arg(long)]
    allow_sparse_indexes: bool,
    /// How images are encrypted at rest: AES256, KMS or `KMS_DSSE`
    #[arg(long, value_name = "TYPE")]
    encryption_type: Option<EncryptionType>,
    /// The key for KMS and `KMS_DSSE`
    #[arg(long, value_name = "KEY", requires = "encryption_type")]
    kms_key: Option<String>,
    /// A resource tag; several times for several
    #[arg(long = "resource-tag", value_name = "KEY=VALUE", value_parser = resource_tag)]
    resource_tags: Vec<ResourceTag>,
}

/// `hythe repository update`
#[derive(Args, Debug)]
#[command(group(ArgGroup::new("settings").required(true).multiple(true)))]
pub struct UpdateArgs {
    /// The repository
    name: RepositoryName,
    /// Whether tags may be moved to other images
    #[arg(long, value_enum, value_name = "MODE", group = "settings")]
    tag_mutability: Option<Mutability>,
    /// Tags to which the opposite applies, with `*` as wildcard; up to 5 times
    #[arg(long = "exclusion-filter", value_name = "PATTERN", requires = "tag_mutability")]
    exclusion_filters: Vec<ExclusionFilter>,
    /// Whether to scan images when they are pushed
    #[arg(long, value_name = "BOOL", group = "settings")]
    scan_on_push: Option<bool>,
    /// Whether an index may list images that the repository does not hold; an image always needs its own layers
    #[arg(long, value_name = "BOOL", group = "settings")]
    allow_sparse_indexes: Option<bool>,
}

/// The modes of tag mutability, as options are spelt.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum Mutability {
    /// Every tag may move
    #[value(alias = "MUTABLE")]
    Mutable,
    /// No tag may move
    #[value(alias = "IMMUTABLE")]
    Immutable,
    /// No tag may move, but those that a filter matches
    #[value(alias = "IMMUTABLE_WITH_EXCLUSION")]
    ImmutableWithExclusion,
    /// Every tag may move, but those that a filter matches
    #[value(alias = "MUTABLE_WITH_EXCLUSION")]
    MutableWithExclusion,
}

impl From<Mutability> for TagMutabilityMode {
    fn from(mode: Mutability) -> Self {
        match mode {
            Mutability::Mutable => Self::Mutable,
            Mutability::Immutable => Self::Immutable,
            Mutability::ImmutableWithExclusion => Self::ImmutableWithExclusion,
            Mutability::MutableWithExclusion => Self::MutableWithExclusion,
        }
    }
}

pub(super) fn resource_tag(text: &str) -> Result<ResourceTag, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(ResourceTag {
            key: key.into(),
            value: value.into(),
        }),
        _ => Err("it must be `KEY=VALUE`".into()),
    }
}

pub(crate) async fn run(command: RepositoryCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        RepositoryCommand::Create(args) => {
            let created = client
                .create_repository(&args.into(), &IdempotencyKey::random())
                .await?
                .value;
            context.writer.answer_text(&created, &created.repository_uri)
        }
        RepositoryCommand::List { prefix } => {
            let query = ListRepositories {
                prefix,
                max_results: Some(1000),
                ..ListRepositories::default()
            };
            let repositories = client.all_repositories(query).try_collect().await?;
            list(
                context,
                &RepositoryPage {
                    repositories,
                    next_token: None,
                },
            )
        }
        RepositoryCommand::Describe { name } => {
            let repository = client.repository(&name).await?.value;
            let usage = client.repository_usage(&name).await?;
            context.writer.answer(&repository, || {
                let holds = format!(
                    "{} in {}, {}",
                    human::size(usage.size_in_bytes),
                    human::counted(usage.image_count, "image"),
                    human::counted(usage.tag_count, "tag")
                );
                describe(&repository, holds)
            })
        }
        RepositoryCommand::Update(args) => {
            let name = args.name.clone();
            let updated = client.update_repository(&name, &args.into(), None).await?.value;
            context.writer.answer(&updated, || describe(&updated, String::new()))
        }
        RepositoryCommand::Delete {
            name,
            force,
            confirmation,
        } => {
            let usage = if confirmation.yes {
                None
            } else {
                Some(client.repository_usage(&name).await?)
            };
            let with = usage
                .filter(|usage| usage.image_count > 0)
                .map(|usage| format!(" with its {}", human::counted(usage.image_count, "image")));
            confirmation.check(&format!("delete repository `{name}`{}", with.unwrap_or_default()))?;
            let deleted = client.delete_repository(&name, force, None).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.repository_name))
        }
        RepositoryCommand::Tag { name, tags } => {
            show_tags(context, &client.add_resource_tags(&name, tags).await?.value)
        }
        RepositoryCommand::Untag { name, keys } => {
            show_tags(context, &client.remove_resource_tags(&name, &keys).await?.value)
        }
        RepositoryCommand::Policy(command) => repository_policy::run(command, context).await,
        RepositoryCommand::Template(command) => repository_template::run(command, context).await,
        RepositoryCommand::Tags { name } => show_tags(context, &client.resource_tags(&name).await?.value),
    }
}

impl From<CreateArgs> for CreateRepository {
    fn from(args: CreateArgs) -> Self {
        let filters: Vec<_> = args.exclusion_filters.into_iter().map(Into::into).collect();
        let encryption = args.encryption_type.map(|encryption_type| EncryptionConfiguration {
            encryption_type,
            kms_key: args.kms_key,
        });
        Self {
            repository_name: args.name,
            image_tag_mutability: args.tag_mutability.map(Into::into),
            image_tag_mutability_exclusion_filters: Some(filters).filter(|filters| !filters.is_empty()),
            image_scanning_configuration: args
                .scan_on_push
                .then_some(ImageScanningConfiguration { scan_on_push: true }),
            allow_sparse_indexes: args.allow_sparse_indexes.then_some(true),
            encryption_configuration: encryption,
            tags: Some(args.resource_tags).filter(|tags| !tags.is_empty()),
        }
    }
}

impl From<UpdateArgs> for UpdateRepository {
    fn from(args: UpdateArgs) -> Self {
        let filters: Vec<_> = args.exclusion_filters.into_iter().map(Into::into).collect();
        Self {
            image_tag_mutability: args.tag_mutability.map(Into::into),
            image_tag_mutability_exclusion_filters: Some(filters).filter(|filters| !filters.is_empty()),
            image_scanning_configuration: args
                .scan_on_push
                .map(|scan_on_push| ImageScanningConfiguration { scan_on_push }),
            allow_sparse_indexes: args.allow_sparse_indexes,
        }
    }
}

fn list(context: &Context, page: &RepositoryPage) -> Result<(), CliError> {
    context.writer.answer(page, || {
        let rows = page.repositories.iter().map(|it| {
            [
                it.repository_name.to_string(),
                it.image_tag_mutability.as_str().to_owned(),
                human::age(context.now(), it.created_at),
                it.repository_uri.clone(),
            ]
        });
        Table::list(["NAME", "TAG MUTABILITY", "CREATED", "URI"], rows)
    })
}

fn describe(repository: &Repository, holds: String) -> Table {
    let filters: Vec<_> = repository
        .image_tag_mutability_exclusion_filters
        .iter()
        .map(|it| it.filter.to_string())
        .collect();
    let tags: Vec<_> = repository
        .tags
        .iter()
        .map(|tag| format!("{}={}", tag.key, tag.value))
        .collect();
    Table::fields([
        ("name", repository.repository_name.to_string()),
        ("uri", repository.repository_uri.clone()),
        ("arn", repository.repository_arn.clone()),
        ("created", repository.created_at.to_string()),
        ("holds", holds),
        ("tag mutability", repository.image_tag_mutability.as_str().to_owned()),
        ("exclusion filters", filters.join(", ")),
        (
            "scan on push",
            yes_or_no(repository.image_scanning_configuration.scan_on_push),
        ),
        ("sparse indexes", yes_or_no(repository.allow_sparse_indexes)),
        (
            "encryption",
            repository.encryption_configuration.encryption_type.as_str().to_owned(),
        ),
        (
            "kms key",
            repository.encryption_configuration.kms_key.clone().unwrap_or_default(),
        ),
        ("resource tags", tags.join(", ")),
    ])
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}

fn show_tags(context: &Context, list: &ResourceTagList) -> Result<(), CliError> {
    context.writer.answer(list, || {
        Table::list(
            ["KEY", "VALUE"],
            list.tags.iter().map(|tag| [tag.key.clone(), tag.value.clone()]),
        )
    })
}
