// SPDX-License-Identifier: Apache-2.0
//! Replication: destinations, the document and the rules beside it, how it goes, and what was given up.

use std::collections::BTreeSet;

use hythe_access::{Granted, Secret, kinds};
use hythe_meta::{
    ChangeDestinationError, DestinationKind, DestinationRecord, DestinationSettings, ImageReplicationStatus,
    MAX_REPLICATION_DESTINATION_OBJECTS, ReplicationBacklog, ReplicationRules, ReplicationTask,
    RepositoryReplicationStatus, RuleName, StoreError, TaskFilter,
};
use hythe_model::{
    AccountId, Digest, ParseError, Reference, Region, RegistryPlace, RegistryUrl, RepositoryPath, RepositoryPrefix,
};
use hythe_rules::replication::{
    MAX_NAMED_REPLICATION_RULES, MAX_REPLICATION_RULES, MIN_BANDWIDTH, ReplicationRule, ReplicationRuleError,
};
use jiff::Timestamp;

use crate::{ControlPlane, CryptoError, Page, UnknownImage, UnknownRepository};

/// The longest description, in characters.
pub const MAX_DESTINATION_DESCRIPTION_CHARS: usize = 256;
/// The longest user name and the longest password, in characters.
const MAX_CREDENTIAL_CHARS: usize = 4096;
/// How often a change without an expected version is tried anew when others change the same at the same time.
const MAX_ATTEMPTS: usize = 5;

/// There is no such destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The replication destination with name '{0}' does not exist in the registry with id '{1}'")]
pub struct UnknownDestination(pub Region, pub AccountId);

/// What is wrong with the settings of a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationSettingsError {
    /// The address is none.
    #[error(transparent)]
    Endpoint(ParseError),
    /// The description is too long.
    #[error("it must have at most {MAX_DESTINATION_DESCRIPTION_CHARS} characters")]
    Description,
    /// The user or the password cannot be sent.
    #[error("user and password must have 1 to {MAX_CREDENTIAL_CHARS} characters, and the user no colon")]
    Credential,
    /// The stored password would go where it was not given for.
    #[error(
        "the stored password was not given for `{0}`: send user and password in `credential` together with the address, or null to log in no more"
    )]
    CredentialOfOtherAddress(String),
    /// The prefix is none.
    #[error(transparent)]
    Prefix(ParseError),
    /// The address of the control plane is none.
    #[error(transparent)]
    ControlEndpoint(ParseError),
    /// Another registry has no control plane that could be spoken to.
    #[error("a control plane is for destinations of kind HYTHE only")]
    ControlEndpointOfOther,
    /// Another deployment of Hythe has the same names.
    #[error("a prefix is for destinations of kind OCI only")]
    PrefixOfHythe,
    /// Too slow.
    #[error("it must be at least {MIN_BANDWIDTH}")]
    Bandwidth,
}

