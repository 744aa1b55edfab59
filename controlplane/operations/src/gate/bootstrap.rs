// SPDX-License-Identifier: Apache-2.0
//! The first start of a deployment.

use std::sync::Arc;

use aws_lc_rs::constant_time;
use hythe_access::Secret;
use hythe_meta::{AccessKeyRecord, Store, StoreError};
use hythe_model::{AccountId, Clock};

use super::keys::{CryptoError, Keys, MasterKey, new_access_key_id, new_secret};
use crate::MAX_ACCESS_KEYS;

/// The setting that tells whether a master key is the deployment's.
const KEY_CHECK: &str = "key-check";

/// An access key with its secret, which nobody can read again.
#[derive(Clone, Debug)]
pub struct NewCredentials {
    /// The id.
    pub access_key_id: String,
    /// The secret.
    pub secret_access_key: Secret,
}

/// Why a deployment cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The master key is not the one that the deployment was made with.
    #[error(
        "the master key does not fit the metadata: start with the key that this deployment was made with, \
         or with an empty data folder"
    )]
    WrongMasterKey,
    /// The administrator has as many keys as there may be.
    #[error("the administrator has {MAX_ACCESS_KEYS} access keys already: delete one first")]
    TooManyKeys,
    /// No keys could be made.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store refused or failed.
    #[error("cannot prepare the metadata")]
    Store(#[from] StoreError),
}

/// Makes sure that `master` is the deployment's key, that `account` exists, and that it has an administrator who can log
/// in. Returns the administrator's access key if it had to be made: on the first start, and after a crash in it.
pub async fn bootstrap(
    store: &Store,
    clock: &Arc<dyn Clock>,
    master: &MasterKey,
    account: &AccountId,
) -> Result<Option<NewCredentials>, BootstrapError> {
    let keys = Keys::derive(master)?;
    let stored = store.put_setting_if_absent(KEY_CHECK, &keys.check).await?;
    constant_time::verify_slices_are_equal(stored.as_bytes(), keys.check.as_bytes())
        .map_err(|_| BootstrapError::WrongMasterKey)?;
    store.create_account(account, "default", clock.now()).await?;
    if store.access_keys(account, None).await?.is_empty() {
        return create_administrator_key(store, clock, master, account).await.map(Some);
    }
    Ok(None)
}

/// Makes another access key for the administrator of `account`, for an operator who lost the first.
pub async fn create_administrator_key(
    store: &Store,
    clock: &Arc<dyn Clock>,
    master: &MasterKey,
    account: &AccountId,
) -> Result<NewCredentials, BootstrapError> {
    let keys = Keys::derive(master)?;
    let credentials = NewCredentials {
        access_key_id: new_access_key_id()?,
        secret_access_key: new_secret()?,
    };
    let record = AccessKeyRecord {
        sealed_secret: keys.seal(&credentials.access_key_id, &credentials.secret_access_key)?,
        id: credentials.access_key_id.clone(),
        account: account.clone(),
        user: None,
        is_active: true,
        created_at: clock.now(),
        last_used_at: None,
    };
    match store.create_access_key(&record, MAX_ACCESS_KEYS).await {
        Ok(()) => Ok(credentials),
        Err(hythe_meta::CreateAccessKeyError::LimitExceeded) => Err(BootstrapError::TooManyKeys),
        // The administrator is no user, so there is none to be missing.
        Err(hythe_meta::CreateAccessKeyError::UserUnknown) => Err(BootstrapError::Store(StoreError::Corrupt(
            "the administrator's account is missing".into(),
        ))),
        Err(hythe_meta::CreateAccessKeyError::Store(error)) => Err(error.into()),
    }
}
