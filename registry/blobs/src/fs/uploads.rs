// SPDX-License-Identifier: Apache-2.0
//! What this process knows of uploads: who writes to one now, and which hashes it can vouch for.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hythe_model::UploadId;

use crate::{Hasher, Progress};

/// The most uploads whose hash is vouched for, each with an open descriptor; of others, the bytes are hashed
/// again before they are published. Together with the descriptors of blobs far below the usual limit of 1024.
const MAX_VOUCHED: usize = 256;

/// Uploads in this process.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// With how many bytes are in the file.
    claimed: HashMap<UploadId, Arc<AtomicU64>>,
    /// The hash over exactly the bytes that the file holds up to [`Hasher::bytes`], all of them written by
    /// this process. Without it a hash is only somebody's word: after a power cut the file may have lost
    /// bytes that the caller remembers, and a request that lost a race may have overwritten them.
    vouched: HashMap<UploadId, Vouched>,
    /// The keys of `vouched`, oldest first.
    order: VecDeque<UploadId>,
}

/// An upload whose hash this process knows.
#[derive(Debug)]
struct Vouched {
    hasher: Hasher,
    /// Open since the bytes were written: only then is it certain that the next `fdatasync` tells of every byte
    /// that the kernel could not write (fsync(2), errors are reported to the descriptors that are open).
    file: Arc<File>,
}

/// The right to change an upload, which nobody else has until it is dropped.
#[derive(Debug)]
pub(super) struct Claim {
    uploads: Arc<Uploads>,
    upload: UploadId,
    written: Arc<AtomicU64>,
}

impl Uploads {
    /// Claims an upload; `None` while somebody else does.
    pub(super) fn claim(self: &Arc<Self>, upload: UploadId) -> Option<Claim> {
        let mut state = self.lock();
        let Entry::Vacant(free) = state.claimed.entry(upload) else {
            return None;
        };
        let written = Arc::clone(free.insert(Arc::default()));
        drop(state);
        Some(Claim {
            uploads: Arc::clone(self),
            upload,
            written,
        })
    }

    /// How many bytes are in the file of an upload that somebody has now.
    pub(super) fn written(&self, upload: UploadId) -> Option<u64> {
        let state = self.lock();
        Some(state.claimed.get(&upload)?.load(Ordering::Acquire))
    }

    /// Whether somebody has the upload now.
    pub(super) fn is_claimed(&self, upload: UploadId) -> bool {
        self.lock().claimed.contains_key(&upload)
    }

    /// The file of the upload, if its bytes are known to hash to this progress.
    pub(super) fn vouched(&self, upload: UploadId, progress: &Progress) -> Option<Arc<File>> {
        let state = self.lock();
        let vouched = state.vouched.get(&upload)?;
        let is_known = progress.hasher.bytes() == progress.bytes && vouched.hasher == progress.hasher;
        is_known.then(|| Arc::clone(&vouched.file))
    }

    /// Vouches for `hasher` from now on, instead of any other.
    pub(super) fn vouch(&self, upload: UploadId, hasher: Hasher, file: Arc<File>) {
        let mut state = self.lock();
        if state.vouched.insert(upload, Vouched { hasher, file }).is_some() {
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

impl Claim {
    /// Lets others read the file up to there.
    pub(super) fn note_written(&self, bytes: u64) {
        self.written.store(bytes, Ordering::Release);
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
        let file = Arc::new(tempfile::tempfile().unwrap());
        let hasher = Hasher::new(Algorithm::Sha256);
        let progress = Progress {
            bytes: 0,
            hasher: hasher.clone(),
        };
        let ids: Vec<_> = (0..=MAX_VOUCHED).map(|_| UploadId::generate()).collect();
        for id in &ids {
            uploads.vouch(*id, hasher.clone(), Arc::clone(&file));
            uploads.vouch(*id, hasher.clone(), Arc::clone(&file));
        }
        assert!(uploads.vouched(ids[0], &progress).is_none());
        assert!(uploads.vouched(ids[1], &progress).is_some());
        uploads.forget(ids[1]);
        assert!(uploads.vouched(ids[1], &progress).is_none());
        let state = uploads.lock();
        assert_eq!(
            (state.order.len(), state.vouched.len()),
            (MAX_VOUCHED - 1, MAX_VOUCHED - 1)
        );
    }
}