/// Why a destination was not found, not changed or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// There is none of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownDestination),
    /// There is one of this name.
    #[error("The replication destination with name '{0}' already exists in the registry with id '{1}'")]
    AlreadyExists(Region, AccountId),
    /// The account has as many as it may have.
    #[error(
        "the registry with id '{0}' has {MAX_REPLICATION_DESTINATION_OBJECTS} replication destinations, and that is the most"
    )]
    LimitExceeded(AccountId),
    /// Rules name it: which.
    #[error("replication rules name the destination '{0}' ({1}): change these first")]
    InUse(Region, String),
    /// Rules bring settings there.
    #[error(
        "replication rules bring settings of repositories to the destination '{0}', for which its control plane must be known: change these first"
    )]
    NeedsControlPlane(Region),
    /// The request changes nothing.
    #[error("the request changes nothing: give at least one setting")]
    Nothing,
    /// It has changed since the version that the request names.
    #[error("the replication destination has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] DestinationSettingsError),
    /// The cryptography library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why rules were not found or not put.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationRulesError {
    /// There is no such rule.
    #[error("The replication rule with name '{0}' does not exist in the registry with id '{1}'")]
    Unknown(RuleName, AccountId),
    /// A rule names a destination that is not set up.
    #[error("the replication destination '{0}' does not exist: create it first")]
    UnknownDestination(Region),
    /// A rule brings settings to a destination whose control plane is not known.
    #[error(
        "settings of repositories go to the control plane of another deployment: the destination '{0}' must be of kind HYTHE and have a `controlEndpoint`"
    )]
    NoControlPlane(Region),
    /// A rule names an account of a registry that knows none of these accounts. The number is its place in the document,
    /// from 0.
    #[error(
        "the destination '{0}' is of kind OCI, and accounts are for deployments of Hythe: leave `registryId` away, or give the own account '{1}'"
    )]
    AccountOfOther(Region, AccountId, Option<usize>),
    /// A rule is wrong. The number is its place in the document, from 0.
    #[error("{0}")]
    Rule(ReplicationRuleError, Option<usize>),
    /// There are as many rules that stand by themselves as there may be.
    #[error(
        "the registry with id '{0}' has {MAX_NAMED_REPLICATION_RULES} named replication rules, and that is the most"
    )]
    LimitExceeded(AccountId),
    /// They have changed since the version that the request names.
    #[error("the replication rules have changed since you read them: read them again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why tasks were not found.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationTaskError {
    /// There is no such destination.
    #[error(transparent)]
    UnknownDestination(#[from] UnknownDestination),
    /// There is no such task.
    #[error(
        "The replication task with id '{0}' does not exist in the registry with id '{1}': it is done, or never was"
    )]
    Unknown(String, AccountId),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why the state of an image at its destinations was not found.
