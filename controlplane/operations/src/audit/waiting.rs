// SPDX-License-Identifier: Apache-2.0
//! Where records wait: those of requests of which the same is known are one entry with their times, so that a pull that
//! was seen before costs a look-up and eight bytes. Each thread has a place of its own, as far as there are enough, so
//! that none waits for another.

use std::cell::Cell;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use hythe_access::{Facts, RequestId};

/// The most places.
pub(crate) const MAX_SHARDS: usize = 16;
/// What an entry takes besides its texts, in bytes: the facts, what they point to, and their place in a table.
const ENTRY_BYTES: usize = size_of::<Facts>() + 512;
/// What a request with an id of its own takes, in bytes.
const REQUEST_BYTES: usize = size_of::<(usize, RequestId)>();
/// There is room as long as a record of this size, in bytes, has some: parameters and the answer are bounded by 8 KiB each.
const LARGEST_RECORD_BYTES: usize = 32 * 1024;

/// Records by what is known of their requests.
pub(super) type Groups = HashMap<Box<Facts>, Members, Seed>;

/// When requests began of which the same is known.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// In milliseconds.
    pub(super) times: Vec<i64>,
    /// The ids that clients were told, by the place among the times.
    pub(super) requests: Vec<(usize, RequestId)>,
}

impl Members {
    fn bytes(&self) -> usize {
        self.times.capacity() * size_of::<i64>() + self.requests.capacity() * REQUEST_BYTES
    }

    fn push(&mut self, at: i64, request: Option<&RequestId>) {
        if let Some(request) = request {
            self.requests.push((self.times.len(), request.clone()));
        }
        self.times.push(at);
    }

    /// Adds those of another.
    pub(super) fn append(&mut self, mut other: Self) {
        let before = self.times.len();
        self.times.append(&mut other.times);
        let moved = other.requests.into_iter().map(|(at, request)| (before + at, request));
        self.requests.extend(moved);
    }
}

/// What is to be written.
#[derive(Debug, Default)]
pub(super) struct Taken {
    pub(super) groups: Vec<Groups>,
    pub(super) bytes: usize,
}

/// There is no room.
#[derive(Debug)]
pub(super) struct Full;

/// Records that wait.
#[derive(Debug)]
pub(super) struct Waiting {
    shards: Box<[Shard]>,
    seed: Seed,
    max_bytes: usize,
    /// Of what waits, and of what was taken and is not written yet.
    bytes: AtomicUsize,
}

/// On cache lines of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Shard(Mutex<Held>);

#[derive(Debug)]
struct Held {
    groups: Groups,
    records: u64,
}

impl Waiting {
    pub(super) fn new(max_bytes: usize) -> Self {
        let shards = thread::available_parallelism()
            .map_or(1, usize::from)
            .clamp(1, MAX_SHARDS);
        let seed = Seed::default();
        let shard = |_| {
            Shard(Mutex::new(Held {
                groups: Groups::with_hasher(seed),
                records: 0,
            }))
        };
        Self {
            shards: (0..shards).map(shard).collect(),
            seed,
            max_bytes,
            bytes: AtomicUsize::new(0),
        }
    }

    /// Adds a record. Says whether half of the room is taken since.
    pub(super) fn push(&self, at: i64, request: Option<&RequestId>, facts: &Facts) -> Result<bool, Full> {
        let Some(Shard(shard)) = self.shards.get(thread_number() % self.shards.len()) else {
            return Err(Full);
        };
        let mut held = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let held = &mut *held;
        let is_half = if let Some(members) = held.groups.get_mut(facts) {
            let grows = members.times.len() == members.times.capacity()
                || (request.is_some() && members.requests.len() == members.requests.capacity());
            // As much again as there is.
            let is_half = if grows {
                self.charge(members.bytes().max(64))?
            } else {
                false
            };
            members.push(at, request);
            is_half
        } else {
            let is_half = self.charge(ENTRY_BYTES + text_bytes(facts))?;
            let mut members = Members::default();
            members.push(at, request);
            held.groups.insert(Box::new(facts.clone()), members);
            is_half
        };
        held.records += 1;
        Ok(is_half)
    }

    fn charge(&self, bytes: usize) -> Result<bool, Full> {
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let after = before.saturating_add(bytes);
        if after > self.max_bytes {
            self.release(bytes);
            return Err(Full);
        }
        let half = self.max_bytes / 2;
        Ok(before < half && after >= half)
    }

