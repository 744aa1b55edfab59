// SPDX-License-Identifier: Apache-2.0
//! Accounts: create, list, describe, rename, close and open again; and the keys of their administrators.
//!
//! All of it is for those who may administer the deployment: the permission is for the registry of the default account,
//! and the account that an operation is about comes as an argument.

use hythe_access::{Caller, Granted, Principal, kinds};
use hythe_meta::{AccessKeyRecord, AccountChange, AccountRecord, MAX_ACCOUNTS, StoreError};
use hythe_model::AccountId;

use crate::gate::random_account_id;
use crate::{ControlPlane, CreatedAccessKey, CryptoError, MAX_ACCESS_KEYS, Page};

/// The longest name of an account, in characters (AWS Organizations, `CreateAccount`).
pub const MAX_ACCOUNT_NAME_CHARS: usize = 50;
/// How often a random id is tried that is taken already.
const MAX_ID_ATTEMPTS: usize = 8;

/// There is no such account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The account with id '{0}' does not exist")]
pub struct UnknownAccount(pub AccountId);

/// Why an account was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccountError {
    /// The permission is not for the whole deployment.
    #[error("accounts are administered through the default account only")]
    NotAdministrative,
    /// There is one of this id.
    #[error("The account with id '{0}' already exists")]
    AlreadyExists(AccountId),
    /// There are as many as there may be.
    #[error("the deployment has as many accounts as it may have, {MAX_ACCOUNTS}")]
    LimitExceeded,
    /// The name is empty, too long, or has a control character.
    #[error("it must have 1 to {MAX_ACCOUNT_NAME_CHARS} characters, none of them a control character")]
    Name,
    /// The cryptography library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an account was not found.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The permission is not for the whole deployment.
    #[error("accounts are administered through the default account only")]
    NotAdministrative,
    /// There is no such account.
    #[error(transparent)]
    Unknown(#[from] UnknownAccount),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an account was not changed or closed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateAccountError {
    /// The permission is not for the whole deployment.
    #[error("accounts are administered through the default account only")]
    NotAdministrative,
    /// The request names nothing to change.
    #[error("the request changes nothing: give a name or a status")]
    Nothing,
    /// The name is empty, too long, or has a control character.
    #[error("it must have 1 to {MAX_ACCOUNT_NAME_CHARS} characters, none of them a control character")]
    Name,
    /// There is no such account.
    #[error(transparent)]
    Unknown(#[from] UnknownAccount),
    /// The default account is the one that administers all others.
    #[error("the default account cannot be closed: it administers all others")]
    Default,
    /// It has repositories.
    #[error(
        "the account with id '{0}' has repositories: delete them first, or close it with `force`, which keeps them"
    )]
    HasRepositories(AccountId),
    /// It has changed since the version that the request names.
    #[error("the account has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no key of an administrator was made, or none was found.
