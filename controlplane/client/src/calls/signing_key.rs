// SPDX-License-Identifier: Apache-2.0
//! The keys that sign tokens.

use hythe_wire::{SigningKey, SigningKeyList, path};
use reqwest::Method;

use crate::{Client, ClientError};

impl Client {
    /// All keys that sign or verify tokens, oldest first.
    pub async fn signing_keys(&self) -> Result<SigningKeyList, ClientError> {
        self.request(Method::GET, &path::signing_keys()).json().await
    }

    /// Makes a new key that signs tokens; those of the others stay good until they end.
    pub async fn rotate_signing_key(&self) -> Result<SigningKey, ClientError> {
        self.request(Method::POST, &path::signing_keys()).json().await
    }
}
