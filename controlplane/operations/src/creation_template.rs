// SPDX-License-Identifier: Apache-2.0
//! Templates of the repositories that the server creates by itself: create, list, describe, change, delete, use.
//!
//! A template is used once, when a repository is created; what becomes of either later does not touch the other. Whoever
//! sets a template up decides about the policies of repositories to come, and so needs the rights to set those.

use std::collections::BTreeSet;
use std::sync::Arc;

use hythe_access::{
    AccessError, Action, AuditLog as _, Caller, Decision, Facts, Gate as _, GateError, Granted, RequestContext,
    Resource, Trail, authorize_with, kinds,
};
use hythe_meta::{
    ChangeCreationTemplateError, CreationTemplateRecord, CreationTemplateSettings, MAX_CREATION_TEMPLATES_PER_ACCOUNT,
    NewPolicies, NewRepository, StoreError,
};
use hythe_model::{
    AccountId, CreationTrigger, Encryption, RepositoryName, RepositoryPath, RepositoryPrefix, ResourceTags,
    TagMutability,
};
use hythe_rules::PolicyGrammar;
use hythe_rules::lifecycle::LifecyclePolicyError as InvalidLifecyclePolicy;
use jiff::Timestamp;

use crate::policy_document::{CheckError, check_resource_policy};
use crate::repository::check_encryption;
use crate::{ControlPlane, CreateRepositoryError, DocumentError, EncryptionError, Page};

/// The longest description, in characters (ECR `RepositoryTemplateDescription`).
pub const MAX_TEMPLATE_DESCRIPTION_CHARS: usize = 256;
/// How often a change without an expected version is tried anew when others change the template at the same time.
const MAX_ATTEMPTS: usize = 5;

/// What is wrong with the settings of a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateSettingsError {
    /// No occasion, or one twice.
    #[error("it must have 1 to 3 entries, each once")]
    AppliedFor,
    /// The description is too long.
    #[error("it must have at most {MAX_TEMPLATE_DESCRIPTION_CHARS} characters")]
    Description,
    /// The encryption cannot be had.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// The text is not a policy of a repository.
    #[error(transparent)]
    RepositoryPolicy(DocumentError),
    /// The text is not a lifecycle policy.
    #[error(transparent)]
    LifecyclePolicy(#[from] InvalidLifecyclePolicy),
}

/// There is no template for this prefix. The text is ECR's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The Repository Creation Template with prefix '{0}' does not exist in the registry with id '{1}'")]
pub struct UnknownTemplate(pub RepositoryPrefix, pub AccountId);