#[derive(Debug, thiserror::Error)]
pub enum ReplicationStatusError {
    /// There is no such repository.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// There is no such image.
    #[error(transparent)]
    UnknownImage(#[from] UnknownImage),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who logs in at a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationCredential {
    /// The user.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// Settings of a destination; `None` leaves one as it is, and an empty text takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[allow(clippy::option_option, reason = "three states: as it is, none, a value")]
pub struct DestinationChange {
    /// Where its registry is.
    pub endpoint: Option<String>,
    /// Where its control plane is.
    pub control_endpoint: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Who logs in there.
    pub credential: Option<Option<DestinationCredential>>,
    /// What stands before the names of repositories there.
    pub repository_prefix: Option<String>,
    /// How fast each node may send.
    pub bytes_per_second: Option<Option<u64>>,
}

impl ControlPlane {
    /// Sets up a destination.
    #[tracing::instrument(name = "replication_destination.create", skip_all, fields(destination = %name))]
    pub async fn create_replication_destination(
        &self,
        granted: &Granted<kinds::PutReplicationConfiguration>,
        name: Region,
        kind: DestinationKind,
        change: DestinationChange,
    ) -> Result<DestinationRecord, DestinationError> {
        let account = granted.resource().clone();
        let bare = DestinationSettings {
            kind,
            endpoint: String::new(),
            control_endpoint: None,
            description: None,
            username: None,
            sealed_password: None,
            repository_prefix: None,
            bytes_per_second: None,
        };
        let now = self.stored_now();
        let destination = DestinationRecord {
            settings: self.changed_destination(&account, &name, bare, change)?,
            account: account.clone(),
            name: name.clone(),
            created_at: now,
            updated_at: now,
            version: 0,
            failures: 0,
            open_at: Timestamp::UNIX_EPOCH,
        };
        let created = self.store().create_replication_destination(&destination).await;
        created.map_err(|error| match error {
            hythe_meta::CreateDestinationError::AlreadyExists => DestinationError::AlreadyExists(name, account),
            hythe_meta::CreateDestinationError::LimitExceeded => DestinationError::LimitExceeded(account),
            hythe_meta::CreateDestinationError::Store(error) => error.into(),
        })
    }

    /// Lists the destinations of the account by name.
    #[tracing::instrument(name = "replication_destination.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn replication_destinations(
        &self,
        granted: &Granted<kinds::DescribeRegistry>,
        after: Option<Region>,
        limit: usize,
    ) -> Result<Page<DestinationRecord, Region>, StoreError> {
        let found = self
            .store()
            .replication_destinations(granted.resource(), after.as_ref(), limit + 1)
            .await?;
        Ok(Page::of(found, limit, |destination| destination.name.clone()))
    }

    /// Describes a destination.
    #[tracing::instrument(name = "replication_destination.describe", skip_all, fields(destination = %name))]
    pub async fn replication_destination(
        &self,
        granted: &Granted<kinds::DescribeRegistry>,
        name: &Region,
    ) -> Result<DestinationRecord, DestinationError> {
        let account = granted.resource();
        let found = self.store().replication_destination(account, name).await?;
        Ok(found.ok_or_else(|| UnknownDestination(name.clone(), account.clone()))?)
    }

    /// Changes a destination; what could not be sent there is tried again at once.
    ///
    /// A stored password goes only to addresses (scheme, host and port) for which it was given: with another one, it has to be
    /// given again.
    #[tracing::instrument(name = "replication_destination.update", skip_all, fields(destination = %name))]
    pub async fn update_replication_destination(
        &self,
        granted: &Granted<kinds::PutReplicationConfiguration>,
        name: &Region,
        change: DestinationChange,
        expected_version: Option<i64>,
    ) -> Result<DestinationRecord, DestinationError> {
        let account = granted.resource();
        if change == DestinationChange::default() {
            return Err(DestinationError::Nothing);
        }
        for _ in 0..MAX_ATTEMPTS {
            let found = self.store().replication_destination(account, name).await?;
            let found = found.ok_or_else(|| UnknownDestination(name.clone(), account.clone()))?;
            if expected_version.is_some_and(|version| version != found.version) {
                break;
            }
            let settings = self.changed_destination(account, name, found.settings, change.clone())?;
            let now = self.stored_now();
            let updated = self
                .store()
                .update_replication_destination(account, name, settings, now, found.version)
                .await;
            match updated {
                Ok(updated) => return Ok(updated),
                Err(ChangeDestinationError::VersionMismatch) => {}
                Err(error) => return Err(destination_error(error, name, account)),
            }
        }
        Err(DestinationError::VersionMismatch)
    }

    /// Deletes a destination that no rule names; what was still to be sent there is not sent.
    #[tracing::instrument(name = "replication_destination.delete", skip_all, fields(destination = %name))]
    pub async fn delete_replication_destination(
        &self,
        granted: &Granted<kinds::PutReplicationConfiguration>,
        name: &Region,
        expected_version: Option<i64>,
    ) -> Result<DestinationRecord, DestinationError> {
        let account = granted.resource();
        let deleted = self
            .store()
            .delete_replication_destination(account, name, expected_version)
            .await;
        match deleted {
            Ok(deleted) => Ok(deleted),
            Err(ChangeDestinationError::InUse) => {
                let rules = self.all_replication_rules(account).await?;
                let names = |found: &ReplicationRules| found.rules.iter().any(|rule| sends_to(rule, name));
                let shown: Vec<_> = rules
                    .iter()
                    .filter(|found| names(found))
                    .map(|found| called(&found.name))
                    .collect();
                Err(DestinationError::InUse(name.clone(), shown.join(", ")))
            }
            Err(error) => Err(destination_error(error, name, account)),
        }
    }

    /// The password of a destination that has one; `None` if it cannot be opened with the key of this deployment.
    #[must_use]
    pub fn destination_password(&self, destination: &DestinationRecord) -> Option<Secret> {
        self.opened_password(&destination.account, &destination.name, &destination.settings)
    }

    fn opened_password(&self, account: &AccountId, name: &Region, settings: &DestinationSettings) -> Option<Secret> {
        let (sealed, keys) = (settings.sealed_password.as_deref()?, self.gate().keys());
        let text = keys
            .unseal(&bound_to(account, name, &origins(settings)), sealed)
            .or_else(|| keys.unseal(&formerly_bound_to(account, name), sealed))?;
        Some(Secret::new(String::from_utf8_lossy(&text)))
    }

    /// The rules of the registry's document; none if nobody has put one.
    #[tracing::instrument(name = "replication.get", skip_all, fields(account.id = %granted.resource()))]
    pub async fn replication_configuration(
        &self,
        granted: &Granted<kinds::DescribeRegistry>,
    ) -> Result<Option<ReplicationRules>, StoreError> {
        self.store()
            .replication_rules(granted.resource(), &RuleName::document())
            .await
    }

    /// Puts the registry's document; without rules it is taken away.
    #[tracing::instrument(name = "replication.put", skip_all, fields(account.id = %granted.resource()))]
    pub async fn put_replication_configuration(
        &self,
        granted: &Granted<kinds::PutReplicationConfiguration>,
        rules: Vec<ReplicationRule>,
        expected_version: Option<i64>,
    ) -> Result<Option<ReplicationRules>, ReplicationRulesError> {
        let account = granted.resource();
        if rules.len() > MAX_REPLICATION_RULES {
            let error = ReplicationRuleError::TooManyRules(MAX_REPLICATION_RULES);
            return Err(ReplicationRulesError::Rule(error, None));
        }
        for (number, rule) in rules.iter().enumerate() {
            rule.check(&self.home(account))
                .map_err(|error| ReplicationRulesError::Rule(error, Some(number)))?;
        }
        self.check_accounts(account, &rules).await?;
        let name = RuleName::document();
        let put = self.put_rules(account, &name, rules, expected_version).await?;
        Ok(put.1)
    }

    /// Lists the rules that stand by themselves, by name.
    #[tracing::instrument(name = "replication_rule.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn named_replication_rules(
        &self,
        granted: &Granted<kinds::DescribeRegistry>,
        after: Option<RuleName>,
        limit: usize,
    ) -> Result<Page<ReplicationRules, RuleName>, StoreError> {
        let found = self
            .store()
            .named_replication_rules(granted.resource(), after.as_ref(), limit + 1)
            .await?;
        Ok(Page::of(found, limit, |rule| rule.name.clone()))
    }

