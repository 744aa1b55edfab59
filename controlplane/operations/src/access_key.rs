// SPDX-License-Identifier: Apache-2.0
//! Access keys of users and of administrators: create, replace, list, switch on and off, delete.

use hythe_access::{Granted, Principal, Secret, UserName, kinds};
use hythe_meta::{AccessKeyRecord, StoreError};
use hythe_model::AccountId;

use crate::gate::{new_access_key_id, new_secret};
use crate::principal::BoundaryError;
use crate::{Bounded, ControlPlane, CryptoError, Noun, Page, UnknownPrincipal};

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
    #[error(transparent)]
    UserUnknown(#[from] UnknownPrincipal),
    /// The user has as many keys as there may be.
    #[error("the user with name '{0}' has {MAX_ACCESS_KEYS} access keys, and that is the most: delete one first")]
    LimitExceeded(UserName),
    /// The caller would get around its own boundary.
    #[error(transparent)]
    Bounded(#[from] Bounded),
    /// There is no such key to make a new one in place of.
    #[error("The access key with id '{0}' does not exist for the user with name '{1}'")]
    Unknown(String, UserName),
    /// The secret that the caller has chosen is none.
    #[error("it must have 40 to 128 letters, digits and `+/=._~-`")]
    BadSecret,
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
    #[error(transparent)]
    UserUnknown(#[from] UnknownPrincipal),
    /// The user has no such key.
    #[error("The access key with id '{0}' does not exist for the user with name '{1}'")]
    Unknown(String, UserName),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<BoundaryError> for CreateAccessKeyError {
    fn from(error: BoundaryError) -> Self {
        match error {
            BoundaryError::Bounded(error) => error.into(),
            BoundaryError::Store(error) => error.into(),
        }
    }
}

impl ControlPlane {
    /// Makes an access key for a user.
    pub async fn create_access_key(
        &self,
        granted: &Granted<kinds::CreateAccessKey>,
        user: &UserName,
    ) -> Result<CreatedAccessKey, CreateAccessKeyError> {
        let secret = new_secret()?;
        self.create_access_key_with(granted, user, secret).await
    }

    /// Makes an access key for a user with a secret that the caller has chosen: 40 to 128 letters, digits and `+/=._~-`.
    #[tracing::instrument(name = "access_key.create", skip_all, fields(user.name = %user))]
    pub async fn create_access_key_with(
        &self,
        granted: &Granted<kinds::CreateAccessKey>,
        user: &UserName,
        secret: Secret,
    ) -> Result<CreatedAccessKey, CreateAccessKeyError> {
        let account = granted.resource();
        if !is_secret(secret.expose()) {
            return Err(CreateAccessKeyError::BadSecret);
        }
        self.check_key_boundary(granted, user).await?;
        let key = self.sealed_access_key(account, Some(user), secret)?;
        match self.store().create_access_key(&key.record, MAX_ACCESS_KEYS).await {
            Ok(()) => Ok(key),
            Err(hythe_meta::CreateAccessKeyError::UserUnknown) => Err(unknown_user(account, user).into()),
            Err(hythe_meta::CreateAccessKeyError::LimitExceeded) => {
                Err(CreateAccessKeyError::LimitExceeded(user.clone()))
            }
            Err(hythe_meta::CreateAccessKeyError::Store(error)) => Err(error.into()),
        }
    }

    /// Makes an access key for a user in place of the key `id`, which is switched off at the same time. It can be
    /// switched on again until it is deleted.
    #[tracing::instrument(name = "access_key.rotate", skip_all, fields(user.name = %user, access_key.id = id))]
    pub async fn rotate_access_key(
        &self,
        granted: (&Granted<kinds::CreateAccessKey>, &Granted<kinds::UpdateAccessKey>),
        user: &UserName,
        id: &str,
    ) -> Result<CreatedAccessKey, CreateAccessKeyError> {
        let account = granted.0.resource();
        if account != granted.1.resource() {
            return Err(CreateAccessKeyError::Unknown(short(id), user.clone()));
        }
        self.check_key_boundary(granted.0, user).await?;
        let key = self.new_access_key(account, Some(user))?;
        let rotated = self.store().rotate_access_key(id, &key.record, MAX_ACCESS_KEYS).await;
        self.gate().forget_access_keys();
        match rotated {
            Ok(()) => Ok(key),
            Err(hythe_meta::RotateAccessKeyError::Unknown) => Err(match self.store().user(account, user).await? {
                Some(_) => CreateAccessKeyError::Unknown(short(id), user.clone()),
                None => unknown_user(account, user).into(),
            }),
            Err(hythe_meta::RotateAccessKeyError::LimitExceeded) => {
                Err(CreateAccessKeyError::LimitExceeded(user.clone()))
            }
            Err(hythe_meta::RotateAccessKeyError::Store(error)) => Err(error.into()),
        }
    }

    /// Lists the access keys of a user by id; there are at most [`MAX_ACCESS_KEYS`].
    #[tracing::instrument(name = "access_key.list", skip_all, fields(user.name = %user))]
    pub async fn access_keys(
        &self,
        granted: &Granted<kinds::ListAccessKeys>,
        user: &UserName,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<AccessKeyRecord, String>, AccessKeyError> {
        let account = granted.resource();
        let mut keys = self.store().access_keys(account, Some(user)).await?;
        if keys.is_empty() {
            self.expect_user(account, user).await?;
        }
        // So few are read at once and cut here.
        keys.retain(|key| after.as_ref().is_none_or(|after| key.id > *after));
        Ok(Page::of(keys, limit, |last| last.id.clone()))
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
        Err(AccessKeyError::Unknown(short(id), user.clone()))
    }

    async fn expect_user(&self, account: &AccountId, user: &UserName) -> Result<(), AccessKeyError> {
        match self.store().user(account, user).await? {
            Some(_) => Ok(()),
            None => Err(unknown_user(account, user).into()),
        }
    }

    /// A key that nobody has stored yet.
    pub(crate) fn new_access_key(
        &self,
        account: &AccountId,
        user: Option<&UserName>,
    ) -> Result<CreatedAccessKey, CryptoError> {
        self.sealed_access_key(account, user, new_secret()?)
    }

    fn sealed_access_key(
        &self,
        account: &AccountId,
        user: Option<&UserName>,
        secret: Secret,
    ) -> Result<CreatedAccessKey, CryptoError> {
        let id = new_access_key_id()?;
        let record = AccessKeyRecord {
            sealed_secret: self.gate().keys().seal(&id, &secret)?,
            id,
            account: account.clone(),
            user: user.cloned(),
            is_active: true,
            created_at: self.stored_now(),
            last_used_at: None,
        };
        Ok(CreatedAccessKey { record, secret })
    }

    /// Whoever has a boundary makes keys only for those who have the same.
    async fn check_key_boundary(
        &self,
        granted: &Granted<kinds::CreateAccessKey>,
        user: &UserName,
    ) -> Result<(), CreateAccessKeyError> {
        let account = granted.resource();
        if matches!(granted.caller().principal, Principal::User(..) | Principal::Role(_))
            && let Some(user) = self.store().user(account, user).await?
        {
            self.check_boundary(granted.caller(), account, user.boundary.as_ref())
                .await?;
        }
        Ok(())
    }
}

pub(crate) fn unknown_user(account: &AccountId, user: &UserName) -> UnknownPrincipal {
    UnknownPrincipal {
        noun: Noun::User,
        name: user.to_string(),
        account: account.clone(),
    }
}

/// Whether a text is long enough to be a secret, and can stand in every place where one is given.
fn is_secret(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=._~-".contains(&byte);
    (40..=128).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// What a request calls a key, cut to what an error shows.
fn short(id: &str) -> String {
    /// Far longer than any id.
    const MAX_SHOWN_CHARS: usize = 128;
    id.chars().take(MAX_SHOWN_CHARS).collect()
}
