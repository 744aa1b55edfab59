// SPDX-License-Identifier: Apache-2.0
//! One writer per session.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hythe_model::UploadId;

use super::UploadError;

/// The sessions that a request of this process is changing now.
///
/// The row's version alone would let two requests overwrite each other's bytes in the blob store between
/// reading the row and advancing it, so that the bytes would no longer be those of the hash that won.
#[derive(Debug, Default)]
pub(crate) struct Writers(Mutex<Sessions>);

#[derive(Debug, Default)]
struct Sessions {
    claimed: HashSet<UploadId>,
    /// Those whose bytes began to go to the blob store: if the row says that they are still few, a request was
    /// cut off in between and left some there. Whatever is forgotten here becomes stale.
    spilled: HashSet<UploadId>,
}

/// The most sessions of which is remembered that they may have left bytes in the blob store.
const MAX_SPILLED: usize = 4096;

/// The right to change a session, until it is dropped.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    writers: &'a Writers,
    id: UploadId,
}

impl Writers {
    /// Takes the session, if nobody else has it.
    pub(crate) fn claim(&self, id: UploadId) -> Result<Writer<'_>, UploadError> {
        if self.lock().claimed.insert(id) {
            Ok(Writer { writers: self, id })
        } else {
            Err(UploadError::Busy(id))
        }
    }

    /// Notes that bytes of the session go to the blob store from now on.
    pub(crate) fn spill(&self, id: UploadId) {
        let mut sessions = self.lock();
        if sessions.spilled.len() >= MAX_SPILLED {
            sessions.spilled.clear();
        }
        sessions.spilled.insert(id);
    }

    /// Whether the session may have bytes in the blob store; forgets it.
    pub(crate) fn take_spilled(&self, id: UploadId) -> bool {
        self.lock().spilled.remove(&id)
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.writers.lock().claimed.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_one_writer_at_a_time() {
        let writers = Writers::default();
        let id = UploadId::generate();
        let first = writers.claim(id).unwrap();
        assert!(matches!(writers.claim(id), Err(UploadError::Busy(busy)) if busy == id));
        assert!(writers.claim(UploadId::generate()).is_ok());
        drop(first);
        assert!(writers.claim(id).is_ok());
    }

    #[test]
    fn what_is_remembered_of_spilled_sessions_is_bounded() {
        let writers = Writers::default();
        let ids: Vec<_> = (0..=MAX_SPILLED).map(|_| UploadId::generate()).collect();
        for id in &ids {
            writers.spill(*id);
        }
        assert!(!writers.take_spilled(ids[0]));
        assert!(writers.take_spilled(ids[MAX_SPILLED]));
        assert!(!writers.take_spilled(ids[MAX_SPILLED]));
    }
}
