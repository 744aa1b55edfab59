// SPDX-License-Identifier: Apache-2.0
//! Whether accounts are open: nothing of one that is closed or unknown is served, to nobody.

use hythe_access::{Caller, GateError};
use hythe_model::AccountId;

use super::{AccessGate, failed};

impl AccessGate {
    /// Whether what `owner` has may be served to `caller`. Within an account this was looked at with the principal.
    pub(super) async fn is_served(&self, caller: &Caller, owner: &AccountId) -> Result<bool, GateError> {
        if caller.principal.account() == Some(owner) {
            return Ok(true);
        }
        let now = self.clock.now();
        let generation = match self.open_accounts.get(owner, now) {
            Ok(()) => return Ok(true),
            Err(generation) => generation,
        };
        let found = self.store.account(owner).await.map_err(failed)?;
        let is_open = found.is_some_and(|account| !account.is_closed);
        // Only that it is open is remembered, so that one that was just opened is served at once.
        if is_open {
            self.open_accounts.put(generation, owner.clone(), (), now);
        }
        Ok(is_open)
    }
}