    /// Describes a rule that stands by itself.
    #[tracing::instrument(name = "replication_rule.describe", skip_all, fields(rule.name = %name))]
    pub async fn named_replication_rule(
        &self,
        granted: &Granted<kinds::DescribeRegistry>,
        name: &RuleName,
    ) -> Result<ReplicationRules, ReplicationRulesError> {
        let account = granted.resource();
        let found = self.store().replication_rules(account, name).await?;
        found.ok_or_else(|| ReplicationRulesError::Unknown(name.clone(), account.clone()))
    }

    /// Puts a rule that stands by itself.
    #[tracing::instrument(name = "replication_rule.put", skip_all, fields(rule.name = %name))]
    pub async fn put_named_replication_rule(
        &self,
        granted: &Granted<kinds::PutReplicationConfiguration>,
        name: &RuleName,
        rule: ReplicationRule,
        expected_version: Option<i64>,
    ) -> Result<ReplicationRules, ReplicationRulesError> {
        let account = granted.resource();
        rule.check(&self.home(account))
            .map_err(|error| ReplicationRulesError::Rule(error, None))?;
        let checked = self.check_accounts(account, std::slice::from_ref(&rule)).await;
        checked.map_err(|error| match error {
            ReplicationRulesError::AccountOfOther(region, own, _) => {
                ReplicationRulesError::AccountOfOther(region, own, None)
            }
            error => error,
        })?;
        let put = self.put_rules(account, name, vec![rule], expected_version).await?;
        put.1
            .ok_or_else(|| ReplicationRulesError::Unknown(name.clone(), account.clone()))
    }

    /// Deletes a rule that stands by itself; what was still to be sent because of it is not sent.
    #[tracing::instrument(name = "replication_rule.delete", skip_all, fields(rule.name = %name))]
    pub async fn delete_named_replication_rule(
        &self,
        granted: &Granted<kinds::PutReplicationConfiguration>,
        name: &RuleName,
        expected_version: Option<i64>,
    ) -> Result<ReplicationRules, ReplicationRulesError> {
        let account = granted.resource();
        let put = self.put_rules(account, name, Vec::new(), expected_version).await?;
        put.0
            .ok_or_else(|| ReplicationRulesError::Unknown(name.clone(), account.clone()))
    }