#[derive(Debug, thiserror::Error)]
pub enum AdministratorKeyError {
    /// The caller is not the administrator of the deployment.
    #[error("only the administrator of the default account manages the access keys of administrators")]
    NotAdministrator,
    /// There is no such account.
    #[error(transparent)]
    UnknownAccount(#[from] UnknownAccount),
    /// The account is closed.
    #[error("the account with id '{0}' is closed: open it first")]
    Closed(AccountId),
    /// The administrator has no such key.
    #[error("The access key with id '{0}' does not exist for the administrator of the account with id '{1}'")]
    Unknown(String, AccountId),
    /// The administrator has as many keys as there may be.
    #[error(
        "the administrator of the account with id '{0}' has {MAX_ACCESS_KEYS} access keys, and that is the most: delete one first"
    )]
    LimitExceeded(AccountId),
    /// It is the key that the request was made with.
    #[error("the access key with id '{0}' is the one you are using: delete it with the other one")]
    InUse(String),
    /// The cryptography library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Creates an account, with a random id unless one is given.
    #[tracing::instrument(name = "account.create", skip_all)]
    pub async fn create_account(
        &self,
        granted: &Granted<kinds::CreateAccount>,
        id: Option<AccountId>,
        name: String,
    ) -> Result<AccountRecord, CreateAccountError> {
        if !self.is_administrative(granted.resource()) {
            return Err(CreateAccountError::NotAdministrative);
        }
        if !is_account_name(&name) {
            return Err(CreateAccountError::Name);
        }
        if self.store().account_count().await? >= MAX_ACCOUNTS {
            return Err(CreateAccountError::LimitExceeded);
        }
        let now = self.stored_now();
        let attempts = if id.is_some() { 1 } else { MAX_ID_ATTEMPTS };
        let mut tried = None;
        for _ in 0..attempts {
            let id = match &id {
                Some(id) => id.clone(),
                None => random_account_id()?,
            };
            if self.store().create_account(&id, &name, now).await? {
                // Somebody may have been told that there is none.
                self.gate().forget_users();
                return Ok(AccountRecord {
                    id,
                    name,
                    is_closed: false,
                    created_at: now,
                    version: 1,
                });
            }
            tried = Some(id);
        }
        Err(CreateAccountError::AlreadyExists(tried.unwrap_or_default()))
    }

    /// Lists the accounts by id.
    #[tracing::instrument(name = "account.list", skip_all)]
    pub async fn accounts(
        &self,
        granted: &Granted<kinds::ListAccounts>,
        after: Option<AccountId>,
        limit: usize,
    ) -> Result<Page<AccountRecord, AccountId>, AccountError> {
        if !self.is_administrative(granted.resource()) {
            return Err(AccountError::NotAdministrative);
        }
        let accounts = self.store().accounts(after.as_ref(), limit + 1).await?;
        Ok(Page::of(accounts, limit, |last| last.id.clone()))
    }

    /// Describes an account.
    #[tracing::instrument(name = "account.describe", skip_all, fields(account.id = %id))]
    pub async fn account(
        &self,
        granted: &Granted<kinds::ListAccounts>,
        id: &AccountId,
    ) -> Result<AccountRecord, AccountError> {
        if !self.is_administrative(granted.resource()) {
            return Err(AccountError::NotAdministrative);
        }
        let account = self.store().account(id).await?;
        Ok(account.ok_or_else(|| UnknownAccount(id.clone()))?)
    }

    /// Renames an account, or opens it again.
    #[tracing::instrument(name = "account.update", skip_all, fields(account.id = %id))]
    pub async fn update_account(
        &self,
        granted: &Granted<kinds::UpdateAccount>,
        id: &AccountId,
        name: Option<String>,
        open: bool,
        expected_version: Option<i64>,
    ) -> Result<AccountRecord, UpdateAccountError> {
        if !self.is_administrative(granted.resource()) {
            return Err(UpdateAccountError::NotAdministrative);
        }
        if name.is_none() && !open {
            return Err(UpdateAccountError::Nothing);
        }
        let change = AccountChange {
            name,
            is_closed: open.then_some(false),
        };
        self.change_account(id, change, false, expected_version).await
    }

    /// Closes an account, and renames it if a name is given: from then on none of its credentials is good, and nothing
    /// of it is served. Its data is kept. One that has repositories is closed with `force` only.
    #[tracing::instrument(name = "account.close", skip_all, fields(account.id = %id))]
    pub async fn close_account(
        &self,
        granted: &Granted<kinds::CloseAccount>,
        id: &AccountId,
        force: bool,
        name: Option<(Granted<kinds::UpdateAccount>, String)>,
        expected_version: Option<i64>,
    ) -> Result<AccountRecord, UpdateAccountError> {
        let naming = name.as_ref().map(|(granted, _)| granted.resource());
        if !self.is_administrative(granted.resource()) || naming.is_some_and(|account| !self.is_administrative(account))
        {
            return Err(UpdateAccountError::NotAdministrative);
        }
        if *id == self.settings().default_account {
            return Err(UpdateAccountError::Default);
        }
        let change = AccountChange {
            name: name.map(|(_, name)| name),
            is_closed: Some(true),
        };
        self.change_account(id, change, force, expected_version).await
    }

    /// The access keys of the administrator of an account.
    #[tracing::instrument(name = "administrator_key.list", skip_all, fields(account.id = %id))]
    pub async fn administrator_keys(
        &self,
        granted: &Granted<kinds::ListAccessKeys>,
        id: &AccountId,
    ) -> Result<Vec<AccessKeyRecord>, AdministratorKeyError> {
        if !self.is_administrator(granted.caller()) {
            return Err(AdministratorKeyError::NotAdministrator);
        }
        let known = self.store().account(id).await?;
        known.ok_or_else(|| UnknownAccount(id.clone()))?;
        Ok(self.store().access_keys(id, None).await?)
    }

    /// Makes an access key for the administrator of an account.
    #[tracing::instrument(name = "administrator_key.create", skip_all, fields(account.id = %id))]
    pub async fn create_administrator_key(
        &self,
        granted: &Granted<kinds::CreateAccessKey>,
        id: &AccountId,
    ) -> Result<CreatedAccessKey, AdministratorKeyError> {
        if !self.is_administrator(granted.caller()) {
            return Err(AdministratorKeyError::NotAdministrator);
        }
        let account = self.store().account(id).await?;
        if account.ok_or_else(|| UnknownAccount(id.clone()))?.is_closed {
            return Err(AdministratorKeyError::Closed(id.clone()));
        }
        let key = self.new_access_key(id, None)?;
        match self.store().create_access_key(&key.record, MAX_ACCESS_KEYS).await {
            Ok(()) => Ok(key),
            Err(hythe_meta::CreateAccessKeyError::UserUnknown) => Err(UnknownAccount(id.clone()).into()),
            Err(hythe_meta::CreateAccessKeyError::LimitExceeded) => {
                Err(AdministratorKeyError::LimitExceeded(id.clone()))
            }
            Err(hythe_meta::CreateAccessKeyError::Store(error)) => Err(error.into()),
        }
    }

    /// Deletes an access key of the administrator of an account, but not the one that the caller uses.
    #[tracing::instrument(name = "administrator_key.delete", skip_all, fields(account.id = %id, access_key.id = key))]
    pub async fn delete_administrator_key(
        &self,
        granted: &Granted<kinds::DeleteAccessKey>,
        id: &AccountId,
        key: &str,
    ) -> Result<AccessKeyRecord, AdministratorKeyError> {
        if !self.is_administrator(granted.caller()) {
            return Err(AdministratorKeyError::NotAdministrator);
        }
        if granted.caller().lineage.access_key_id.as_deref() == Some(key) {
            return Err(AdministratorKeyError::InUse(key.to_owned()));
        }
        let deleted = self.store().delete_access_key(id, None, key).await;
        self.gate().forget_access_keys();
        if let Some(deleted) = deleted? {
            return Ok(deleted);
        }
        let known = self.store().account(id).await?;
        known.ok_or_else(|| UnknownAccount(id.clone()))?;
        Err(AdministratorKeyError::Unknown(
            key.chars().take(128).collect(),
            id.clone(),
        ))
    }

    async fn change_account(
        &self,
        id: &AccountId,
        change: AccountChange,
        force: bool,
        expected_version: Option<i64>,
    ) -> Result<AccountRecord, UpdateAccountError> {
        if change.name.as_deref().is_some_and(|name| !is_account_name(name)) {
            return Err(UpdateAccountError::Name);
        }
        let changed = self.store().update_account(id, change, force, expected_version).await;
        self.gate().forget_users();
        changed.map_err(|error| match error {
            hythe_meta::UpdateAccountError::Unknown => UnknownAccount(id.clone()).into(),
            hythe_meta::UpdateAccountError::VersionMismatch => UpdateAccountError::VersionMismatch,
            hythe_meta::UpdateAccountError::HasRepositories => UpdateAccountError::HasRepositories(id.clone()),
            hythe_meta::UpdateAccountError::Store(error) => error.into(),
        })
    }

    /// Whether the caller is the administrator of the deployment. Keys of administrators are above what can be given to
    /// anybody else: whoever makes one can do everything in its account.
    fn is_administrator(&self, caller: &Caller) -> bool {
        caller.principal == Principal::Root(self.settings().default_account.clone())
    }

    /// Whether a permission for the registry of `account` is one for the whole deployment.
    fn is_administrative(&self, account: &AccountId) -> bool {
        *account == self.settings().default_account
    }
}

fn is_account_name(name: &str) -> bool {
    (1..=MAX_ACCOUNT_NAME_CHARS).contains(&name.chars().count()) && !name.contains(char::is_control)
}
