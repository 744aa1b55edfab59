// SPDX-License-Identifier: Apache-2.0
//! `hythe repository template …`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use futures::TryStreamExt as _;
use hythe_client::wire::{
    CreateRepositoryCreationTemplate, EncryptionConfiguration, ListQuery, RepositoryCreationTemplate,
    RepositoryCreationTemplatePage, ResourceTag, UpdateRepositoryCreationTemplate,
};
use hythe_model::{CreationTrigger, EncryptionType, ExclusionFilter, RepositoryPrefix};

use super::repository::{Mutability, resource_tag};
use crate::confirm::Confirmation;
use crate::context::Context;
use crate::document::DocumentArg;
use crate::error::CliError;
use crate::human;
use crate::table::Table;

pub(super) const EXAMPLES: &str = "Examples:
  hythe repository template create prod --applied-for create-on-push
  hythe repository template create ROOT --applied-for create-on-push --applied-for replication \\
      --tag-mutability immutable --lifecycle-policy-file lifecycle.json
  hythe repository template update prod --resource-tag env=prod
  hythe repository template delete prod --yes

A template is used once, when a repository is created: `prod` for prod/web, not for prod itself.
Whoever pushes needs the right to create the repository, and to tag it if the template has tags.";

/// `hythe repository template …`
#[derive(Debug, Subcommand)]
pub enum RepositoryTemplateCommand {
    /// Say what repositories below a prefix are like that the server creates
    Create {
        /// How their names begin, such as `prod` for `prod/web`; `ROOT` for all that no other template is for
        prefix: RepositoryPrefix,
        /// On which occasion it is used; several times for several
        #[arg(long = "applied-for", value_enum, value_name = "OCCASION", required = true)]
        applied_for: Vec<Occasion>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// List templates
    #[command(visible_alias = "ls")]
    List,
    /// Show a template
    Describe {
        /// The prefix
        prefix: RepositoryPrefix,
    },
    /// Change a template; what is not given stays as it is
    Update {
        /// The prefix
        prefix: RepositoryPrefix,
        /// On which occasion it is used, in place of those that are set; several times for several
        #[arg(long = "applied-for", value_enum, value_name = "OCCASION")]
        applied_for: Vec<Occasion>,
        #[command(flatten)]
        settings: SettingsArgs,
        /// Give new repositories no resource tags
        #[arg(long, conflicts_with = "resource_tags")]
        no_resource_tags: bool,
        /// Give new repositories no policy
        #[arg(long, conflicts_with = "repository_policy_file")]
        no_repository_policy: bool,
        /// Give new repositories no lifecycle policy
        #[arg(long, conflicts_with = "lifecycle_policy_file")]
        no_lifecycle_policy: bool,
    },
    /// Delete a template; the repositories that were created from it stay as they are
    #[command(visible_alias = "rm")]
    Delete {
        /// The prefix
        prefix: RepositoryPrefix,
        #[command(flatten)]
        confirmation: Confirmation,
    },
}

/// What can be said about a template at any time.
#[derive(Args, Debug)]
pub struct SettingsArgs {
    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Whether tags may be moved to other images
    #[arg(long, value_enum, value_name = "MODE")]
    tag_mutability: Option<Mutability>,
    /// Tags to which the opposite applies, with `*` as wildcard; up to 5 times
    #[arg(long = "exclusion-filter", value_name = "PATTERN", requires = "tag_mutability")]
    exclusion_filters: Vec<ExclusionFilter>,
    /// Whether an index may list images that the repository does not hold
    #[arg(long, value_name = "BOOL")]
    allow_sparse_indexes: Option<bool>,
    /// How images are encrypted at rest: AES256, KMS or `KMS_DSSE`
    #[arg(long, value_name = "TYPE")]
    encryption_type: Option<EncryptionType>,
    /// The key for KMS and `KMS_DSSE`
    #[arg(long, value_name = "KEY", requires = "encryption_type")]
    kms_key: Option<String>,
    /// A resource tag; several times for several
    #[arg(long = "resource-tag", value_name = "KEY=VALUE", value_parser = resource_tag)]
    resource_tags: Vec<ResourceTag>,
    /// A file with the policy of new repositories, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    repository_policy_file: Option<PathBuf>,
    /// A file with the lifecycle policy of new repositories, or `-` for standard input
    #[arg(long, value_name = "FILE")]
    lifecycle_policy_file: Option<PathBuf>,
}

/// Occasions, as options are spelt.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Occasion {
    /// The first push
    #[value(alias = "CREATE_ON_PUSH")]
    CreateOnPush,
    /// The first pull through the cache
    #[value(alias = "PULL_THROUGH_CACHE")]
    PullThroughCache,
    /// The arrival of a replicated image
    #[value(alias = "REPLICATION")]
    Replication,
}

impl From<Occasion> for CreationTrigger {
    fn from(occasion: Occasion) -> Self {
        match occasion {
            Occasion::CreateOnPush => Self::CreateOnPush,
            Occasion::PullThroughCache => Self::PullThroughCache,
            Occasion::Replication => Self::Replication,
        }
    }
}

