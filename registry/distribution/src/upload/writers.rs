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
pub(crate) struct Writers(Mutex<HashSet<UploadId>>);

/// The right to change a session, until it is dropped.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    writers: &'a Writers,
    id: UploadId,
}

impl Writers {
    /// Takes the session, if nobody else has it.
    pub(crate) fn claim(&self, id: UploadId) -> Result<Writer<'_>, UploadError> {
        if self.lock().insert(id) {
            Ok(Writer { writers: self, id })
        } else {
            Err(UploadError::Busy(id))
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<UploadId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.writers.lock().remove(&self.id);
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
}
