// SPDX-License-Identifier: Apache-2.0
//! Users of an account: create, list, describe, change, delete.

use hythe_access::{Granted, Principal, UserName, kinds};
use hythe_meta::{AttachmentChange, PolicyRef, StoreError, UserChange, UserKind, UserRecord};
use hythe_model::{AccountId, ResourceTags};
use jiff::Timestamp;

use crate::principal::{About, only_account};
use crate::{
    ControlPlane, CreatePrincipalError, DeletePrincipalError, Noun, Page, PrincipalError, ReplacedPrincipalTags,
    TagReplacement, UpdatePrincipalError,
};

/// A user to be.
#[derive(Debug)]
pub struct NewUser {
    /// The name within the account.
    pub name: UserName,
    /// What it is.
    pub kind: UserKind,
    /// Who it is.
    pub description: String,
    /// Its resource tags, with the permission to set them.
    pub tags: Option<(Granted<kinds::TagUser>, ResourceTags)>,
    /// When its credentials stop being good.
    pub expires_at: Option<Timestamp>,
    /// Whether its credentials are refused for now.
    pub is_disabled: bool,
    /// Its policies, with the permission to attach them.
    pub policies: Option<(Granted<kinds::AttachUserPolicy>, Vec<PolicyRef>)>,
    /// What limits it at most, with the permission to set that.
    pub boundary: Option<(Granted<kinds::PutPermissionsBoundary>, PolicyRef)>,
}

/// Settings of a user to change; what is absent stays as it is.
#[derive(Debug, Default)]
pub struct UserSettings {
    /// Who it is.
    pub description: Option<String>,
    /// When its credentials stop being good.
    pub expires_at: Option<Option<Timestamp>>,
    /// Whether its credentials are refused for now.
    pub is_disabled: Option<bool>,
}

/// What to change about a user, each part with the permission that it takes.
#[derive(Debug, Default)]
pub struct UserUpdate {
    /// Its settings.
    pub settings: Option<(Granted<kinds::UpdateUser>, UserSettings)>,
    /// Its resource tags.
    pub tags: Option<TagReplacement<kinds::TagUser, kinds::UntagUser>>,
    /// Its policies.
    pub policies: Option<(Granted<kinds::AttachUserPolicy>, AttachmentChange)>,
    /// What limits it at most.
    pub boundary: Option<(Granted<kinds::PutPermissionsBoundary>, Option<PolicyRef>)>,
}

impl ControlPlane {
    /// Creates a user.
    #[tracing::instrument(name = "user.create", skip_all, fields(user.name = %new.name))]
    pub async fn create_user(
        &self,
        granted: &Granted<kinds::CreateUser>,
        new: NewUser,
    ) -> Result<UserRecord, CreatePrincipalError> {
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
        let user = UserRecord {
            account: account.clone(),
            name: new.name,
            kind: new.kind,
            description: new.description,
            policies,
            boundary: new.boundary.map(|(_, boundary)| boundary),
            groups: Vec::new(),
            tags: new.tags.map(|(_, tags)| tags).unwrap_or_default(),
            expires_at: new.expires_at,
            is_disabled: new.is_disabled,
            created_at: self.stored_now(),
            version: 1,
        };
        self.check_boundary(granted.caller(), account, user.boundary.as_ref())
            .await?;
        match self.store().create_user(&user).await {
            Ok(()) => Ok(user),
            Err(error) => Err(about(&user.name, account).created(error)),
        }
    }

