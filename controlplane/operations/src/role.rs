// SPDX-License-Identifier: Apache-2.0
//! Roles of an account: create, list, describe, change, delete.

use hythe_access::{Granted, Principal, RoleName, kinds};
use hythe_meta::{AttachmentChange, PolicyRef, RoleChange, RoleRecord, StoreError};
use hythe_model::{AccountId, ResourceTags};
use hythe_rules::{Policy, PolicyError};

use crate::policy_document::check_principals;
use crate::principal::{About, only_account};
use crate::{
    ControlPlane, CreatePrincipalError, DeletePrincipalError, Noun, Page, PrincipalError, ReplacedPrincipalTags,
    TagReplacement, UpdatePrincipalError,
};

/// A role to be. Its trust policy has been parsed.
#[derive(Debug)]
pub struct NewRole {
    /// The name within the account.
    pub name: RoleName,
    /// What it is for.
    pub description: String,
    /// Who may take it on.
    pub trust_policy: TrustPolicy,
    /// How long a session may be.
    pub max_session: SessionSeconds,
    /// Its resource tags, with the permission to set them.
    pub tags: Option<(Granted<kinds::TagRole>, ResourceTags)>,
    /// Its policies, with the permission to attach them.
    pub policies: Option<(Granted<kinds::AttachRolePolicy>, Vec<PolicyRef>)>,
    /// What limits it at most, with the permission to set that.
    pub boundary: Option<(Granted<kinds::PutPermissionsBoundary>, PolicyRef)>,
}

/// The text of a trust policy that can be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustPolicy(String);

impl TrustPolicy {
    /// Parses the text, and keeps it as it is.
    pub fn parse(text: String) -> Result<Self, PolicyError> {
        Policy::parse_trust(&text)?;
        Ok(Self(text))
    }
}

/// How long a session of a role may be: 1 to 12 hours (IAM, `MaxSessionDuration`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionSeconds(u32);

impl SessionSeconds {
    /// The shortest: one hour.
    pub const MIN: u32 = 3600;
    /// The longest: twelve hours.
    pub const MAX: u32 = 43_200;

    /// A number of seconds, if it is one of those.
    #[must_use]
    pub fn new(seconds: u32) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&seconds).then_some(Self(seconds))
    }
}

/// One hour.
impl Default for SessionSeconds {
    fn default() -> Self {
        Self(Self::MIN)
    }
}

/// Settings of a role to change; what is absent stays as it is.
#[derive(Debug, Default)]
pub struct RoleSettings {
    /// What it is for.
    pub description: Option<String>,
    /// How long a session may be.
    pub max_session: Option<SessionSeconds>,
}

/// What to change about a role, each part with the permission that it takes.
#[derive(Debug, Default)]
pub struct RoleUpdate {
    /// Its settings.
    pub settings: Option<(Granted<kinds::UpdateRole>, RoleSettings)>,
    /// Who may take it on.
    pub trust_policy: Option<(Granted<kinds::UpdateAssumeRolePolicy>, TrustPolicy)>,
    /// Its resource tags.
    pub tags: Option<TagReplacement<kinds::TagRole, kinds::UntagRole>>,
    /// Its policies.
    pub policies: Option<(Granted<kinds::AttachRolePolicy>, AttachmentChange)>,
    /// What limits it at most.
    pub boundary: Option<(Granted<kinds::PutPermissionsBoundary>, Option<PolicyRef>)>,
}

impl ControlPlane {
    /// Creates a role.
    #[tracing::instrument(name = "role.create", skip_all, fields(role.name = %new.name))]
    pub async fn create_role(
        &self,
        granted: &Granted<kinds::CreateRole>,
        new: NewRole,
    ) -> Result<RoleRecord, CreatePrincipalError> {
        let account = granted.resource();
        let attaching = new.policies.as_ref().map(|(granted, _)| granted.resource());
        let bounding = new.boundary.as_ref().map(|(granted, _)| granted.resource());
        let tagging = new.tags.as_ref().map(|(granted, _)| granted.resource());
        if [attaching, bounding, tagging]
            .into_iter()
            .flatten()
            .any(|other| other != account)
        {
            return Err(CreatePrincipalError::Mixed);
        }
        let mut policies = new.policies.map(|(_, policies)| policies).unwrap_or_default();
        PolicyRef::sort(&mut policies);
        let created_at = self.stored_now();
        let trusts_as_of = check_principals(self.store(), &new.trust_policy.0, created_at).await?;
        let role = RoleRecord {
            account: account.clone(),
            name: new.name,
            description: new.description,
            trust_policy: new.trust_policy.0,
            trusts_as_of: Some(trusts_as_of),
            max_session_seconds: new.max_session.0,
            policies,
            boundary: new.boundary.map(|(_, boundary)| boundary),
            tags: new.tags.map(|(_, tags)| tags).unwrap_or_default(),
            created_at,
            version: 1,
        };
        self.check_boundary(granted.caller(), account, role.boundary.as_ref())
            .await?;
        match self.store().create_role(&role).await {
            Ok(()) => Ok(role),
            Err(error) => Err(about(&role.name, account).created(error)),
        }
    }

