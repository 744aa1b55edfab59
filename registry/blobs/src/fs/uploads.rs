// SPDX-License-Identifier: Apache-2.0
//! What this process knows of uploads: who writes to one now, and which hashes it can vouch for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hythe_model::UploadId;

use crate::{Hasher, Progress};

/// The most uploads whose hash is vouched for; of others, the bytes are hashed again before they are published.
const MAX_VOUCHED: usize = 4096;

/// Uploads in this process.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    claimed: HashSet<UploadId>,
    /// The hash over exactly the bytes that the file holds up to [`Hasher::bytes`], all of them written by
    /// this process. Without it a hash is only somebody's word: after a power cut the file may have lost
    /// bytes that the caller remembers, and a request that lost a race may have overwritten them.
    vouched: HashMap<UploadId, Hasher>,
    /// The keys of `vouched`, oldest first.
    order: VecDeque<UploadId>,
}

/// The right to change an upload, which nobody else has until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    uploads: Arc<Uploads>,
    upload: UploadId,
}

impl Uploads {
    /// Claims an upload; `None` while somebody else does.
    pub(super) fn claim(self: &Arc<Self>, upload: UploadId) -> Option<Claim> {
        let is_free = self.lock().claimed.insert(upload);
        is_free.then(|| Claim {
            uploads: Arc::clone(self),
            upload,
        })
    }

    /// Whether the file's bytes are known to hash to this progress.
    pub(super) fn vouches(&self, upload: UploadId, progress: &Progress) -> bool {
        progress.hasher.bytes() == progress.bytes
            && self
                .lock()
                .vouched
                .get(&upload)
                .is_some_and(|hasher| *hasher == progress.hasher)
    }

    /// Vouches for `hasher` from now on, instead of any other.
    pub(super) fn vouch(&self, upload: UploadId, hasher: Hasher) {
        let mut state = self.lock();
        if state.vouched.insert(upload, hasher).is_some() {
            return;
        }
        state.order.push_back(upload);
        while state.order.len() > MAX_VOUCHED {
            let Some(oldest) = state.order.pop_front() else { break };
            state.vouched.remove(&oldest);
        }
    }

    /// Vouches for nothing any more.
    pub(super) fn forget(&self, upload: UploadId) {
        let mut state = self.lock();
        if state.vouched.remove(&upload).is_some() {
            state.order.retain(|other| *other != upload);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.uploads.lock().claimed.remove(&self.upload);
    }
}

#[cfg(test)]
mod tests {
    use hythe_model::Algorithm;

    use super::*;

    #[test]
    fn a_claim_ends_when_it_is_dropped() {
        let uploads = Arc::new(Uploads::default());
        let upload = UploadId::generate();
        let claim = uploads.claim(upload).unwrap();
        assert!(uploads.claim(upload).is_none());
        assert!(uploads.claim(UploadId::generate()).is_some());
        drop(claim);
        assert!(uploads.claim(upload).is_some());
    }

    #[test]
    fn only_the_newest_uploads_are_vouched_for() {
        let uploads = Uploads::default();
        let hasher = Hasher::new(Algorithm::Sha256);
        let progress = Progress {
            bytes: 0,
            hasher: hasher.clone(),
        };
        let ids: Vec<_> = (0..=MAX_VOUCHED).map(|_| UploadId::generate()).collect();
        for id in &ids {
            uploads.vouch(*id, hasher.clone());
            uploads.vouch(*id, hasher.clone());
        }
        assert!(!uploads.vouches(ids[0], &progress));
        assert!(uploads.vouches(ids[1], &progress));
        uploads.forget(ids[1]);
        assert!(!uploads.vouches(ids[1], &progress));
        let state = uploads.lock();
        assert_eq!(
            (state.order.len(), state.vouched.len()),
            (MAX_VOUCHED - 1, MAX_VOUCHED - 1)
        );
    }
}
