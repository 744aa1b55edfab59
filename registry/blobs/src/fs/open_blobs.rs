// SPDX-License-Identifier: Apache-2.0
//! The descriptors of the blobs that were read last.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hythe_model::Digest;

use super::content::BlobFile;

/// The most descriptors that are kept open for the next reader. Far below the usual limit of 1024 for a process.
const MAX_OPEN: usize = 256;

/// A cache by least recent use. It answers only what cannot change: a blob's bytes and size while it is there.
#[derive(Debug, Default)]
pub(super) struct OpenBlobs {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<Digest, (Arc<BlobFile>, u64)>,
    /// Counts uses.
    clock: u64,
    /// Counts deletions.
    deletions: u64,
}

impl OpenBlobs {
    /// The blob, if it is open.
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<BlobFile>> {
        let mut state = self.lock();
        state.clock += 1;
        let now = state.clock;
        let (file, used) = state.blobs.get_mut(digest)?;
        *used = now;
        Some(Arc::clone(file))
    }

    /// A ticket to take before a file is opened that shall be kept.
    pub(super) fn ticket(&self) -> u64 {
        self.lock().deletions
    }

    /// Keeps a blob that was opened after `ticket` was taken, unless one was deleted since: it might be this.
    pub(super) fn keep(&self, digest: Digest, file: &Arc<BlobFile>, ticket: u64) {
        let mut state = self.lock();
        if state.deletions != ticket {
            return;
        }
        state.clock += 1;
        let now = state.clock;
        if state.blobs.len() >= MAX_OPEN
            && !state.blobs.contains_key(&digest)
            && let Some(oldest) = state
                .blobs
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(digest, _)| *digest)
        {
            state.blobs.remove(&oldest);
        }
        state.blobs.insert(digest, (Arc::clone(file), now));
    }

    /// Lets go of a blob whose file was removed.
    pub(super) fn remove(&self, digest: &Digest) {
        let mut state = self.lock();
        state.deletions += 1;
        state.blobs.remove(digest);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
