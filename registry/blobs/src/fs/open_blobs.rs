// SPDX-License-Identifier: Apache-2.0
//! The descriptors of the blobs that were read last.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use hythe_model::Digest;

use super::content::BlobFile;

/// The most descriptors that are kept open for the next reader. Far below the usual limit of 1024 for a process.
pub(super) const MAX_OPEN: usize = 256;

/// A cache of about least recent use. It answers only what cannot change: a blob's bytes and size while it is there.
///
/// A hit takes a lock that readers share and sets a mark. Room is made by second chance: the oldest blob goes
/// unless it was marked since it was looked at last, so that each insertion costs a constant time on average.
#[derive(Debug, Default)]
pub(super) struct OpenBlobs {
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    blobs: HashMap<Digest, Entry>,
    /// The blobs in the order in which they are looked at for room. INVARIANT: each once.
    order: VecDeque<Digest>,
    /// Counts deletions.
    deletions: u64,
}

#[derive(Debug)]
struct Entry {
    file: Arc<BlobFile>,
    was_used: AtomicBool,
}

impl OpenBlobs {
    /// The blob, if it is open.
    pub(super) fn get(&self, digest: &Digest) -> Option<Arc<BlobFile>> {
        let state = self.read();
        let entry = state.blobs.get(digest)?;
        entry.was_used.store(true, Ordering::Relaxed);
        Some(Arc::clone(&entry.file))
    }

    /// A ticket to take before a file is opened that shall be kept.
    pub(super) fn ticket(&self) -> u64 {
        self.read().deletions
    }

    /// Keeps a blob that was opened after `ticket` was taken, unless one was deleted since: it might be this.
    pub(super) fn keep(&self, digest: Digest, file: &Arc<BlobFile>, ticket: u64) {
        let mut state = self.write();
        if state.deletions != ticket {
            return;
        }
        let is_new = !state.blobs.contains_key(&digest);
        if is_new {
            state.make_room();
            state.order.push_back(digest);
        }
        let entry = Entry {
            file: Arc::clone(file),
            was_used: AtomicBool::new(false),
        };
        state.blobs.insert(digest, entry);
    }

    /// Lets go of a blob whose file was removed.
    pub(super) fn remove(&self, digest: &Digest) {
        let mut state = self.write();
        state.deletions += 1;
        if state.blobs.remove(digest).is_some() {
            state.order.retain(|other| other != digest);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn make_room(&mut self) {
        while self.blobs.len() >= MAX_OPEN
            && let Some(oldest) = self.order.pop_front()
        {
            let was_used = self
                .blobs
                .get(&oldest)
                .is_some_and(|entry| entry.was_used.swap(false, Ordering::Relaxed));
            if was_used {
                self.order.push_back(oldest);
            } else {
                self.blobs.remove(&oldest);
            }
        }
    }
}
