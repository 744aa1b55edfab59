// SPDX-License-Identifier: Apache-2.0
//! `hythe_repository_creation_template`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::{AccountId, CreationTrigger, RepositoryPrefix};
use hythe_wire::{CreateRepositoryCreationTemplate, ListQuery, UpdateRepositoryCreationTemplate, code};
use tfplugin::{Attr, Call, Diagnostics, Path, Result, Schema, Set};

use super::repository::Encryption;
use super::tag_mutability::{self, ExclusionFilterModel, filters_of, observed_filters};
use crate::argument::{invalid, parsed, parses};
use crate::connection::Connection;
use crate::noun::{Api, Listing, Noun, Outcome, cleared, fill, seen};
use crate::policy::{self, Kind};
use crate::tags::Tags;
use crate::{iam, lifecycle};

/// The longest description, in characters (ECR, `RepositoryTemplateDescription`).
const MAX_DESCRIPTION: usize = 256;

/// Manages a template of repositories: what repositories below a prefix are like that the server creates by itself, on a first
/// push for example.
///
/// A template is used once, when a repository is created: what becomes of the template later does not touch the repositories
/// that were created from it. Whoever pushes needs the right to create the repository, and to tag it if the template has tags.
#[derive(Clone, Debug, Default, Schema)]
pub struct RepositoryCreationTemplate {
    /// How the names of the repositories begin, without a `/` at the end: `prod` is for `prod/web`, not for `prod`. `ROOT` is
    /// for all repositories that no other template is for.
    #[tf(required, replace, validate = parses::<RepositoryPrefix>)]
    pub prefix: Attr<String>,
    /// On which occasions the template is used.
    #[tf(required, one_of = CreationTrigger::ALL.map(CreationTrigger::as_str))]
    pub applied_for: Attr<Set<String>>,
    /// What it is for, up to 256 characters.
    #[tf(optional, validate = description)]
    pub description: Attr<String>,
    /// Whether a push may move a tag to another image. The values that end in `_WITH_EXCLUSION` take exceptions from
    /// `image_tag_mutability_exclusion_filter`.
    #[tf(
        optional, default = "MUTABLE",
        one_of = ["MUTABLE", "IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"]
    )]
    pub image_tag_mutability: Attr<String>,
    /// The tags to which `image_tag_mutability` does not apply: 1 to 5 patterns for the values that end in `_WITH_EXCLUSION`.
    #[tf(optional)]
    pub image_tag_mutability_exclusion_filter: Attr<Set<ExclusionFilterModel>>,
    /// Whether an index may list images that the repository does not hold.
    #[tf(optional, default = false)]
    pub allow_sparse_indexes: Attr<bool>,
    /// How images are encrypted at rest. Leaving it out is the same as `{ type = "AES256" }`.
    #[tf(optional, default = Encryption::default_value())]
    pub encryption: Attr<Encryption>,
    /// Resource tags of new repositories, up to 50. The `default_tags` of the provider are not among them: they are for what
    /// Terraform creates.
    #[tf(optional)]
    pub resource_tags: Attr<Tags>,
    /// The policy of new repositories, as JSON.
    #[tf(optional, validate = policy::check_repository, equal = policy::same_repository)]
    pub repository_policy: Attr<String>,
    /// The lifecycle policy of new repositories, as JSON.
    #[tf(optional, validate = lifecycle::check, equal = lifecycle::same)]
    pub lifecycle_policy: Attr<String>,
    /// The registry whose repositories are meant: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When the template was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
    /// When the template was last changed (RFC 3339).
    #[tf(computed)]
    pub updated_at: Attr<String>,
}

/// Lists the templates of the registry, by prefix.
#[derive(Clone, Debug, Default, Schema)]
pub struct RepositoryCreationTemplates {}

fn description(text: &str) -> Result<(), String> {
    if (1..=MAX_DESCRIPTION).contains(&text.chars().count()) {
        Ok(())
    } else {
        Err(format!(
            "It must have 1 to {MAX_DESCRIPTION} characters; leave it out for none."
        ))
    }
}

impl RepositoryCreationTemplate {
    fn observed(mut self, server: hythe_wire::RepositoryCreationTemplate) -> Self {
        self.prefix = server.prefix.to_string().into();
        let triggers = server.applied_for.into_iter();
        self.applied_for = Attr::Known(triggers.map(|it| it.as_str().to_owned()).collect());
        self.description = server.description.into();
        self.image_tag_mutability = server.image_tag_mutability.as_str().into();
        self.image_tag_mutability_exclusion_filter = observed_filters(
            &self.image_tag_mutability_exclusion_filter,
            server.image_tag_mutability_exclusion_filters,
        );
        self.allow_sparse_indexes = server.allow_sparse_indexes.into();
        self.encryption = Attr::Known(server.encryption_configuration.into());
        self.resource_tags = seen(&self.resource_tags, iam::tags_from(server.resource_tags));
        self.repository_policy = server.repository_policy.into();
        self.lifecycle_policy = server.lifecycle_policy.into();
        self.registry_id = server.registry_id.to_string().into();
        self.created_at = server.created_at.to_string().into();
        self.updated_at = server.updated_at.to_string().into();
        self
    }

