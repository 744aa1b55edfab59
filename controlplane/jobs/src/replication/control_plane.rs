// SPDX-License-Identifier: Apache-2.0
//! Control planes of destinations that do not answer: one task asks them again from time to time, and the others wait.
//!
//! They say nothing about the registry there, so that images do not wait with them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use hythe_meta::{ClaimedReplication, ReplicationOutcome};
use hythe_model::{AccountId, Region};

use super::failure::Reached;
use super::{MAX_REMOTES, Replicator, failure};

/// Those that did not answer this process when they were asked last.
#[derive(Debug, Default)]
pub(super) struct ControlPlanes(Mutex<HashSet<(AccountId, Region)>>);

impl ControlPlanes {
    fn note_failure(&self, key: (AccountId, Region)) {
        let mut failing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if failing.len() >= MAX_REMOTES {
            // What waits for those that are forgotten goes when its time comes.
            failing.clear();
        }
        failing.insert(key);
    }

    /// Takes note of an answer; says whether it is the first after a failure.
    fn note_answer(&self, key: &(AccountId, Region)) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key)
    }
}

impl Replicator {
    /// Takes note of how it went to bring settings, and has the settings of other repositories wait, or go, accordingly.
    pub(super) async fn end_settings(&self, claimed: &ClaimedReplication, outcome: &ReplicationOutcome) {
        let (store, destination) = (&self.0.store, &claimed.destination);
        let key = (destination.account.clone(), destination.name.clone());
        let wait_until = failure::settings_wait_until(claimed, outcome, self.now());
        let is_done = matches!(outcome, ReplicationOutcome::Done { .. });
        // What is absent may not have been asked for.
        let has_answered = !matches!(outcome, ReplicationOutcome::Absent)
            && failure::reached(outcome, destination.failures, self.now()) == Reached::Yes;
        if wait_until.is_some() {
            self.0.control_planes.note_failure(key.clone());
        }
        self.noting(|| store.end_settings_replication(claimed, outcome.clone(), self.now(), wait_until))
            .await;
        // Another process may have put them off before this one began, or this one before it was started again.
        let may_wait = is_done && claimed.task.attempts > 0;
        if has_answered && (self.0.control_planes.note_answer(&key) || may_wait) {
            let (account, name) = &key;
            self.noting(|| store.hurry_settings(account, name, self.now())).await;
        }
    }
}