    /// Lists the roles of the account by name.
    #[tracing::instrument(name = "role.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn roles(
        &self,
        granted: &Granted<kinds::ListRoles>,
        after: Option<RoleName>,
        limit: usize,
    ) -> Result<Page<RoleRecord, RoleName>, StoreError> {
        let roles = self
            .store()
            .roles(granted.resource(), after.as_ref(), limit + 1)
            .await?;
        Ok(Page::of(roles, limit, |last| last.name.clone()))
    }

    /// Describes a role.
    #[tracing::instrument(name = "role.describe", skip_all, fields(role.name = %name))]
    pub async fn role(
        &self,
        granted: &Granted<kinds::ListRoles>,
        name: &RoleName,
    ) -> Result<RoleRecord, PrincipalError> {
        let account = granted.resource();
        let role = self.store().role(account, name).await?;
        Ok(role.ok_or_else(|| about(name, account).unknown())?)
    }

    /// Changes a role. What it may do counts for the next request, also of a session that has begun.
    #[tracing::instrument(name = "role.update", skip_all, fields(role.name = %name))]
    pub async fn update_role(
        &self,
        name: &RoleName,
        update: RoleUpdate,
        expected_version: Option<i64>,
    ) -> Result<RoleRecord, UpdatePrincipalError> {
        let settings = update.settings.as_ref().map(|(granted, _)| granted.resource());
        let trusting = update.trust_policy.as_ref().map(|(granted, _)| granted.resource());
        let attaching = update.policies.as_ref().map(|(granted, _)| granted.resource());
        let bounding = update.boundary.as_ref().map(|(granted, _)| granted.resource());
        let tagging = update.tags.as_ref().map(|tags| tags.tagging.resource());
        let untagging = update.tags.as_ref().map(|tags| tags.untagging.resource());
        let account = only_account([settings, trusting, attaching, bounding, tagging, untagging])?;
        let read_version = update.tags.as_ref().map(|tags| tags.version);
        let changers = [
            update.trust_policy.as_ref().map(|(granted, _)| granted.caller()),
            update.policies.as_ref().map(|(granted, _)| granted.caller()),
            update.tags.as_ref().map(|tags| tags.tagging.caller()),
        ];
        if let Some(caller) = changers.into_iter().flatten().next() {
            let role = self.store().role(&account, name).await?;
            let role = role.ok_or_else(|| about(name, &account).unknown())?;
            self.check_boundary(caller, &account, role.boundary.as_ref()).await?;
        }
        if let Some((granted, wanted)) = &update.boundary {
            let caller = granted.caller();
            let is_self = matches!(&caller.principal,
                Principal::Role(session) if session.account == account && session.role == *name);
            self.check_boundary_change(caller, &account, is_self, wanted.as_ref())
                .await?;
        }
        let trust_policy = match update.trust_policy {
            Some((_, policy)) => {
                let as_of = check_principals(self.store(), &policy.0, self.stored_now()).await?;
                Some((policy.0, as_of))
            }
            None => None,
        };
        let settings = update.settings.map(|(_, settings)| settings).unwrap_or_default();
        let change = RoleChange {
            description: settings.description,
            trust_policy,
            max_session_seconds: settings.max_session.map(|seconds| seconds.0),
            policies: update.policies.map(|(_, change)| change),
            boundary: update.boundary.map(|(_, boundary)| boundary),
            tags: update.tags.map(|replacement| replacement.tags),
        };
        // What was permitted is the removal of the tags that were there, and of no others.
        let updated = match (expected_version, read_version) {
            (Some(expected), Some(read)) if expected != read => Err(hythe_meta::UpdatePrincipalError::VersionMismatch),
            (expected, read) => {
                let version = read.or(expected);
                self.store().update_role(&account, name, change, version).await
            }
        };
        self.gate().forget_users();
        updated.map_err(|error| about(name, &account).updated(error))
    }

    /// Which tags making `tags` the only ones would remove now, and from which version.
    #[tracing::instrument(name = "role.compare_tags", skip_all, fields(role.name = %name))]
    pub async fn replaced_role_tags(
        &self,
        granted: &Granted<kinds::TagRole>,
        name: &RoleName,
        tags: &ResourceTags,
    ) -> Result<ReplacedPrincipalTags, PrincipalError> {
        let account = granted.resource();
        let found = self.store().role(account, name).await?;
        let found = found.ok_or_else(|| about(name, account).unknown())?;
        Ok(ReplacedPrincipalTags::of(&found.tags, tags, found.version))
    }

    /// Deletes a role with its attachments; its sessions stop working.
    #[tracing::instrument(name = "role.delete", skip_all, fields(role.name = %name))]
    pub async fn delete_role(
        &self,
        granted: &Granted<kinds::DeleteRole>,
        name: &RoleName,
        expected_version: Option<i64>,
    ) -> Result<RoleRecord, DeletePrincipalError> {
        let account = granted.resource();
        let deleted = self.store().delete_role(account, name, expected_version).await;
        self.gate().forget_users();
        deleted.map_err(|error| about(name, account).deleted(error))
    }
}

fn about<'a>(name: &'a RoleName, account: &'a AccountId) -> About<'a> {
    About {
        noun: Noun::Role,
        name: name.as_str(),
        account,
    }
}
