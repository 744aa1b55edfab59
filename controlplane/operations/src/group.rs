// SPDX-License-Identifier: Apache-2.0
//! Groups of users: create, list, describe, change, delete, and who is in them.

use hythe_access::{Caller, Granted, GroupName, UserName, kinds};
use hythe_meta::{AttachmentChange, GroupChange, GroupRecord, PolicyRef, StoreError};
use hythe_model::AccountId;

use crate::principal::{About, only_account};
use crate::{
    ControlPlane, CreatePrincipalError, DeletePrincipalError, MembershipError, Noun, Page, PrincipalError,
    UpdatePrincipalError,
};

/// A group to be.
#[derive(Debug)]
pub struct NewGroup {
    /// The name within the account.
    pub name: GroupName,
    /// What it is for.
    pub description: String,
    /// Its policies, with the permission to attach them.
    pub policies: Option<(Granted<kinds::AttachGroupPolicy>, Vec<PolicyRef>)>,
}

/// What to change about a group, each part with the permission that it takes.
#[derive(Debug, Default)]
pub struct GroupUpdate {
    /// What it is for.
    pub description: Option<(Granted<kinds::UpdateGroup>, String)>,
    /// Its policies.
    pub policies: Option<(Granted<kinds::AttachGroupPolicy>, AttachmentChange)>,
}

impl ControlPlane {
    /// Creates a group.
    #[tracing::instrument(name = "group.create", skip_all, fields(group.name = %new.name))]
    pub async fn create_group(
        &self,
        granted: &Granted<kinds::CreateGroup>,
        new: NewGroup,
    ) -> Result<GroupRecord, CreatePrincipalError> {
        let account = granted.resource();
        if new
            .policies
            .as_ref()
            .is_some_and(|(granted, _)| granted.resource() != account)
        {
            return Err(CreatePrincipalError::Mixed);
        }
        if let Some((granted, _)) = &new.policies {
            self.check_boundary(granted.caller(), account, None).await?;
        }
        let mut policies = new.policies.map(|(_, policies)| policies).unwrap_or_default();
        PolicyRef::sort(&mut policies);
        let group = GroupRecord {
            account: account.clone(),
            name: new.name,
            description: new.description,
            policies,
            members: Some(Vec::new()),
            created_at: self.stored_now(),
            version: 1,
        };
        match self.store().create_group(&group).await {
            Ok(()) => Ok(group),
            Err(error) => Err(about(&group.name, account).created(error)),
        }
    }

    /// Lists the groups of the account by name, without their members.
    #[tracing::instrument(name = "group.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn groups(
        &self,
        granted: &Granted<kinds::ListGroups>,
        after: Option<GroupName>,
        limit: usize,
    ) -> Result<Page<GroupRecord, GroupName>, StoreError> {
        let groups = self
            .store()
            .groups(granted.resource(), after.as_ref(), limit + 1)
            .await?;
        Ok(Page::of(groups, limit, |last| last.name.clone()))
    }

    /// Describes a group with its members.
    #[tracing::instrument(name = "group.describe", skip_all, fields(group.name = %name))]
    pub async fn group(
        &self,
        granted: &Granted<kinds::ListGroups>,
        name: &GroupName,
    ) -> Result<GroupRecord, PrincipalError> {
        let account = granted.resource();
        let group = self.store().group(account, name).await?;
        Ok(group.ok_or_else(|| about(name, account).unknown())?)
    }

    /// Changes a group. It counts for the next request of its members.
    #[tracing::instrument(name = "group.update", skip_all, fields(group.name = %name))]
    pub async fn update_group(
        &self,
        name: &GroupName,
        update: GroupUpdate,
        expected_version: Option<i64>,
    ) -> Result<GroupRecord, UpdatePrincipalError> {
        let describing = update.description.as_ref().map(|(granted, _)| granted.resource());
        let attaching = update.policies.as_ref().map(|(granted, _)| granted.resource());
        let account = only_account([describing, attaching])?;
        // A group has no boundary, and its policies are those of whoever is in it.
        if let Some((granted, _)) = &update.policies {
            self.check_boundary(granted.caller(), &account, None).await?;
        }
        let change = GroupChange {
            description: update.description.map(|(_, description)| description),
            policies: update.policies.map(|(_, change)| change),
        };
        let updated = self
            .store()
            .update_group(&account, name, change, expected_version)
            .await;
        self.gate().forget_users();
        updated.map_err(|error| about(name, &account).updated(error))
    }

    /// Deletes a group that has no members.
    #[tracing::instrument(name = "group.delete", skip_all, fields(group.name = %name))]
    pub async fn delete_group(
        &self,
        granted: &Granted<kinds::DeleteGroup>,
        name: &GroupName,
        expected_version: Option<i64>,
    ) -> Result<GroupRecord, DeletePrincipalError> {
        let account = granted.resource();
        let deleted = self.store().delete_group(account, name, expected_version).await;
        self.gate().forget_users();
        deleted.map_err(|error| about(name, account).deleted(error))
    }

    /// Puts a user into a group; who is in it stays.
    #[tracing::instrument(name = "group.add_member", skip_all, fields(group.name = %name, user.name = %user))]
    pub async fn add_group_member(
        &self,
        granted: &Granted<kinds::AddUserToGroup>,
        name: &GroupName,
        user: &UserName,
    ) -> Result<GroupRecord, MembershipError> {
        let account = granted.resource();
        self.check_member_boundary(granted.caller(), account, user).await?;
        let changed = self.store().add_group_member(account, name, user).await;
        self.gate().forget_users();
        changed.map_err(|error| about(name, account).membership(user.as_str(), error))
    }

    /// Takes a user out of a group; who is not in it stays out.
    #[tracing::instrument(name = "group.remove_member", skip_all, fields(group.name = %name, user.name = %user))]
    pub async fn remove_group_member(
        &self,
        granted: &Granted<kinds::RemoveUserFromGroup>,
        name: &GroupName,
        user: &UserName,
    ) -> Result<GroupRecord, MembershipError> {
        let account = granted.resource();
        self.check_member_boundary(granted.caller(), account, user).await?;
        let changed = self.store().remove_group_member(account, name, user).await;
        self.gate().forget_users();
        changed.map_err(|error| about(name, account).membership(user.as_str(), error))
    }

    /// Whoever has a boundary changes the groups of those only who have the same.
    async fn check_member_boundary(
        &self,
        caller: &Caller,
        account: &AccountId,
        user: &UserName,
    ) -> Result<(), MembershipError> {
        match self.store().user(account, user).await? {
            Some(user) => Ok(self.check_boundary(caller, account, user.boundary.as_ref()).await?),
            None => Ok(()),
        }
    }
}

fn about<'a>(name: &'a GroupName, account: &'a AccountId) -> About<'a> {
    About {
        noun: Noun::Group,
        name: name.as_str(),
        account,
    }
}
