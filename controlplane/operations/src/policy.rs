// SPDX-License-Identifier: Apache-2.0
//! Policies that can be attached to users, groups and roles: those that every account has, and its own.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use hythe_access::{Granted, PolicyName, kinds};
use hythe_meta::{PolicyChange, PolicyRecord, StoreError};
use hythe_model::{AccountId, ParseError, ResourceTags};
use hythe_rules::{ManagedPolicy, Policy};
use jiff::Timestamp;

use crate::{ControlPlane, DocumentError, Page};

/// The most characters of the document of such a policy, white space aside (IAM, "IAM and AWS STS character limits").
pub const MAX_POLICY_CHARS: usize = 6144;
/// The most characters of a description (IAM, `CreatePolicy`).
pub const MAX_DESCRIPTION_CHARS: usize = 1000;

/// A policy, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyDescription {
    /// The name.
    pub name: PolicyName,
    /// The ARN.
    pub arn: String,
    /// What it is for.
    pub description: Option<String>,
    /// The document.
    pub text: String,
    /// Whether every account has it.
    pub is_managed: bool,
    /// How many principals of the account have it.
    pub attachments: u64,
    /// Its resource tags.
    pub tags: ResourceTags,
    /// When it was created; `None` for a managed one.
    pub created_at: Option<Timestamp>,
    /// When it was last changed; `None` for a managed one.
    pub updated_at: Option<Timestamp>,
    /// Its version; `None` for a managed one, which does not change.
    pub version: Option<i64>,
}

/// A policy to be.
#[derive(Clone, Debug)]
pub struct NewPolicy {
    /// The name.
    pub name: PolicyName,
    /// What it is for.
    pub description: Option<String>,
    /// The document.
    pub text: String,
    /// Its resource tags.
    pub tags: ResourceTags,
}

/// Which policies to list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PolicyScope {
    /// All.
    #[default]
    All,
    /// Those that every account has.
    Managed,
    /// Those of the account.
    Local,
}

/// A place in a list of policies: managed ones come first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyKey {
    /// One that every account has.
    Managed(ManagedPolicy),
    /// One of the account.
    Local(PolicyName),
}

/// The account has no such policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The policy with name '{0}' does not exist in the account with id '{1}'")]
pub struct UnknownPolicy(pub PolicyName, pub AccountId);

