// SPDX-License-Identifier: Apache-2.0
//! The keys that sign tokens: list, rotate.

use std::sync::Arc;

use hythe_access::{Granted, kinds};
use jiff::Timestamp;

use crate::gate::SigningKey;
use crate::{ControlPlane, RotateSigningKeyError};

/// What a key is for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKeyStatus {
    /// It will sign in a moment, when all nodes know it.
    Pending,
    /// It signs.
    Active,
    /// It signs no more, and verifies the tokens that it has signed until they end.
    Verifying,
}

/// A key that signs tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyDetail {
    /// Its id, which every token of it names.
    pub id: String,
    /// What it is for now.
    pub status: SigningKeyStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs; `None` for the first key of a deployment.
    pub active_from: Option<Timestamp>,
    /// Until when it verifies; `None` while there is no newer key.
    pub verifies_until: Option<Timestamp>,
}

/// Why a signing key was not looked at or made.
#[derive(Debug, thiserror::Error)]
pub enum SigningKeyError {
    /// Another account than the deployment's default was meant.
    #[error("signing keys belong to the deployment: they are in the registry of its default account")]
    NotDefaultAccount,
    /// There is no new key.
    #[error(transparent)]
    Rotate(#[from] RotateSigningKeyError),
}

impl ControlPlane {
    /// The keys that sign tokens, oldest first.
    pub fn signing_keys(
        &self,
        granted: &Granted<kinds::ListSigningKeys>,
    ) -> Result<Vec<SigningKeyDetail>, SigningKeyError> {
        self.require_default(granted.resource())?;
        let (keys, current) = self.gate().signing_keys();
        Ok(keys.iter().map(|key| detail(key, current.as_deref())).collect())
    }

    /// Makes a new key that signs tokens. Tokens of the others stay good until they end.
    #[tracing::instrument(name = "signing_key.rotate", skip_all)]
    pub async fn rotate_signing_key(
        &self,
        granted: &Granted<kinds::RotateSigningKey>,
    ) -> Result<SigningKeyDetail, SigningKeyError> {
        self.require_default(granted.resource())?;
        let key: Arc<SigningKey> = self.gate().rotate_signing_key().await?;
        let (_, current) = self.gate().signing_keys();
        Ok(detail(&key, current.as_deref()))
    }

    fn require_default(&self, account: &hythe_model::AccountId) -> Result<(), SigningKeyError> {
        if *account == self.settings().default_account {
            Ok(())
        } else {
            Err(SigningKeyError::NotDefaultAccount)
        }
    }
}

fn detail(key: &SigningKey, current: Option<&SigningKey>) -> SigningKeyDetail {
    let current = current.map_or(0, |current| current.generation);
    SigningKeyDetail {
        id: key.id.clone(),
        status: match key.generation.cmp(&current) {
            std::cmp::Ordering::Less => SigningKeyStatus::Verifying,
            std::cmp::Ordering::Equal => SigningKeyStatus::Active,
            std::cmp::Ordering::Greater => SigningKeyStatus::Pending,
        },
        created_at: key.created_at,
        active_from: (key.active_from > Timestamp::UNIX_EPOCH).then_some(key.active_from),
        verifies_until: key.verifies_until,
    }
}