    fn triggers(&self) -> Result<Vec<CreationTrigger>> {
        let names = self.applied_for.required("applied_for")?;
        let is_named = |trigger: &CreationTrigger| names.iter().any(|name| name == trigger.as_str());
        Ok(CreationTrigger::ALL.into_iter().filter(is_named).collect())
    }
}

impl Noun for RepositoryCreationTemplate {
    const NAME: &'static str = "repository_creation_template";
    const A_NOUN: &'static str = "a repository creation template";
    const KEY: &'static [&'static str] = &["prefix"];
    const GONE: &'static [&'static str] = &[code::TEMPLATE_NOT_FOUND];
    const TAKEN: &'static [&'static str] = &[code::TEMPLATE_ALREADY_EXISTS];
    type Filter = RepositoryCreationTemplates;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let prefix: RepositoryPrefix = parsed("prefix", &self.prefix)?;
        let found = api.send(|| api.client().repository_creation_template(&prefix)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let tags = iam::tags_to(&self.resource_tags.clone().unwrap_or_default());
        let request = CreateRepositoryCreationTemplate {
            prefix: parsed("prefix", &self.prefix)?,
            applied_for: self.triggers()?,
            description: self.description.known().cloned(),
            image_tag_mutability: Some(parsed("image_tag_mutability", &self.image_tag_mutability)?),
            image_tag_mutability_exclusion_filters: filters_of(&self.image_tag_mutability_exclusion_filter)?,
            allow_sparse_indexes: self.allow_sparse_indexes.known().copied(),
            encryption_configuration: self.encryption.known().map(Encryption::to_wire).transpose()?,
            resource_tags: (!tags.is_empty()).then_some(tags),
            repository_policy: self.repository_policy.known().cloned(),
            lifecycle_policy: self.lifecycle_policy.known().cloned(),
        };
        let made = api
            .send_once(|| api.client().create_repository_creation_template(&request))
            .await?;
        Ok(self.observed(made.value))
    }

    async fn change(self, prior: Self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let prefix: RepositoryPrefix = parsed("prefix", &prior.prefix)?;
        let mut request = UpdateRepositoryCreationTemplate {
            description: cleared(&prior.description, &self.description),
            repository_policy: cleared(&prior.repository_policy, &self.repository_policy),
            lifecycle_policy: cleared(&prior.lifecycle_policy, &self.lifecycle_policy),
            ..UpdateRepositoryCreationTemplate::default()
        };
        let (triggers, before) = (self.triggers()?, prior.triggers()?);
        request.applied_for = (triggers != before).then_some(triggers);
        let filters = filters_of(&self.image_tag_mutability_exclusion_filter)?;
        let before = filters_of(&prior.image_tag_mutability_exclusion_filter)?;
        if self.image_tag_mutability != prior.image_tag_mutability || filters != before {
            request.image_tag_mutability = Some(parsed("image_tag_mutability", &self.image_tag_mutability)?);
            request.image_tag_mutability_exclusion_filters = filters;
        }
        if self.allow_sparse_indexes != prior.allow_sparse_indexes {
            request.allow_sparse_indexes = Some(self.allow_sparse_indexes.unwrap_or_default());
        }
        if self.encryption != prior.encryption {
            request.encryption_configuration = self.encryption.known().map(Encryption::to_wire).transpose()?;
        }
        request.resource_tags = cleared(&prior.resource_tags, &self.resource_tags).map(|tags| iam::tags_to(&tags));
        if request == UpdateRepositoryCreationTemplate::default() {
            // Another way to write the same.
            return self.fetch(api).await;
        }
        let changed = api
            .send(|| {
                api.client()
                    .update_repository_creation_template(&prefix, &request, None)
            })
            .await?;
        Ok(self.observed(changed.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let prefix: RepositoryPrefix = parsed("prefix", &self.prefix)?;
        api.send(|| api.client().delete_repository_creation_template(&prefix, None))
            .await?;
        Ok(())
    }

    fn list(_: RepositoryCreationTemplates, client: &Client) -> Result<Listing<Self>> {
        let templates = client.all_repository_creation_templates(ListQuery::default());
        Ok(templates.map_ok(|server| Self::default().observed(server)).boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = iam::check_principal_tags(&config.resource_tags, &Path::new("resource_tags"));
        let filters = &config.image_tag_mutability_exclusion_filter;
        tag_mutability::check(&config.image_tag_mutability, filters, &mut diagnostics);
        Encryption::check(&config.encryption, &mut diagnostics);
        if config.applied_for.known().is_some_and(|it| it.is_empty()) {
            diagnostics.push(invalid(Path::new("applied_for"), "It must have at least one entry."));
        }
        diagnostics
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }

    async fn plan(cx: &Call<Connection>, prior: Option<&Self>, planned: &mut Self) -> Result<Vec<Path>> {
        Encryption::plan(&mut planned.encryption);
        let before = prior.and_then(|prior| prior.repository_policy.as_str());
        let place = Path::new("repository_policy");
        policy::warn(cx, Kind::Repository, &place, before, &planned.repository_policy).await;
        Ok(Vec::new())
    }
}