/// Why a policy was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreatePolicyError {
    /// There is one of this name.
    #[error("The policy with name '{0}' already exists in the account with id '{1}'")]
    AlreadyExists(PolicyName, AccountId),
    /// The name is that of a policy which every account has.
    #[error("the name '{0}' is that of a policy which every account has: choose another one")]
    Reserved(PolicyName),
    /// The text is not such a policy.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The description is too long.
    #[error("a description must have at most {MAX_DESCRIPTION_CHARS} characters")]
    Description,
    /// The account has as many policies as one may have.
    #[error("the account with id '{0}' has {1} policies, and that is the most")]
    LimitExceeded(AccountId, u64),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy was not described.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// There is none of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownPolicy),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdatePolicyError {
    /// There is none of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownPolicy),
    /// Every account has it, and nobody can change it.
    #[error("the policy '{0}' is one that every account has: it cannot be changed")]
    Managed(PolicyName),
    /// The text is not such a policy.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The description is too long.
    #[error("a description must have at most {MAX_DESCRIPTION_CHARS} characters")]
    Description,
    /// The policy has changed since the version that the request names.
    #[error("the policy has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeletePolicyError {
    /// There is none of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownPolicy),
    /// Every account has it, and nobody can delete it.
    #[error("the policy '{0}' is one that every account has: it cannot be deleted")]
    Managed(PolicyName),
    /// Somebody has it.
    #[error("the policy '{0}' is attached to {1} users, groups and roles: detach it first")]
    Attached(PolicyName, u64),
    /// The policy has changed since the version that the request names.
    #[error("the policy has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Creates a policy in the account.
    #[tracing::instrument(name = "policy.create", skip_all, fields(policy.name = %new.name))]
    pub async fn create_policy(
        &self,
        granted: &Granted<kinds::CreatePolicy>,
        new: NewPolicy,
    ) -> Result<PolicyDescription, CreatePolicyError> {
        let account = granted.resource();
        if managed(&new.name).is_some() {
            return Err(CreatePolicyError::Reserved(new.name));
        }
        check_document(&new.text)?;
        if !is_description(new.description.as_deref()) {
            return Err(CreatePolicyError::Description);
        }
        let now = self.clock().now();
        let name = new.name.clone();
        let record = PolicyRecord {
            account: account.clone(),
            name: new.name,
            description: new.description,
            text: new.text,
            tags: new.tags,
            created_at: now,
            updated_at: now,
            version: 0,
        };
        let created = self.store().create_policy(record).await;
        self.gate().forget_policies();
        match created {
            Ok(record) => Ok(describe(record, 0)),
            Err(hythe_meta::CreatePolicyError::AlreadyExists) => {
                Err(CreatePolicyError::AlreadyExists(name, account.clone()))
            }
            Err(hythe_meta::CreatePolicyError::LimitExceeded(most)) => {
                Err(CreatePolicyError::LimitExceeded(account.clone(), most))
            }
            Err(hythe_meta::CreatePolicyError::Store(error)) => Err(error.into()),
        }
    }

    /// Lists the policies that can be attached in the account: the managed ones, then its own by name.
    #[tracing::instrument(name = "policy.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn policies(
        &self,
        granted: &Granted<kinds::ListPolicies>,
        scope: PolicyScope,
        after: Option<PolicyKey>,
        limit: usize,
    ) -> Result<Page<PolicyDescription, PolicyKey>, StoreError> {
        let account = granted.resource();
        let mut found = Vec::new();
        if scope != PolicyScope::Local {
            let rest = ManagedPolicy::ALL.iter().copied().filter(|policy| match &after {
                None => true,
                Some(PolicyKey::Managed(last)) => policy > last,
                Some(PolicyKey::Local(_)) => false,
            });
            found.extend(rest.take(limit + 1).map(|policy| describe_managed(policy, 0)));
        }
        if scope != PolicyScope::Managed && found.len() <= limit {
            let after = match &after {
                Some(PolicyKey::Local(last)) => Some(last),
                Some(PolicyKey::Managed(_)) | None => None,
            };
            let own = self.store().policies(account, after, limit + 1 - found.len()).await?;
            found.extend(own.into_iter().map(|record| describe(record, 0)));
        }
        let mut page = Page::of(found, limit, PolicyDescription::key);
        let names = page.items.iter().map(|policy| &policy.name);
        if let (Some(first), Some(last)) = (names.clone().min(), names.max()) {
            let uses: BTreeMap<String, u64> = self.store().policy_uses_between(account, first, last).await?;
            for policy in &mut page.items {
                policy.attachments = uses.get(policy.name.as_str()).copied().unwrap_or(0);
            }
        }
        Ok(page)
    }

    /// Describes a policy of the account, or one that every account has.
    #[tracing::instrument(name = "policy.describe", skip_all, fields(policy.name = %name))]
    pub async fn policy(
        &self,
        granted: &Granted<kinds::ListPolicies>,
        name: &PolicyName,
    ) -> Result<PolicyDescription, PolicyError> {
        let account = granted.resource();
        if let Some(policy) = managed(name) {
            let mut found = describe_managed(policy, 0);
            found.attachments = self.store().policy_uses(account, &found.name).await?;
            return Ok(found);
        }
        let Some(record) = self.store().policy(account, name).await? else {
            return Err(UnknownPolicy(name.clone(), account.clone()).into());
        };
        let attachments = self.store().policy_uses(account, name).await?;
        Ok(describe(record, attachments))
    }

    /// Gives a policy another document. It counts for the next request of everybody who has the policy.
    #[tracing::instrument(name = "policy.update", skip_all, fields(policy.name = %name))]
    pub async fn update_policy(
        &self,
        granted: &Granted<kinds::CreatePolicyVersion>,
        name: &PolicyName,
        change: PolicyChange,
        expected_version: Option<i64>,
    ) -> Result<PolicyDescription, UpdatePolicyError> {
        let account = granted.resource();
        if managed(name).is_some() {
            return Err(UpdatePolicyError::Managed(name.clone()));
        }
        if let Some(text) = &change.text {
            check_document(text)?;
        }
        if !is_description(change.description.as_deref()) {
            return Err(UpdatePolicyError::Description);
        }
        let now = self.clock().now();
        let updated = self
            .store()
            .update_policy(account, name, change, now, expected_version)
            .await;
        self.gate().forget_policies();
        let record = updated.map_err(|error| match error {
            hythe_meta::UpdatePolicyError::Unknown => UnknownPolicy(name.clone(), account.clone()).into(),
            hythe_meta::UpdatePolicyError::VersionMismatch => UpdatePolicyError::VersionMismatch,
            hythe_meta::UpdatePolicyError::Store(error) => error.into(),
        })?;
        let attachments = self.store().policy_uses(account, name).await?;
        Ok(describe(record, attachments))
    }

    /// Deletes a policy of the account that nobody has; returns what was deleted.
    #[tracing::instrument(name = "policy.delete", skip_all, fields(policy.name = %name))]
    pub async fn delete_policy(
        &self,
        granted: &Granted<kinds::DeletePolicy>,
        name: &PolicyName,
        expected_version: Option<i64>,
    ) -> Result<PolicyDescription, DeletePolicyError> {
        let account = granted.resource();
        if managed(name).is_some() {
            return Err(DeletePolicyError::Managed(name.clone()));
        }
        let deleted = self.store().delete_policy(account, name, expected_version).await;
        self.gate().forget_policies();
        match deleted {
            Ok(record) => Ok(describe(record, 0)),
            Err(hythe_meta::DeletePolicyError::Unknown) => Err(UnknownPolicy(name.clone(), account.clone()).into()),
            Err(hythe_meta::DeletePolicyError::Attached(uses)) => Err(DeletePolicyError::Attached(name.clone(), uses)),
            Err(hythe_meta::DeletePolicyError::VersionMismatch) => Err(DeletePolicyError::VersionMismatch),
            Err(hythe_meta::DeletePolicyError::Store(error)) => Err(error.into()),
        }
    }
}