/// Why a template was not created or not changed.
#[derive(Debug, thiserror::Error)]
pub enum PutCreationTemplateError {
    /// There is one for this prefix. The text is ECR's.
    #[error("The Repository Creation Template with prefix '{0}' already exists in the registry with id '{1}'")]
    AlreadyExists(RepositoryPrefix, AccountId),
    /// The account has as many as it may have.
    #[error(
        "the registry with id '{0}' has {MAX_CREATION_TEMPLATES_PER_ACCOUNT} repository creation templates, and that is the most"
    )]
    LimitExceeded(AccountId),
    /// There is none for this prefix.
    #[error(transparent)]
    Unknown(#[from] UnknownTemplate),
    /// The request changes nothing.
    #[error("the request changes nothing: give at least one setting")]
    Nothing,
    /// The template has changed since the version that the request names.
    #[error("the repository creation template has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The caller may not do to repositories what the template does.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] TemplateSettingsError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a template was not found, or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum CreationTemplateError {
    /// There is none for this prefix.
    #[error(transparent)]
    Unknown(#[from] UnknownTemplate),
    /// The template has changed since the version that the request names.
    #[error("the repository creation template has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a repository that a template is for was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateFromTemplateError {
    /// It could not be decided whether the caller may.
    #[error(transparent)]
    Access(#[from] GateError),
    /// The settings of the template hold no longer.
    #[error("the repository creation template '{0}' cannot be used any more: {1}")]
    Settings(RepositoryPrefix, TemplateSettingsError),
    /// The repository could not be created.
    #[error(transparent)]
    Create(#[from] CreateRepositoryError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Settings of a template; `None` leaves one as it is (at a creation: what is usual), and an empty text takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreationTemplateChange {
    /// What it is for.
    pub description: Option<String>,
    /// On which occasions it is used.
    pub applied_for: Option<Vec<CreationTrigger>>,
    /// Whether tags of new repositories may move.
    pub tag_mutability: Option<TagMutability>,
    /// Whether an index may be pushed to them before its children, or without some of them.
    pub allow_sparse_indexes: Option<bool>,
    /// How their images are encrypted.
    pub encryption: Option<Encryption>,
    /// Their resource tags.
    pub tags: Option<ResourceTags>,
    /// Their policy.
    pub repository_policy: Option<String>,
    /// Their lifecycle policy.
    pub lifecycle_policy: Option<String>,
}

impl ControlPlane {
    /// Creates a template.
    #[tracing::instrument(name = "creation_template.create", skip_all, fields(template.prefix = %prefix))]
    pub async fn create_creation_template(
        &self,
        granted: &Granted<kinds::CreateRepositoryCreationTemplate>,
        prefix: RepositoryPrefix,
        change: CreationTemplateChange,
    ) -> Result<CreationTemplateRecord, PutCreationTemplateError> {
        let account = granted.resource().clone();
        let settings = self
            .changed_template(CreationTemplateSettings::default(), change)
            .await?;
        self.check_template_rights(granted.caller(), &account, &prefix, &settings)
            .await?;
        let now = self.stored_now();
        let template = CreationTemplateRecord {
            account: account.clone(),
            prefix: prefix.clone(),
            settings,
            created_at: now,
            updated_at: now,
            version: 0,
        };
        let created = self.store().create_creation_template(&template).await;
        created.map_err(|error| match error {
            hythe_meta::CreateCreationTemplateError::AlreadyExists => {
                PutCreationTemplateError::AlreadyExists(prefix, account)
            }
            hythe_meta::CreateCreationTemplateError::LimitExceeded => PutCreationTemplateError::LimitExceeded(account),
            hythe_meta::CreateCreationTemplateError::Store(error) => error.into(),
        })
    }

    /// Lists the templates of the account by prefix.
    #[tracing::instrument(name = "creation_template.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn creation_templates(
        &self,
        granted: &Granted<kinds::DescribeRepositoryCreationTemplates>,
        after: Option<RepositoryPrefix>,
        limit: usize,
    ) -> Result<Page<CreationTemplateRecord, RepositoryPrefix>, StoreError> {
        let found = self
            .store()
            .creation_templates(granted.resource(), after.as_ref(), limit + 1)
            .await?;
        Ok(Page::of(found, limit, |template| template.prefix.clone()))
    }

    /// Describes a template.
    #[tracing::instrument(name = "creation_template.describe", skip_all, fields(template.prefix = %prefix))]
    pub async fn creation_template(
        &self,
        granted: &Granted<kinds::DescribeRepositoryCreationTemplates>,
        prefix: &RepositoryPrefix,
    ) -> Result<CreationTemplateRecord, CreationTemplateError> {
        let account = granted.resource();
        let found = self.store().creation_template(account, prefix).await?;
        Ok(found.ok_or_else(|| UnknownTemplate(prefix.clone(), account.clone()))?)
    }

    /// Changes a template. It counts for repositories that are created from then on.
    #[tracing::instrument(name = "creation_template.update", skip_all, fields(template.prefix = %prefix))]
    pub async fn update_creation_template(
        &self,
        granted: &Granted<kinds::UpdateRepositoryCreationTemplate>,
        prefix: &RepositoryPrefix,
        change: CreationTemplateChange,
        expected_version: Option<i64>,
    ) -> Result<CreationTemplateRecord, PutCreationTemplateError> {
        let account = granted.resource();
        if change == CreationTemplateChange::default() {
            return Err(PutCreationTemplateError::Nothing);
        }
        let unknown = || UnknownTemplate(prefix.clone(), account.clone());
        for _ in 0..MAX_ATTEMPTS {
            let found = self.store().creation_template(account, prefix).await?;
            let found = found.ok_or_else(unknown)?;
            if expected_version.is_some_and(|version| version != found.version) {
                break;
            }
            let settings = self.changed_template(found.settings, change.clone()).await?;
            self.check_template_rights(granted.caller(), account, prefix, &settings)
                .await?;
            let now = self.stored_now();
            let updated = self
                .store()
                .update_creation_template(account, prefix, settings, now, found.version)
                .await;
            match updated {
                Ok(updated) => return Ok(updated),
                Err(ChangeCreationTemplateError::VersionMismatch) => {}
                Err(ChangeCreationTemplateError::Unknown) => return Err(unknown().into()),
                Err(ChangeCreationTemplateError::Store(error)) => return Err(error.into()),
            }
        }
        Err(PutCreationTemplateError::VersionMismatch)
    }

    /// Deletes a template; the repositories that were created from it stay as they are.
    #[tracing::instrument(name = "creation_template.delete", skip_all, fields(template.prefix = %prefix))]
    pub async fn delete_creation_template(
        &self,
        granted: &Granted<kinds::DeleteRepositoryCreationTemplate>,
        prefix: &RepositoryPrefix,
        expected_version: Option<i64>,
    ) -> Result<CreationTemplateRecord, CreationTemplateError> {
        let account = granted.resource();
        let deleted = self
            .store()
            .delete_creation_template(account, prefix, expected_version)
            .await;
        deleted.map_err(|error| match error {
            ChangeCreationTemplateError::Unknown => UnknownTemplate(prefix.clone(), account.clone()).into(),
            ChangeCreationTemplateError::VersionMismatch => CreationTemplateError::VersionMismatch,
            ChangeCreationTemplateError::Store(error) => error.into(),
        })
    }

    /// Creates a repository that somebody needs and that is not there, from the template that is for it; says whether it is
    /// there now. It is not created if `caller` may not create it (with the tags of the template), or if there is no
    /// template and `trigger` needs one.
    #[tracing::instrument(name = "repository.create_from_template", skip_all, fields(
        account.id = %path.account, repository.name = %path.name, trigger = %trigger))]
    pub async fn create_repository_for(
        &self,
        caller: &Caller,
        path: &RepositoryPath,
        trigger: CreationTrigger,
    ) -> Result<bool, CreateFromTemplateError> {
        let template = self.template_of(path, trigger).await?;
        let needs_template = trigger == CreationTrigger::CreateOnPush && !self.settings().create_on_push;
        if template.is_none() && needs_template {
            return Ok(false);
        }
        let prefix = template.as_ref().map(|template| template.prefix.clone());
        let settings = template.map(|template| template.settings).unwrap_or_default();
        let context = tags_context(&settings.tags);
        let gate = &**self.gate();
        let may_create = authorize_with::<kinds::CreateRepository>(gate, caller, path.clone(), &context).await;
        if !is_allowed(may_create)? {
            return Ok(false);
        }
        if !settings.tags.is_empty() {
            let may_tag = authorize_with::<kinds::TagResource>(gate, caller, path.clone(), &context).await;
            if !is_allowed(may_tag)? {
                return Ok(false);
            }
        }
        let trail = self.creation_trail(caller, path, trigger, prefix.as_ref());
        self.create_by_template(path, prefix, &settings, trail).await?;
        Ok(true)
    }

    /// Creates a repository for a mirror, as a first pull through the cache would. Nobody asks: whoever set the mirror had the
    /// right to let repositories come.
    pub async fn create_mirrored_repository(&self, path: &RepositoryPath) -> Result<(), CreateFromTemplateError> {
        let template = self.template_of(path, CreationTrigger::PullThroughCache).await?;
        let prefix = template.as_ref().map(|template| template.prefix.clone());
        let settings = template.map(|template| template.settings).unwrap_or_default();
        let trail = self.service_trail("CreateRepository", &path.account, Some(&path.name));
        self.create_by_template(path, prefix, &settings, trail).await
    }

    async fn template_of(
        &self,
        path: &RepositoryPath,
        trigger: CreationTrigger,
    ) -> Result<Option<CreationTemplateRecord>, StoreError> {
        let templates = self
            .store()
            .creation_templates(&path.account, None, MAX_CREATION_TEMPLATES_PER_ACCOUNT)
            .await?;
        Ok(best_template(templates, &path.name, trigger))
    }

    async fn create_by_template(
        &self,
        path: &RepositoryPath,
        prefix: Option<RepositoryPrefix>,
        settings: &CreationTemplateSettings,
        trail: Trail,
    ) -> Result<(), CreateFromTemplateError> {
        let new = self.new_repository(path, settings).await;
        let new = new.map_err(|error| match (error, prefix) {
            (TemplateUseError::Settings(error), Some(prefix)) => CreateFromTemplateError::Settings(prefix, error),
            (TemplateUseError::Settings(error), None) => StoreError::Corrupt(error.to_string()).into(),
            (TemplateUseError::Store(error), _) => error.into(),
        })?;
        let created = Box::pin(trail.follow(self.store().create_repository(new))).await;
        self.gate().forget_policies();
        match created {
            // Somebody else needed it at the same time.
            Ok(_) | Err(hythe_meta::CreateRepositoryError::AlreadyExists) => Ok(()),
            Err(hythe_meta::CreateRepositoryError::LimitExceeded(limit)) => {
                Err(CreateRepositoryError::LimitExceeded(path.account.clone(), limit).into())
            }
            Err(hythe_meta::CreateRepositoryError::IdempotencyMismatch) => {
                Err(CreateRepositoryError::IdempotencyMismatch.into())
            }
            Err(hythe_meta::CreateRepositoryError::Virtual(owner)) => {
                Err(CreateRepositoryError::Virtual(path.clone(), owner).into())
            }
            Err(hythe_meta::CreateRepositoryError::Store(error)) => Err(error.into()),
        }
    }

    /// What a template makes of a path. What was valid when the template was stored may be so no more.
    async fn new_repository(
        &self,
        path: &RepositoryPath,
        settings: &CreationTemplateSettings,
    ) -> Result<NewRepository, TemplateUseError> {
        check_encryption(&settings.encryption).map_err(TemplateSettingsError::from)?;
        let now = self.now();
        let mut policies = NewPolicies::default();
        if let Some(text) = &settings.repository_policy {
            let checked = check_resource_policy(self.store(), text, PolicyGrammar::Repository, now).await?;
            policies.repository = Some((text.clone(), checked.as_of));
        }
        if let Some(text) = &settings.lifecycle_policy {
            self.check_lifecycle_policy(text).map_err(TemplateSettingsError::from)?;
            let due = now.checked_add(self.lifecycle().period).unwrap_or(Timestamp::MAX);
            policies.lifecycle = Some((text.clone(), due));
        }
        Ok(NewRepository {
            path: path.clone(),
            tag_mutability: settings.tag_mutability.clone(),
            scan_on_push: false,
            allow_sparse_indexes: settings.allow_sparse_indexes,
            encryption: settings.encryption.clone(),
            tags: settings.tags.clone(),
            created_at: now,
            idempotency: None,
            policies,
        })
    }

    /// A record of its own for the new repository: whoever asked for something else brought it about.
    fn creation_trail(
        &self,
        caller: &Caller,
        path: &RepositoryPath,
        trigger: CreationTrigger,
        prefix: Option<&RepositoryPrefix>,
    ) -> Trail {
        let now = self.now();
        let asked = Resource::Repository(path.clone());
        let mut facts = Facts {
            operation: "CreateRepository",
            event: Some("CreateRepository"),
            default_event: "CreateRepository",
            is_change: true,
            account: Some(path.account.clone()),
            repository: Some(path.name.as_str().into()),
            parameters: vec![("trigger".into(), format!("\"{trigger}\""))],
            ..Facts::default()
        };
        // A prefix needs no escapes.
        let named = prefix.map(|prefix| ("templatePrefix".into(), format!("\"{prefix}\"")));
        facts.parameters.extend(named);
        facts.set_caller(&Arc::new(caller.clone()));
        facts.set_decision(Action::CreateRepository, asked, &Decision::Allowed(None));
        // Both have the id that the client is told; one is made for both if there is none yet.
        let own = Trail::without_id(now, facts);
        if let (Some(request), Some(queue)) = (Trail::current(), self.audit()) {
            let id = request.request_or(|| queue.next_request(now)).clone();
            own.request_or(|| id);
        }
        own
    }

    /// Whether the caller may do to repositories below a prefix what a template does when it is used (ECR API reference,
    /// `CreateRepositoryCreationTemplate`).
    async fn check_template_rights(
        &self,
        caller: &Caller,
        account: &AccountId,
        prefix: &RepositoryPrefix,
        settings: &CreationTemplateSettings,
    ) -> Result<(), AccessError> {
        let below = if prefix.is_root() {
            "*".to_owned()
        } else {
            format!("{prefix}/*")
        };
        let region = &self.settings().region;
        let context = RequestContext {
            // To policies this is the resource: all repositories that the template may make.
            about: Some(format!("arn:aws:ecr:{region}:{account}:repository/{below}").into()),
            ..tags_context(&settings.tags)
        };
        let needed = [
            (Action::CreateRepository, true),
            (Action::TagResource, !settings.tags.is_empty()),
            (Action::SetRepositoryPolicy, settings.repository_policy.is_some()),
            (Action::PutLifecyclePolicy, settings.lifecycle_policy.is_some()),
        ];
        let resource = Resource::Registry(account.clone());
        let caller = Arc::new(caller.clone());
        for (action, _) in needed.into_iter().filter(|(_, is_needed)| *is_needed) {
            let decision = self.gate().decide(&caller, action, &resource, &context).await?;
            if let Decision::Denied(denial) = &decision {
                Trail::note(|facts| facts.set_decision(action, resource.clone(), &decision));
                return Err(AccessError::Denied(denial.clone()));
            }
        }
        Ok(())
    }

    /// `settings` with `change`, checked.
    async fn changed_template(
        &self,
        settings: CreationTemplateSettings,
        change: CreationTemplateChange,
    ) -> Result<CreationTemplateSettings, PutCreationTemplateError> {
        fn text(old: Option<String>, new: Option<String>) -> Option<String> {
            new.or(old).filter(|text| !text.is_empty())
        }
        let mut applied_for = change.applied_for.unwrap_or(settings.applied_for);
        let count = applied_for.len();
        applied_for = applied_for.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        if applied_for.is_empty() || applied_for.len() != count {
            return Err(TemplateSettingsError::AppliedFor.into());
        }
        let changed = CreationTemplateSettings {
            description: text(settings.description, change.description),
            applied_for,
            tag_mutability: change.tag_mutability.unwrap_or(settings.tag_mutability),
            allow_sparse_indexes: change.allow_sparse_indexes.unwrap_or(settings.allow_sparse_indexes),
            encryption: change.encryption.unwrap_or(settings.encryption),
            tags: change.tags.unwrap_or(settings.tags),
            repository_policy: text(settings.repository_policy, change.repository_policy),
            lifecycle_policy: text(settings.lifecycle_policy, change.lifecycle_policy),
        };
        let is_too_long = |text: &String| text.chars().count() > MAX_TEMPLATE_DESCRIPTION_CHARS;
        if changed.description.as_ref().is_some_and(is_too_long) {
            return Err(TemplateSettingsError::Description.into());
        }
        check_encryption(&changed.encryption).map_err(TemplateSettingsError::from)?;
        if let Some(text) = &changed.repository_policy {
            match check_resource_policy(self.store(), text, PolicyGrammar::Repository, self.now()).await {
                Ok(_) => {}
                Err(CheckError::Document(error)) => return Err(TemplateSettingsError::RepositoryPolicy(error).into()),
                Err(CheckError::Store(error)) => return Err(error.into()),
            }
        }
        if let Some(text) = &changed.lifecycle_policy {
            self.check_lifecycle_policy(text).map_err(TemplateSettingsError::from)?;
        }
        Ok(changed)
    }
}