impl SettingsArgs {
    fn into_update(self, applied_for: &[Occasion]) -> Result<UpdateRepositoryCreationTemplate, CliError> {
        let read = |path: Option<PathBuf>| path.map(|path| DocumentArg::at(path).read()).transpose();
        let filters = self.exclusion_filters.into_iter().map(Into::into).collect::<Vec<_>>();
        Ok(UpdateRepositoryCreationTemplate {
            applied_for: (!applied_for.is_empty()).then(|| applied_for.iter().copied().map(Into::into).collect()),
            description: self.description,
            image_tag_mutability: self.tag_mutability.map(Into::into),
            image_tag_mutability_exclusion_filters: (!filters.is_empty()).then_some(filters),
            allow_sparse_indexes: self.allow_sparse_indexes,
            encryption_configuration: self.encryption_type.map(|encryption_type| EncryptionConfiguration {
                encryption_type,
                kms_key: self.kms_key,
            }),
            resource_tags: (!self.resource_tags.is_empty()).then_some(self.resource_tags),
            repository_policy: read(self.repository_policy_file)?,
            lifecycle_policy: read(self.lifecycle_policy_file)?,
        })
    }
}

pub(super) async fn run(command: RepositoryTemplateCommand, context: &Context) -> Result<(), CliError> {
    let client = context.client()?;
    match command {
        RepositoryTemplateCommand::Create {
            prefix,
            applied_for,
            settings,
        } => {
            let settings = settings.into_update(&applied_for)?;
            let request = CreateRepositoryCreationTemplate {
                prefix,
                applied_for: settings.applied_for.unwrap_or_default(),
                description: settings.description,
                image_tag_mutability: settings.image_tag_mutability,
                image_tag_mutability_exclusion_filters: settings.image_tag_mutability_exclusion_filters,
                allow_sparse_indexes: settings.allow_sparse_indexes,
                encryption_configuration: settings.encryption_configuration,
                resource_tags: settings.resource_tags,
                repository_policy: settings.repository_policy,
                lifecycle_policy: settings.lifecycle_policy,
            };
            show(
                context,
                &client.create_repository_creation_template(&request).await?.value,
            )
        }
        RepositoryTemplateCommand::List => {
            let query = ListQuery {
                max_results: Some(1000),
                ..ListQuery::default()
            };
            let page = RepositoryCreationTemplatePage {
                repository_creation_templates: client.all_repository_creation_templates(query).try_collect().await?,
                next_token: None,
            };
            context.writer.answer(&page, || {
                let rows = page.repository_creation_templates.iter().map(|template| {
                    [
                        template.prefix.to_string(),
                        occasions(template),
                        template.image_tag_mutability.as_str().to_owned(),
                        human::age(context.now(), template.created_at),
                    ]
                });
                Table::list(["PREFIX", "APPLIED FOR", "TAGS", "CREATED"], rows)
            })
        }
        RepositoryTemplateCommand::Describe { prefix } => {
            show(context, &client.repository_creation_template(&prefix).await?.value)
        }
        RepositoryTemplateCommand::Update {
            prefix,
            applied_for,
            settings,
            no_resource_tags,
            no_repository_policy,
            no_lifecycle_policy,
        } => {
            let mut request = settings.into_update(&applied_for)?;
            if no_resource_tags {
                request.resource_tags = Some(Vec::new());
            }
            if no_repository_policy {
                request.repository_policy = Some(String::new());
            }
            if no_lifecycle_policy {
                request.lifecycle_policy = Some(String::new());
            }
            let updated = client
                .update_repository_creation_template(&prefix, &request, None)
                .await?;
            show(context, &updated.value)
        }
        RepositoryTemplateCommand::Delete { prefix, confirmation } => {
            confirmation.check(&format!("delete the repository template `{prefix}`"))?;
            let deleted = client.delete_repository_creation_template(&prefix, None).await?;
            context
                .writer
                .answer_text(&deleted, &format!("deleted {}", deleted.prefix))
        }
    }
}

fn occasions(template: &RepositoryCreationTemplate) -> String {
    let names: Vec<&str> = template.applied_for.iter().map(|trigger| trigger.as_str()).collect();
    names.join(", ")
}

fn show(context: &Context, template: &RepositoryCreationTemplate) -> Result<(), CliError> {
    context.writer.answer(template, || {
        let filters: Vec<_> = template
            .image_tag_mutability_exclusion_filters
            .iter()
            .map(|filter| filter.filter.to_string())
            .collect();
        let tags: Vec<_> = template
            .resource_tags
            .iter()
            .map(|tag| format!("{}={}", tag.key, tag.value))
            .collect();
        Table::fields([
            ("prefix", template.prefix.to_string()),
            ("description", template.description.clone().unwrap_or_default()),
            ("applied for", occasions(template)),
            ("tag mutability", template.image_tag_mutability.as_str().to_owned()),
            ("exclusion filters", filters.join(", ")),
            ("sparse indexes", template.allow_sparse_indexes.to_string()),
            (
                "encryption",
                template.encryption_configuration.encryption_type.as_str().to_owned(),
            ),
            ("resource tags", tags.join(", ")),
            (
                "repository policy",
                template.repository_policy.clone().unwrap_or_default(),
            ),
            (
                "lifecycle policy",
                template.lifecycle_policy.clone().unwrap_or_default(),
            ),
            ("created", template.created_at.to_string()),
            ("updated", template.updated_at.to_string()),
        ])
    })
}