impl PolicyDescription {
    fn key(&self) -> PolicyKey {
        match self.name.as_str().parse() {
            Ok(policy) if self.is_managed => PolicyKey::Managed(policy),
            Ok(_) | Err(_) => PolicyKey::Local(self.name.clone()),
        }
    }
}

/// No name has a slash.
impl fmt::Display for PolicyKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Managed(policy) => write!(formatter, "aws/{policy}"),
            Self::Local(name) => write!(formatter, "{name}"),
        }
    }
}

impl FromStr for PolicyKey {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.strip_prefix("aws/") {
            Some(name) => name.parse().map(Self::Managed),
            None => text.parse().map(Self::Local),
        }
    }
}

/// The managed policy of this name, also by ECR's longer one.
fn managed(name: &PolicyName) -> Option<ManagedPolicy> {
    name.as_str().parse().ok()
}

fn check_document(text: &str) -> Result<(), DocumentError> {
    Policy::parse_identity(text)?;
    let characters = text.chars().filter(|c| !c.is_whitespace()).count();
    if characters > MAX_POLICY_CHARS {
        return Err(DocumentError::TooLong {
            characters,
            most: MAX_POLICY_CHARS,
        });
    }
    Ok(())
}

fn is_description(text: Option<&str>) -> bool {
    text.is_none_or(|text| text.chars().count() <= MAX_DESCRIPTION_CHARS)
}

fn describe(record: PolicyRecord, attachments: u64) -> PolicyDescription {
    PolicyDescription {
        arn: format!("arn:aws:iam::{}:policy/{}", record.account, record.name),
        name: record.name,
        description: record.description,
        text: record.text,
        is_managed: false,
        attachments,
        tags: record.tags,
        created_at: Some(record.created_at),
        updated_at: Some(record.updated_at),
        version: Some(record.version),
    }
}

fn describe_managed(policy: ManagedPolicy, attachments: u64) -> PolicyDescription {
    PolicyDescription {
        name: policy.name(),
        arn: policy.arn(),
        description: Some(policy.description().to_owned()),
        text: policy.document().to_owned(),
        is_managed: true,
        attachments,
        tags: ResourceTags::default(),
        created_at: None,
        updated_at: None,
        version: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managed_policies_are_known_by_both_names() {
        for policy in ManagedPolicy::ALL {
            let name = policy.name();
            let long: PolicyName = format!("AmazonEC2ContainerRegistry{name}").parse().unwrap();
            assert_eq!((managed(&name), managed(&long)), (Some(*policy), Some(*policy)));
            check_document(policy.document()).unwrap();
            let key = describe_managed(*policy, 0).key();
            assert_eq!(key.to_string().parse::<PolicyKey>().unwrap(), key);
        }
        assert_eq!(managed(&"Readonly".parse().unwrap()), None);
    }

    #[test]
    fn white_space_does_not_count() {
        let of = |resource: &str, space: &str| {
            format!(
                r#"{{"Version":"2012-10-17",{space}"Statement":[{{"Effect":"Allow","Action":"ecr:*","Resource":"arn:aws:ecr:*:*:repository/{resource}"}}]}}"#
            )
        };
        let frame = of("", "").len();
        check_document(&of(&"x".repeat(MAX_POLICY_CHARS - frame), "\n    ")).unwrap();
        let error = check_document(&of(&"x".repeat(MAX_POLICY_CHARS - frame + 1), "")).unwrap_err();
        assert!(
            matches!(error, DocumentError::TooLong { characters: 6145, .. }),
            "{error:?}"
        );
    }
}
