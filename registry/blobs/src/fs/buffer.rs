// SPDX-License-Identifier: Apache-2.0
//! Memory that bytes wait in on their way to the disk.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};

/// What direct writes are aligned to, in bytes: in memory, in the file and in length. No block of a disk is larger.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// How many bytes are written at once. An upload holds two such buffers at most: one that fills while the other
/// is written. Smaller ones cost more system calls and waits, larger ones more memory for each upload.
pub(super) const BUFFER_BYTES: usize = 512 * 1024;
/// The most buffers that are kept for the next upload: 8 MiB.
const MAX_IDLE_BUFFERS: usize = 16;

/// Buffers that have been used, for the next uploads: memory that is touched for the first time costs more than
/// everything else that is done with it.
#[derive(Debug, Default)]
pub(super) struct WriteBuffers {
    idle: Mutex<Vec<Vec<u8>>>,
}

/// A buffer that begins at a multiple of [`BLOCK_BYTES`] and returns to its home when it is dropped.
#[derive(Debug)]
pub(super) struct WriteBuffer {
    memory: Vec<u8>,
    start: usize,
    // INVARIANT: start + capacity <= memory.len(), filled <= capacity; what is behind may be of another upload.
    filled: usize,
    capacity: usize,
    home: Arc<WriteBuffers>,
}

impl WriteBuffers {
    /// An empty buffer for at most `capacity` bytes, and at most [`BUFFER_BYTES`].
    pub(super) fn take(self: &Arc<Self>, capacity: usize) -> WriteBuffer {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let memory = idle.unwrap_or_else(|| vec![0; BUFFER_BYTES + BLOCK_BYTES]);
        // A platform may say that it cannot tell; the direct write is refused then, and an ordinary one made.
        let start = Some(memory.as_ptr().align_offset(BLOCK_BYTES)).filter(|start| *start < BLOCK_BYTES);
        WriteBuffer {
            start: start.unwrap_or(0),
            filled: 0,
            capacity: capacity.clamp(1, BUFFER_BYTES),
            memory,
            home: Arc::clone(self),
        }
    }
}

impl WriteBuffer {
    /// Takes as many of `bytes` as there is room for; returns the number.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.capacity - self.filled);
        let (from, to) = (self.start + self.filled, self.start + self.filled + taken);
        if let (Some(room), Some(bytes)) = (self.memory.get_mut(from..to), bytes.get(..taken)) {
            room.copy_from_slice(bytes);
        }
        self.filled += taken;
        taken
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled == self.capacity
    }

    /// What was filled in.
    pub(super) fn bytes(&self) -> &[u8] {
        self.memory
            .get(self.start..self.start + self.filled)
            .unwrap_or_default()
    }
}

impl Drop for WriteBuffer {
    fn drop(&mut self) {
        let mut idle = self.home.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < MAX_IDLE_BUFFERS {
            idle.push(mem::take(&mut self.memory));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_aligned_bounded_and_used_again() {
        let home = Arc::new(WriteBuffers::default());
        let mut buffer = home.take(usize::MAX);
        assert_eq!(buffer.fill(&vec![7; BUFFER_BYTES - 1]), BUFFER_BYTES - 1);
        assert!(!buffer.is_full());
        assert_eq!(buffer.fill(&[8; 5]), 1);
        assert!(buffer.is_full());
        assert_eq!(buffer.bytes().as_ptr().align_offset(BLOCK_BYTES), 0);
        assert_eq!((buffer.bytes().len(), buffer.bytes().last()), (BUFFER_BYTES, Some(&8)));
        drop(buffer);
        // Nothing of the upload before is to be seen.
        let mut buffer = home.take(10);
        assert!(buffer.bytes().is_empty());
        assert_eq!(buffer.fill(&[9; 20]), 10);
        assert_eq!(buffer.bytes(), [9; 10]);
        let many: Vec<_> = (0..2 * MAX_IDLE_BUFFERS).map(|_| home.take(1)).collect();
        drop(many);
        assert_eq!(home.idle.lock().unwrap().len(), MAX_IDLE_BUFFERS);
    }
}