    /// What was taken is written.
    pub(super) fn release(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Whether the next record might find no room.
    pub(super) fn is_full(&self) -> bool {
        self.bytes.load(Ordering::Relaxed).saturating_add(LARGEST_RECORD_BYTES) > self.max_bytes
    }

    /// How many records wait.
    pub(super) fn records(&self) -> u64 {
        let count = |Shard(shard): &Shard| shard.lock().unwrap_or_else(PoisonError::into_inner).records;
        self.shards.iter().map(count).sum()
    }

    /// Takes all. Their room is taken until it is given back.
    pub(super) fn take(&self) -> Taken {
        // What comes while this runs is counted by the next, which then gives back a little too late.
        let bytes = self.bytes.load(Ordering::Relaxed);
        let take = |Shard(shard): &Shard| {
            let mut held = shard.lock().unwrap_or_else(PoisonError::into_inner);
            held.records = 0;
            std::mem::replace(&mut held.groups, Groups::with_hasher(self.seed))
        };
        let groups = self
            .shards
            .iter()
            .map(take)
            .filter(|groups| !groups.is_empty())
            .collect();
        Taken { groups, bytes }
    }
}

fn text_bytes(facts: &Facts) -> usize {
    let pairs = facts.parameters.iter().chain(&facts.response);
    let pairs: usize = pairs.map(|(name, value)| name.len() + value.len()).sum();
    let denied = facts.denied.as_ref().map_or(0, |(_, reason)| reason.len());
    let error = facts.error.as_ref().map_or(0, |(code, text)| code.len() + text.len());
    pairs + denied + error + facts.user_agent().map_or(0, str::len)
}

/// A number of this thread; few have the same.
pub(crate) fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    NUMBER.with(|number| {
        number.get().unwrap_or_else(|| {
            let new = NEXT.fetch_add(1, Ordering::Relaxed);
            number.set(Some(new));
            new
        })
    })
}

/// A secret with which hashes are made, as clients have a say in what is hashed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seed([u64; 2]);

impl Default for Seed {
    fn default() -> Self {
        let random = || RandomState::new().hash_one(0);
        Self([random(), random() | 1])
    }
}

impl BuildHasher for Seed {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        let Self([state, key]) = *self;
        Fold { state, key }
    }
}

/// Multiplies eight bytes at a time and folds the product: several times as fast as the standard library's on many short
/// texts, and not guessed without the seed.
#[derive(Debug)]
pub(crate) struct Fold {
    state: u64,
    key: u64,
}

impl Fold {
    fn add(&mut self, word: u64) {
        let product = (u128::from(self.state ^ word) * u128::from(self.key)).to_le_bytes();
        let (low, high) = (half(&product, 0), half(&product, 8));
        self.state = (low ^ high).rotate_left(23) ^ word;
    }
}

fn half(product: &[u8; 16], at: usize) -> u64 {
    let bytes = product.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

impl Hasher for Fold {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut word = [0; 8];
            word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.add(u64::from_le_bytes(word) ^ (rest.len() as u64) << 56);
        }
    }

    fn write_u8(&mut self, value: u8) {
        self.add(value.into());
    }

    fn write_u16(&mut self, value: u16) {
        self.add(value.into());
    }

    fn write_u32(&mut self, value: u32) {
        self.add(value.into());
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    fn finish(&self) -> u64 {
        let product = (u128::from(self.state) * u128::from(self.key)).to_le_bytes();
        half(&product, 0) ^ half(&product, 8)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn facts(status: u16) -> Facts {
        Facts {
            operation: "blob.read",
            status,
            ..Facts::default()
        }
    }

    #[test]
    fn memory_follows_what_differs() {
        let waiting = Waiting::new(128 * 1024);
        for at in 0..5000 {
            waiting.push(at, None, &facts(200)).unwrap();
        }
        assert_eq!(waiting.records(), 5000);
        let distinct = (0..1000)
            .filter(|status| waiting.push(0, None, &facts(*status)).is_ok())
            .count();
        assert!((1..100).contains(&distinct) && waiting.is_full(), "{distinct}");
        let taken = waiting.take();
        assert!(waiting.is_full(), "it is not written yet");
        waiting.release(taken.bytes);
        assert!(!waiting.is_full() && waiting.records() == 0);
        let times: usize = taken
            .groups
            .iter()
            .flat_map(HashMap::values)
            .map(|members| members.times.len())
            .sum();
        assert_eq!(times, 5000 + distinct);
    }

    #[test]
    fn ids_stay_with_their_times() {
        let id = RequestId::Number;
        let (mut one, mut other) = (Members::default(), Members::default());
        one.push(1, None);
        one.push(2, Some(&id(2)));
        other.push(3, Some(&id(3)));
        one.append(other);
        assert_eq!((one.times, one.requests), (vec![1, 2, 3], vec![(1, id(2)), (2, id(3))]));
    }

    #[test]
    fn hashes_differ() {
        let seed = Seed::default();
        let mut hashes = HashSet::new();
        for length in 0..40 {
            for byte in 0..40_u8 {
                hashes.insert(seed.hash_one(vec![byte; length]));
            }
        }
        // Nothing is the same whatever it is repeated of.
        assert_eq!(hashes.len(), 39 * 40 + 1);
        assert_ne!(Seed::default().hash_one("a"), Seed::default().hash_one("a"));
    }
}
