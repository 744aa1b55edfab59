// SPDX-License-Identifier: Apache-2.0
//! The registry, and who is asking.

use hythe_wire::{CallerIdentity, Registry, path};

use crate::{Client, ClientError};

impl Client {
    /// The registry of the caller's account.
    pub async fn registry(&self) -> Result<Registry, ClientError> {
        self.get(&path::registry()).json().await
    }

    /// Who the caller is.
    pub async fn caller_identity(&self) -> Result<CallerIdentity, ClientError> {
        self.get(&path::caller_identity()).json().await
    }
}