/// Why a template could not be used.
#[derive(Debug)]
enum TemplateUseError {
    Settings(TemplateSettingsError),
    Store(StoreError),
}

impl From<TemplateSettingsError> for TemplateUseError {
    fn from(error: TemplateSettingsError) -> Self {
        Self::Settings(error)
    }
}

impl From<CheckError> for TemplateUseError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Document(error) => Self::Settings(TemplateSettingsError::RepositoryPolicy(error)),
            CheckError::Store(error) => Self::Store(error),
        }
    }
}

/// Of the templates that are for a repository on an occasion, the one with the longest prefix.
fn best_template(
    templates: Vec<CreationTemplateRecord>,
    name: &RepositoryName,
    trigger: CreationTrigger,
) -> Option<CreationTemplateRecord> {
    let fits = |template: &CreationTemplateRecord| {
        template.prefix.contains(name) && template.settings.applied_for.contains(&trigger)
    };
    let fitting = templates.into_iter().filter(fits);
    fitting.max_by_key(|template| template.prefix.specificity())
}

fn tags_context(tags: &ResourceTags) -> RequestContext {
    let tags = tags.iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
    RequestContext {
        request_tags: tags.collect(),
        ..RequestContext::default()
    }
}

/// A no is an answer here, not an error.
fn is_allowed<T>(outcome: Result<T, AccessError>) -> Result<bool, GateError> {
    match outcome {
        Ok(_) => Ok(true),
        Err(AccessError::Denied(_) | AccessError::Unauthenticated(_)) => Ok(false),
        Err(AccessError::Unavailable(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(prefix: &str, applied_for: &[CreationTrigger]) -> CreationTemplateRecord {
        CreationTemplateRecord {
            account: AccountId::default(),
            prefix: prefix.parse().unwrap(),
            settings: CreationTemplateSettings {
                applied_for: applied_for.to_vec(),
                ..CreationTemplateSettings::default()
            },
            created_at: Timestamp::UNIX_EPOCH,
            updated_at: Timestamp::UNIX_EPOCH,
            version: 1,
        }
    }

    #[test]
    fn the_longest_prefix_of_the_occasion_decides_and_root_comes_last() {
        use CreationTrigger::{CreateOnPush, PullThroughCache, Replication};
        let templates = vec![
            template("ROOT", &[CreateOnPush, PullThroughCache]),
            template("prod", &[CreateOnPush]),
            template("prod/team", &[Replication]),
        ];
        let cases = [
            ("prod/team/web", CreateOnPush, Some("prod")),
            ("prod/team/web", Replication, Some("prod/team")),
            ("prod/web", PullThroughCache, Some("ROOT")),
            ("prod", CreateOnPush, Some("ROOT")),
            ("production/web", CreateOnPush, Some("ROOT")),
            ("prod/web", Replication, None),
        ];
        for (name, trigger, wanted) in cases {
            let found = best_template(templates.clone(), &name.parse().unwrap(), trigger);
            let found = found.map(|template| template.prefix.to_string());
            assert_eq!(found.as_deref(), wanted, "{name} {trigger}");
        }
    }
}
