// SPDX-License-Identifier: Apache-2.0
//! Users of an account: create, list, describe, change their policies, delete.

use std::collections::BTreeSet;

use hythe_access::{Granted, UserName, kinds};
use hythe_meta::{StoreError, UserRecord};
use hythe_model::AccountId;
use hythe_rules::ManagedPolicy;

use crate::{ControlPlane, Page};

/// Why a user was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserError {
    /// There is one of this name.
    #[error("The user with name '{0}' already exists in the account with id '{1}'")]
    AlreadyExists(UserName, AccountId),
    /// The permissions are for different accounts.
    #[error("the permissions are for different accounts")]
    Mixed,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a user was not found, or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// There is none of this name.
    #[error("The user with name '{0}' does not exist in the account with id '{1}'")]
    Unknown(UserName, AccountId),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateUserError {
    /// There is none of this name.
    #[error("The user with name '{0}' does not exist in the account with id '{1}'")]
    Unknown(UserName, AccountId),
    /// The user has changed since the version that the request names.
    #[error("the user has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Creates a user; with policies only with the permission to attach them.
    #[tracing::instrument(name = "user.create", skip_all, fields(user.name = %name))]
    pub async fn create_user(
        &self,
        granted: &Granted<kinds::CreateUser>,
        name: UserName,
        policies: Option<(Granted<kinds::AttachUserPolicy>, BTreeSet<ManagedPolicy>)>,
    ) -> Result<UserRecord, CreateUserError> {
        let account = granted.resource();
        if policies
            .as_ref()
            .is_some_and(|(granted, _)| granted.resource() != account)
        {
            return Err(CreateUserError::Mixed);
        }
        let policies = policies.map(|(_, policies)| policies).unwrap_or_default();
        let user = UserRecord {
            account: account.clone(),
            name,
            policies: names(&policies),
            created_at: self.clock().now(),
            version: 1,
        };
        match self.store().create_user(&user).await {
            Ok(()) => Ok(user),
            Err(hythe_meta::CreateUserError::AlreadyExists) => {
                Err(CreateUserError::AlreadyExists(user.name, user.account))
            }
            Err(hythe_meta::CreateUserError::Store(error)) => Err(error.into()),
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
    pub async fn user(&self, granted: &Granted<kinds::ListUsers>, name: &UserName) -> Result<UserRecord, UserError> {
        let account = granted.resource();
        let user = self.store().user(account, name).await?;
        user.ok_or_else(|| UserError::Unknown(name.clone(), account.clone()))
    }

    /// Makes `policies` the only ones of the user. It counts for the next request, also with a token made before.
    #[tracing::instrument(name = "user.update", skip_all, fields(user.name = %name))]
    pub async fn set_user_policies(
        &self,
        granted: &Granted<kinds::AttachUserPolicy>,
        name: &UserName,
        policies: BTreeSet<ManagedPolicy>,
        expected_version: Option<i64>,
    ) -> Result<UserRecord, UpdateUserError> {
        let account = granted.resource();
        let updated = self
            .store()
            .update_user_policies(account, name, names(&policies), expected_version)
            .await;
        self.gate().forget_users();
        updated.map_err(|error| match error {
            hythe_meta::UpdateUserError::Unknown => UpdateUserError::Unknown(name.clone(), account.clone()),
            hythe_meta::UpdateUserError::VersionMismatch => UpdateUserError::VersionMismatch,
            hythe_meta::UpdateUserError::Store(error) => error.into(),
        })
    }

    /// Deletes a user with its access keys; its tokens stop working.
    #[tracing::instrument(name = "user.delete", skip_all, fields(user.name = %name))]
    pub async fn delete_user(
        &self,
        granted: &Granted<kinds::DeleteUser>,
        name: &UserName,
    ) -> Result<UserRecord, UserError> {
        let account = granted.resource();
        let deleted = self.store().delete_user(account, name).await;
        self.gate().forget_users();
        deleted?.ok_or_else(|| UserError::Unknown(name.clone(), account.clone()))
    }
}

fn names(policies: &BTreeSet<ManagedPolicy>) -> Vec<String> {
    policies.iter().map(ToString::to_string).collect()
}
