// SPDX-License-Identifier: Apache-2.0
//! Access keys of users: create, list, switch on and off, delete.

use hythe_access::{Granted, Secret, UserName, kinds};
use hythe_meta::{AccessKeyRecord, StoreError};
use hythe_model::AccountId;

use crate::gate::{new_access_key_id, new_secret};
use crate::{ControlPlane, CryptoError};

/// The most access keys of a user, and of an administrator (IAM, "IAM object quotas").
pub const MAX_ACCESS_KEYS: usize = 2;

/// A new key with its secret, which nobody can read again.
#[derive(Clone, Debug)]
pub struct CreatedAccessKey {
    /// The key.
    pub record: AccessKeyRecord,
    /// The secret.
    pub secret: Secret,
}

/// Why no key was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccessKeyError {
    /// There is no such user.
    #[error("The user with name '{0}' does not exist in the account with id '{1}'")]
    UserUnknown(UserName, AccountId),
    /// The user has as many keys as there may be.
    #[error("the user with name '{0}' has {MAX_ACCESS_KEYS} access keys, and that is the most: delete one first")]
    LimitExceeded(UserName),
    /// The cryptography library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a key was not found.
#[derive(Debug, thiserror::Error)]
pub enum AccessKeyError {
    /// There is no such user.
    #[error("The user with name '{0}' does not exist in the account with id '{1}'")]
    UserUnknown(UserName, AccountId),
    /// The user has no such key.
    #[error("The access key with id '{0}' does not exist for the user with name '{1}'")]
    Unknown(String, UserName),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Makes an access key for a user.
    #[tracing::instrument(name = "access_key.create", skip_all, fields(user.name = %user))]
    pub async fn create_access_key(
        &self,
        granted: &Granted<kinds::CreateAccessKey>,
        user: &UserName,
    ) -> Result<CreatedAccessKey, CreateAccessKeyError> {
        let account = granted.resource();
        let (id, secret) = (new_access_key_id()?, new_secret()?);
        let record = AccessKeyRecord {
            sealed_secret: self.gate().keys().seal(&id, &secret)?,
            id,
            account: account.clone(),
            user: Some(user.clone()),
            is_active: true,
            created_at: self.clock().now(),
            last_used_at: None,
        };
        match self.store().create_access_key(&record, MAX_ACCESS_KEYS).await {
            Ok(()) => Ok(CreatedAccessKey { record, secret }),
            Err(hythe_meta::CreateAccessKeyError::UserUnknown) => {
                Err(CreateAccessKeyError::UserUnknown(user.clone(), account.clone()))
            }
            Err(hythe_meta::CreateAccessKeyError::LimitExceeded) => {
                Err(CreateAccessKeyError::LimitExceeded(user.clone()))
            }
            Err(hythe_meta::CreateAccessKeyError::Store(error)) => Err(error.into()),
        }
    }

    /// Lists the access keys of a user; there are at most [`MAX_ACCESS_KEYS`].
    #[tracing::instrument(name = "access_key.list", skip_all, fields(user.name = %user))]
    pub async fn access_keys(
        &self,
        granted: &Granted<kinds::ListAccessKeys>,
        user: &UserName,
    ) -> Result<Vec<AccessKeyRecord>, AccessKeyError> {
        let account = granted.resource();
        let keys = self.store().access_keys(account, Some(user)).await?;
        if keys.is_empty() {
            self.expect_user(account, user).await?;
        }
        Ok(keys)
    }

    /// Switches a key on or off; while it is off, neither it nor a token made with it works.
    #[tracing::instrument(name = "access_key.update", skip_all, fields(user.name = %user, access_key.id = id))]
    pub async fn set_access_key_active(
        &self,
        granted: &Granted<kinds::UpdateAccessKey>,
        user: &UserName,
        id: &str,
        is_active: bool,
    ) -> Result<AccessKeyRecord, AccessKeyError> {
        let account = granted.resource();
        let changed = self
            .store()
            .set_access_key_active(account, Some(user), id, is_active)
            .await;
        self.gate().forget_access_keys();
        self.expect_key(account, user, id, changed?).await
    }

    /// Deletes a key; neither it nor a token made with it works any more.
    #[tracing::instrument(name = "access_key.delete", skip_all, fields(user.name = %user, access_key.id = id))]
    pub async fn delete_access_key(
        &self,
        granted: &Granted<kinds::DeleteAccessKey>,
        user: &UserName,
        id: &str,
    ) -> Result<AccessKeyRecord, AccessKeyError> {
        let account = granted.resource();
        let deleted = self.store().delete_access_key(account, Some(user), id).await;
        self.gate().forget_access_keys();
        self.expect_key(account, user, id, deleted?).await
    }

    async fn expect_key(
        &self,
        account: &AccountId,
        user: &UserName,
        id: &str,
        key: Option<AccessKeyRecord>,
    ) -> Result<AccessKeyRecord, AccessKeyError> {
        if let Some(key) = key {
            return Ok(key);
        }
        self.expect_user(account, user).await?;
        Err(AccessKeyError::Unknown(id.chars().take(128).collect(), user.clone()))
    }

    async fn expect_user(&self, account: &AccountId, user: &UserName) -> Result<(), AccessKeyError> {
        match self.store().user(account, user).await? {
            Some(_) => Ok(()),
            None => Err(AccessKeyError::UserUnknown(user.clone(), account.clone())),
        }
    }
}
