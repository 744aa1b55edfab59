// SPDX-License-Identifier: Apache-2.0
//! Which tokens are no longer good, and until when renewable ones are: kept in memory, so that a request
//! needs no round trip, and brought up to date from the store every second.

use std::collections::{HashMap, HashSet};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hythe_meta::{Store, StoreError};
use jiff::Timestamp;

/// What is known of revoked and of renewable tokens.
#[derive(Debug, Default)]
pub(crate) struct Revocations(RwLock<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Counts the refreshes that have begun.
    round: u64,
    revoked: HashSet<String>,
    leases: HashMap<String, Timestamp>,
    // What changed on this node since a refresh began that may not have seen it.
    recently_revoked: HashMap<String, u64>,
    recently_leased: HashMap<String, (u64, Timestamp)>,
}

impl Revocations {
    /// Whether any of the tokens was revoked.
    pub(crate) fn is_any_revoked(&self, ids: &[String]) -> bool {
        let known = self.read();
        ids.iter()
            .any(|id| known.revoked.contains(id) || known.recently_revoked.contains_key(id))
    }

    /// Until when the lease runs, as far as this node knows.
    pub(crate) fn lease(&self, id: &str) -> Option<Timestamp> {
        let known = self.read();
        known
            .recently_leased
            .get(id)
            .map(|(_, until)| *until)
            .or_else(|| known.leases.get(id).copied())
    }

    /// Notes what this node has written.
    pub(crate) fn revoke(&self, id: &str) {
        let mut known = self.write();
        let round = known.round;
        known.recently_revoked.insert(id.to_owned(), round);
    }

    /// Notes what this node has written or looked up.
    pub(crate) fn set_lease(&self, id: &str, until: Timestamp) {
        let mut known = self.write();
        let round = known.round;
        known.recently_leased.insert(id.to_owned(), (round, until));
    }

    /// Takes over what the store says.
    pub(crate) async fn refresh(&self, store: &Store, now: Timestamp) -> Result<(), StoreError> {
        let begun = {
            let mut known = self.write();
            known.round += 1;
            known.round
        };
        let revoked = store.revoked_tokens(now).await?.into_iter().collect();
        let leases = store.leases(now).await?.into_iter().collect();
        let mut known = self.write();
        known.revoked = revoked;
        known.leases = leases;
        // What was written before this refresh began, it has seen.
        known.recently_revoked.retain(|_, round| *round >= begun);
        known.recently_leased.retain(|_, (round, _)| *round >= begun);
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, Known> {
        // Every change under the lock is one assignment or one insertion, so a panic leaves nothing half done.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Known> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