    /// Lists the users of the account by name.
    #[tracing::instrument(name = "user.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn users(
        &self,
        granted: &Granted<kinds::ListUsers>,
        after: Option<UserName>,
        limit: usize,
    ) -> Result<Page<UserRecord, UserName>, StoreError> {
        let users = self
            .store()
            .users(granted.resource(), after.as_ref(), limit + 1)
            .await?;
        Ok(Page::of(users, limit, |last| last.name.clone()))
    }

    /// Describes a user.
    #[tracing::instrument(name = "user.describe", skip_all, fields(user.name = %name))]
    pub async fn user(&self, granted: &Granted<kinds::GetUser>, name: &UserName) -> Result<UserRecord, PrincipalError> {
        let account = granted.resource();
        let user = self.store().user(account, name).await?;
        Ok(user.ok_or_else(|| about(name, account).unknown())?)
    }

    /// Changes a user. It counts for the next request, also with a token made before.
    #[tracing::instrument(name = "user.update", skip_all, fields(user.name = %name))]
    pub async fn update_user(
        &self,
        name: &UserName,
        update: UserUpdate,
        expected_version: Option<i64>,
    ) -> Result<UserRecord, UpdatePrincipalError> {
        let settings = update.settings.as_ref().map(|(granted, _)| granted.resource());
        let attaching = update.policies.as_ref().map(|(granted, _)| granted.resource());
        let bounding = update.boundary.as_ref().map(|(granted, _)| granted.resource());
        let tagging = update.tags.as_ref().map(|tags| tags.tagging.resource());
        let untagging = update.tags.as_ref().map(|tags| tags.untagging.resource());
        let account = only_account([settings, attaching, bounding, tagging, untagging])?;
        let read_version = update.tags.as_ref().map(|tags| tags.version);
        let changers = [
            update.policies.as_ref().map(|(granted, _)| granted.caller()),
            update.tags.as_ref().map(|tags| tags.tagging.caller()),
        ];
        if let Some(caller) = changers.into_iter().flatten().next() {
            let user = self.store().user(&account, name).await?;
            let user = user.ok_or_else(|| about(name, &account).unknown())?;
            self.check_boundary(caller, &account, user.boundary.as_ref()).await?;
        }
        if let Some((granted, wanted)) = &update.boundary {
            let caller = granted.caller();
            let is_self = caller.principal == Principal::User(account.clone(), name.clone());
            self.check_boundary_change(caller, &account, is_self, wanted.as_ref())
                .await?;
        }
        let settings = update.settings.map(|(_, settings)| settings).unwrap_or_default();
        let change = UserChange {
            description: settings.description,
            policies: update.policies.map(|(_, change)| change),
            boundary: update.boundary.map(|(_, boundary)| boundary),
            tags: update.tags.map(|replacement| replacement.tags),
            expires_at: settings.expires_at,
            is_disabled: settings.is_disabled,
        };
        // What was permitted is the removal of the tags that were there, and of no others.
        let updated = match (expected_version, read_version) {
            (Some(expected), Some(read)) if expected != read => Err(hythe_meta::UpdatePrincipalError::VersionMismatch),
            (expected, read) => {
                let version = read.or(expected);
                self.store().update_user(&account, name, change, version).await
            }
        };
        self.gate().forget_users();
        updated.map_err(|error| about(name, &account).updated(error))
    }

    /// Which tags making `tags` the only ones would remove now, and from which version.
    #[tracing::instrument(name = "user.compare_tags", skip_all, fields(user.name = %name))]
    pub async fn replaced_user_tags(
        &self,
        granted: &Granted<kinds::TagUser>,
        name: &UserName,
        tags: &ResourceTags,
    ) -> Result<ReplacedPrincipalTags, PrincipalError> {
        let account = granted.resource();
        let found = self.store().user(account, name).await?;
        let found = found.ok_or_else(|| about(name, account).unknown())?;
        Ok(ReplacedPrincipalTags::of(&found.tags, tags, found.version))
    }

    /// Deletes a user with its access keys, memberships and attachments; its tokens stop working.
    #[tracing::instrument(name = "user.delete", skip_all, fields(user.name = %name))]
    pub async fn delete_user(
        &self,
        granted: &Granted<kinds::DeleteUser>,
        name: &UserName,
        expected_version: Option<i64>,
    ) -> Result<UserRecord, DeletePrincipalError> {
        let account = granted.resource();
        let deleted = self.store().delete_user(account, name, expected_version).await;
        self.gate().forget_users();
        deleted.map_err(|error| about(name, account).deleted(error))
    }
}

fn about<'a>(name: &'a UserName, account: &'a AccountId) -> About<'a> {
    About {
        noun: Noun::User,
        name: name.as_str(),
        account,
    }
}