    /// What became of an image at each destination.
    #[tracing::instrument(name = "image.replication_status", skip_all, fields(
        account.id = %granted.resource().account, repository.name = %granted.resource().name))]
    pub async fn image_replication_status(
        &self,
        granted: &Granted<kinds::DescribeImageReplicationStatus>,
        digest: &Digest,
    ) -> Result<Vec<ImageReplicationStatus>, ReplicationStatusError> {
        let path: &RepositoryPath = granted.resource();
        let reference = Reference::Digest(*digest);
        let found = self.store().replication_status(path, digest).await?;
        let found = found.ok_or_else(|| UnknownRepository(path.clone()))?;
        if found.is_empty() && self.store().image_detail(path, &reference).await?.is_none() {
            let unknown = UnknownImage {
                repository: path.clone(),
                reference,
            };
            return Err(unknown.into());
        }
        Ok(found)
    }

    /// What became of the settings of a repository at each destination.
    #[tracing::instrument(name = "repository.replication_status", skip_all, fields(
        account.id = %granted.resource().account, repository.name = %granted.resource().name))]
    pub async fn repository_replication_status(
        &self,
        granted: &Granted<kinds::DescribeRepositories>,
    ) -> Result<Vec<RepositoryReplicationStatus>, ReplicationStatusError> {
        let path: &RepositoryPath = granted.resource();
        let found = self.store().settings_replication_status(path).await?;
        Ok(found.ok_or_else(|| UnknownRepository(path.clone()))?)
    }

    /// What waits for each destination that a rule names, or that something still waits for, by name.
    #[tracing::instrument(name = "replication.progress", skip_all, fields(account.id = %granted.resource()))]
    pub async fn replication_progress(
        &self,
        granted: &Granted<kinds::DescribeRegistry>,
    ) -> Result<Vec<ReplicationBacklog>, StoreError> {
        let account = granted.resource();
        let mut backlog = self.store().replication_backlog(Some(account)).await?;
        let rules = self
            .all_replication_rules(account)
            .await?
            .into_iter()
            .flat_map(|found| found.rules);
        let places: BTreeSet<_> = rules.flat_map(|rule| rule.destinations).collect();
        for place in places {
            if !backlog.iter().any(|waiting| waiting.place == place) {
                backlog.push(ReplicationBacklog {
                    place,
                    waiting: 0,
                    dead: 0,
                    oldest_at: None,
                });
            }
        }
        backlog.sort_by(|one, other| one.place.cmp(&other.place));
        Ok(backlog)
    }

    /// What waits or was given up, oldest first.
    #[tracing::instrument(name = "replication_task.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn replication_tasks(
        &self,
        granted: &Granted<kinds::DescribeRegistry>,
        filter: &TaskFilter,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<ReplicationTask, String>, ReplicationTaskError> {
        self.require_tasks(granted.resource(), filter).await?;
        let found = self
            .store()
            .replication_tasks(granted.resource(), filter, after.as_deref(), limit + 1)
            .await?;
        Ok(Page::of(found, limit, |task| task.id.clone()))
    }

    /// Tries again what was given up; says how much.
    #[tracing::instrument(name = "replication_task.retry", skip_all, fields(account.id = %granted.resource()))]
    pub async fn retry_replication_tasks(
        &self,
        granted: &Granted<kinds::PutReplicationConfiguration>,
        filter: &TaskFilter,
    ) -> Result<usize, ReplicationTaskError> {
        self.require_tasks(granted.resource(), filter).await?;
        let now = self.now();
        Ok(self.store().retry_replications(granted.resource(), filter, now).await?)
    }

    /// Forgets what was given up; says how much.
    #[tracing::instrument(name = "replication_task.drop", skip_all, fields(account.id = %granted.resource()))]
    pub async fn drop_replication_tasks(
        &self,
        granted: &Granted<kinds::PutReplicationConfiguration>,
        filter: &TaskFilter,
    ) -> Result<usize, ReplicationTaskError> {
        self.require_tasks(granted.resource(), filter).await?;
        Ok(self.store().drop_replications(granted.resource(), filter).await?)
    }

    /// The document, and the rules that stand by themselves.
    async fn all_replication_rules(&self, account: &AccountId) -> Result<Vec<ReplicationRules>, StoreError> {
        let document = self.store().replication_rules(account, &RuleName::document()).await?;
        let named = self
            .store()
            .named_replication_rules(account, None, MAX_NAMED_REPLICATION_RULES);
        Ok(document.into_iter().chain(named.await?).collect())
    }

    /// That there is what a filter names.
    async fn require_tasks(&self, account: &AccountId, filter: &TaskFilter) -> Result<(), ReplicationTaskError> {
        if let Some(name) = &filter.destination
            && self.store().replication_destination(account, name).await?.is_none()
        {
            return Err(UnknownDestination(name.clone(), account.clone()).into());
        }
        if let Some(id) = &filter.id {
            let this = TaskFilter {
                id: Some(id.clone()),
                ..TaskFilter::default()
            };
            if self
                .store()
                .replication_tasks(account, &this, None, 1)
                .await?
                .is_empty()
            {
                return Err(ReplicationTaskError::Unknown(id.clone(), account.clone()));
            }
        }
        Ok(())
    }

    /// That rules name other accounts of deployments of Hythe only: any other registry would get everything twice.
    async fn check_accounts(
        &self,
        account: &AccountId,
        rules: &[ReplicationRule],
    ) -> Result<(), ReplicationRulesError> {
        for (number, rule) in rules.iter().enumerate() {
            for place in rule.destinations.iter().filter(|place| place.account != *account) {
                let found = self.store().replication_destination(account, &place.region).await?;
                if found.is_some_and(|found| found.settings.kind == DestinationKind::Oci) {
                    let region = place.region.clone();
                    return Err(ReplicationRulesError::AccountOfOther(
                        region,
                        account.clone(),
                        Some(number),
                    ));
                }
            }
        }
        Ok(())
    }

    fn home(&self, account: &AccountId) -> RegistryPlace {
        RegistryPlace {
            region: self.settings().region.clone(),
            account: account.clone(),
        }
    }

    async fn put_rules(
        &self,
        account: &AccountId,
        name: &RuleName,
        rules: Vec<ReplicationRule>,
        expected_version: Option<i64>,
    ) -> Result<(Option<ReplicationRules>, Option<ReplicationRules>), ReplicationRulesError> {
        let now = self.stored_now();
        let put = self
            .store()
            .put_replication_rules(account, name, rules, now, expected_version)
            .await;
        put.map_err(|error| match error {
            hythe_meta::PutReplicationRulesError::UnknownDestination(region) => {
                ReplicationRulesError::UnknownDestination(region)
            }
            hythe_meta::PutReplicationRulesError::NoControlPlane(region) => {
                ReplicationRulesError::NoControlPlane(region)
            }
            hythe_meta::PutReplicationRulesError::Rule(error) => ReplicationRulesError::Rule(error, None),
            hythe_meta::PutReplicationRulesError::LimitExceeded => {
                ReplicationRulesError::LimitExceeded(account.clone())
            }
            hythe_meta::PutReplicationRulesError::Unknown => {
                ReplicationRulesError::Unknown(name.clone(), account.clone())
            }
            hythe_meta::PutReplicationRulesError::VersionMismatch => ReplicationRulesError::VersionMismatch,
            hythe_meta::PutReplicationRulesError::Store(error) => error.into(),
        })
    }

    /// `settings` with `change`, checked.
    fn changed_destination(
        &self,
        account: &AccountId,
        name: &Region,
        mut settings: DestinationSettings,
        change: DestinationChange,
    ) -> Result<DestinationSettings, DestinationError> {
        fn text(old: Option<String>, new: Option<String>) -> Option<String> {
            new.or(old).filter(|text| !text.is_empty())
        }
        let before = origins(&settings);
        let stored = self.opened_password(account, name, &settings);
        if let Some(endpoint) = change.endpoint {
            let endpoint = endpoint.trim_end_matches('/');
            let parsed: RegistryUrl = endpoint.parse().map_err(DestinationSettingsError::Endpoint)?;
            settings.endpoint = parsed.to_string();
        }
        settings.control_endpoint = text(settings.control_endpoint, change.control_endpoint);
        if let Some(endpoint) = &settings.control_endpoint {
            if settings.kind != DestinationKind::Hythe {
                return Err(DestinationSettingsError::ControlEndpointOfOther.into());
            }
            let parsed: RegistryUrl = endpoint
                .trim_end_matches('/')
                .parse()
                .map_err(DestinationSettingsError::ControlEndpoint)?;
            settings.control_endpoint = Some(parsed.to_string());
        }
        settings.description = text(settings.description, change.description);
        let is_too_long = |text: &String| text.chars().count() > MAX_DESTINATION_DESCRIPTION_CHARS;
        if settings.description.as_ref().is_some_and(is_too_long) {
            return Err(DestinationSettingsError::Description.into());
        }
        settings.repository_prefix = text(settings.repository_prefix, change.repository_prefix);
        if let Some(prefix) = &settings.repository_prefix {
            if settings.kind == DestinationKind::Hythe {
                return Err(DestinationSettingsError::PrefixOfHythe.into());
            }
            prefix
                .parse::<RepositoryPrefix>()
                .map_err(DestinationSettingsError::Prefix)?;
        }
        if let Some(rate) = change.bytes_per_second {
            if rate.is_some_and(|rate| rate < MIN_BANDWIDTH) {
                return Err(DestinationSettingsError::Bandwidth.into());
            }
            settings.bytes_per_second = rate;
        }
        let now = origins(&settings);
        match change.credential {
            None if settings.sealed_password.is_some() => {
                if let Some(other) = now.difference(&before).next() {
                    return Err(DestinationSettingsError::CredentialOfOtherAddress(other.clone()).into());
                }
                // One that cannot be opened stays as it is, and whoever sends there says so.
                if let Some(password) = stored {
                    let sealed = self.gate().keys().seal(&bound_to(account, name, &now), &password)?;
                    settings.sealed_password = Some(sealed);
                }
            }
            None => {}
            Some(None) => (settings.username, settings.sealed_password) = (None, None),
            Some(Some(credential)) => {
                let fits = |text: &str| (1..=MAX_CREDENTIAL_CHARS).contains(&text.chars().count());
                let password = &credential.password;
                // A colon ends the user (RFC 7617, section 2).
                if !fits(&credential.username) || !fits(password.expose()) || credential.username.contains(':') {
                    return Err(DestinationSettingsError::Credential.into());
                }
                let sealed = self.gate().keys().seal(&bound_to(account, name, &now), password)?;
                settings.username = Some(credential.username);
                settings.sealed_password = Some(sealed);
            }
        }
        Ok(settings)
    }
}

