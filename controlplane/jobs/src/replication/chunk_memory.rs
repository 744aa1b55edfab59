// SPDX-License-Identifier: Apache-2.0
//! The memory of chunks that are on their way, shared out so that many large layers at once need no more than a few.

use std::sync::atomic::{AtomicU64, Ordering};

/// How much of a blob is sent at once, and in memory, at most.
pub(super) const MAX_CHUNK_BYTES: u64 = 8 * 1024 * 1024;
/// The same at least: where a destination has a low rate, or many are sent to.
pub(super) const MIN_CHUNK_BYTES: u64 = 256 * 1024;
/// The same for registries that are not Hythe: object stores behind them take no smaller parts.
pub(super) const MIN_FOREIGN_CHUNK_BYTES: u64 = 5 * 1024 * 1024;
/// What all chunks of a process take together, but for those that are as small as can be.
const BUDGET_BYTES: u64 = 64 * 1024 * 1024;
/// How many blobs of an image are sent at once where there is room.
const BLOBS_AT_ONCE: usize = 3;
/// Each chunk gets this part of what is free.
const PART: u64 = 8;

/// How many bytes of chunks are in memory.
#[derive(Debug, Default)]
pub(super) struct ChunkMemory(AtomicU64);

/// The place of one chunk, free again when this is dropped.
#[derive(Debug)]
pub(super) struct ChunkPlace<'m> {
    memory: &'m ChunkMemory,
    bytes: u64,
}

impl ChunkMemory {
    /// A place for at most `most` bytes, and for `least` if there are as many.
    pub(super) fn take(&self, most: u64, least: u64) -> ChunkPlace<'_> {
        let size = |taken: u64| {
            let share = BUDGET_BYTES.saturating_sub(taken) / PART;
            share.max(least).min(MAX_CHUNK_BYTES).min(most)
        };
        let taken = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
            Some(taken.saturating_add(size(taken)))
        });
        let taken = taken.unwrap_or_else(|taken| taken);
        ChunkPlace {
            memory: self,
            bytes: size(taken),
        }
    }

    /// How many blobs of an image that is begun now are sent at once.
    pub(super) fn blobs_at_once(&self) -> usize {
        let is_tight = self.0.load(Ordering::Relaxed) > BUDGET_BYTES / 2;
        if is_tight { 1 } else { BLOBS_AT_ONCE }
    }
}

impl ChunkPlace<'_> {
    /// How long the chunk may be.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for ChunkPlace<'_> {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_chunks_are_small_and_few_are_large() {
        let memory = ChunkMemory::default();
        let first = memory.take(u64::MAX, MIN_CHUNK_BYTES);
        assert_eq!(
            (first.bytes(), memory.blobs_at_once()),
            (MAX_CHUNK_BYTES, BLOBS_AT_ONCE)
        );
        assert_eq!(
            memory.take(1000, MIN_CHUNK_BYTES).bytes(),
            1000,
            "no more than is wanted"
        );
        let more: Vec<_> = (0..71).map(|_| memory.take(u64::MAX, MIN_CHUNK_BYTES)).collect();
        assert_eq!(memory.blobs_at_once(), 1);
        assert_eq!(memory.take(u64::MAX, 6_000_000).bytes(), 6_000_000);
        assert!(more.iter().all(|place| place.bytes() >= MIN_CHUNK_BYTES));
        let all: u64 = more.iter().chain([&first]).map(ChunkPlace::bytes).sum();
        assert!(all < BUDGET_BYTES * 5 / 4, "{all}");
        assert_eq!(memory.0.load(Ordering::Relaxed), all);
        drop((first, more));
        assert_eq!(memory.take(u64::MAX, MIN_CHUNK_BYTES).bytes(), MAX_CHUNK_BYTES);
        assert_eq!(memory.0.load(Ordering::Relaxed), 0);
    }
}