/// Where the password of a destination goes: scheme, host and port of each of its addresses.
fn origins(settings: &DestinationSettings) -> BTreeSet<String> {
    let addresses = [Some(&settings.endpoint), settings.control_endpoint.as_ref()];
    let origin = |address: &String| address.parse().map(|url: RegistryUrl| url.origin()).ok();
    addresses.into_iter().flatten().filter_map(origin).collect()
}

/// What the password is sealed for: it is of no use to another destination, nor at another address.
fn bound_to(account: &AccountId, name: &Region, origins: &BTreeSet<String>) -> String {
    let mut text = formerly_bound_to(account, name);
    for origin in origins {
        text.push(' ');
        text.push_str(origin);
    }
    text
}

/// What passwords were sealed for before addresses were a part of it. Any change of the destination seals them anew.
fn formerly_bound_to(account: &AccountId, name: &Region) -> String {
    format!("replication-destination/{account}/{name}")
}

fn sends_to(rule: &ReplicationRule, destination: &Region) -> bool {
    rule.destinations.iter().any(|place| place.region == *destination)
}

fn called(name: &RuleName) -> String {
    if name.is_document() {
        return "the document".into();
    }
    format!("`{name}`")
}

fn destination_error(error: ChangeDestinationError, name: &Region, account: &AccountId) -> DestinationError {
    match error {
        ChangeDestinationError::Unknown => UnknownDestination(name.clone(), account.clone()).into(),
        ChangeDestinationError::InUse => DestinationError::InUse(name.clone(), String::new()),
        ChangeDestinationError::NeedsControlPlane => DestinationError::NeedsControlPlane(name.clone()),
        ChangeDestinationError::VersionMismatch => DestinationError::VersionMismatch,
        ChangeDestinationError::Store(error) => error.into(),
    }
}
