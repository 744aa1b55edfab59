// SPDX-License-Identifier: Apache-2.0
//! What was read before, on the embedded database, where this process is the only writer.
//!
//! Only what exists is remembered, never that something is absent. What was acknowledged is seen by every later read:
//!
//! - A transaction notes what it takes away or changes ([`crate::session::Session::touch`]). Before its commit the
//!   writer counts these facts up, to an odd number, and after it once more, before anybody is answered.
//! - A reader looks at the numbers of its fact before it asks the database, and what it read is kept with them.
//!   It counts only while they are the same, and even. So nothing from before a commit is served after it, whoever
//!   wrote or read it when.
//!
//! Facts share numbers by their hash: a change may make others be read again, and never the other way round.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hythe_catalog::{BlobRecord, ImageRecord};
use hythe_model::{Digest, Reference, RepositoryPath, Tag};

/// How much of the embedded database's content is kept in memory unless somebody says otherwise, in bytes.
pub const DEFAULT_CACHE_BYTES: usize = 32 * 1024 * 1024;
/// So many locks, so that connections rarely wait for each other.
const SHARDS: usize = 16;
/// An entry may take up to this part of its shard, so that a few large ones do not push out all others.
const MAX_SHARE_OF_SHARD: usize = 4;
/// What an entry costs beside its texts and bytes: its slot, its place in the index, what the allocator adds.
const ENTRY_BYTES: usize = size_of::<Entry>() + 128;
const REPOSITORY_GENERATIONS: usize = 1 << 12;
const FACT_GENERATIONS: usize = 1 << 16;

/// How well the cache does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Reads that were answered from memory.
    pub hits: u64,
    /// Reads that asked the database.
    pub misses: u64,
    /// What the entries take, in bytes.
    pub bytes: usize,
    /// How many there are.
    pub entries: usize,
}

/// Something about a repository that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Fact<'f> {
    /// That it exists. Whoever changes this changes all that is known of the repository.
    Exists,
    Tag(&'f Tag),
    Image(&'f Digest),
    Blob(&'f Digest),
}

impl<'f> From<&'f Reference> for Fact<'f> {
    fn from(reference: &'f Reference) -> Self {
        match reference {
            Reference::Tag(tag) => Self::Tag(tag),
            Reference::Digest(digest) => Self::Image(digest),
        }
    }
}

#[derive(Clone, Debug)]
enum OwnedFact {
    Exists,
    Tag(Tag),
    Image(Digest),
    Blob(Digest),
}

impl OwnedFact {
    fn new(fact: Fact<'_>) -> Self {
        match fact {
            Fact::Exists => Self::Exists,
            Fact::Tag(tag) => Self::Tag(tag.clone()),
            Fact::Image(digest) => Self::Image(*digest),
            Fact::Blob(digest) => Self::Blob(*digest),
        }
    }

    fn is(&self, fact: Fact<'_>) -> bool {
        match (self, fact) {
            (Self::Exists, Fact::Exists) => true,
            (Self::Tag(own), Fact::Tag(other)) => own == other,
            (Self::Image(own), Fact::Image(other)) | (Self::Blob(own), Fact::Blob(other)) => own == other,
            (Self::Exists | Self::Tag(_) | Self::Image(_) | Self::Blob(_), _) => false,
        }
    }
}

/// What a fact is.
#[derive(Clone, Debug)]
pub(crate) enum Known {
    Exists,
    Image(ImageRecord),
    Blob(BlobRecord),
}

impl Known {
    fn bytes(&self) -> usize {
        match self {
            Self::Exists => 0,
            Self::Image(image) => image.bytes.len() + image.media_type.as_str().len(),
            Self::Blob(blob) => blob.inline.as_ref().map_or(0, bytes::Bytes::len),
        }
    }
}

/// Which numbers a fact has: its repository's, and its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Touched {
    Repository(usize),
    Fact(usize),
}

/// What a reader saw before it asked the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    hash: u64,
    repository: usize,
    generations: (u64, u64),
}

struct Entry {
    repository: RepositoryPath,
    fact: OwnedFact,
    ticket: Ticket,
    known: Known,
    bytes: usize,
    /// Whether it was asked for since the hand passed it.
    is_used: bool,
}

/// The entries of one lock. A hand goes round the slots and takes the first entry that nobody asked for since it
/// was there last (CLOCK).
#[derive(Default)]
struct Shard {
    slots: Vec<Option<Entry>>,
    free: Vec<usize>,
    // INVARIANT: every value is the place of an entry whose ticket has the key as its hash, and every entry has one.
    index: HashMap<u64, usize, BuildHasherDefault<Identity>>,
    hand: usize,
    // INVARIANT: the sum over the entries.
    bytes: usize,
    hits: u64,
    misses: u64,
}

/// For keys that are hashes already.
#[derive(Default)]
struct Identity(u64);

impl Hasher for Identity {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The cache of one store.
pub(crate) struct Cache {
    hasher: RandomState,
    max_shard_bytes: AtomicUsize,
    repositories: Box<[AtomicU64]>,
    facts: Box<[AtomicU64]>,
    shards: [Mutex<Shard>; SHARDS],
}

impl fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Cache").field(&self.stats()).finish()
    }
}

impl Cache {
    pub(crate) fn new(max_bytes: usize) -> Self {
        let generations = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            hasher: RandomState::new(),
            max_shard_bytes: AtomicUsize::new(max_bytes / SHARDS),
            repositories: generations(REPOSITORY_GENERATIONS),
            facts: generations(FACT_GENERATIONS),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Sets the bound; 0 turns the cache off. What is above it goes at once.
    pub(crate) fn set_max_bytes(&self, max_bytes: usize) {
        let max_shard_bytes = max_bytes / SHARDS;
        self.max_shard_bytes.store(max_shard_bytes, Ordering::Relaxed);
        for shard in &self.shards {
            lock(shard).shrink_to(max_shard_bytes);
        }
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let mut stats = CacheStats::default();
        for shard in &self.shards {
            let shard = lock(shard);
            stats.hits += shard.hits;
            stats.misses += shard.misses;
            stats.bytes += shard.bytes;
            stats.entries += shard.index.len();
        }
        stats
    }

    /// What is known of a fact, or what to put it under once it was read from the database.
    pub(crate) fn get(&self, repository: &RepositoryPath, fact: Fact<'_>) -> Result<Known, Ticket> {
        let ticket = self.ticket(repository, fact);
        lock(self.shard(ticket)).get(ticket, repository, fact).ok_or(ticket)
    }

    /// Keeps what was read under a ticket.
    pub(crate) fn put(&self, ticket: Ticket, repository: &RepositoryPath, fact: Fact<'_>, known: Known) {
        let (of_repository, of_fact) = ticket.generations;
        let max_shard_bytes = self.max_shard_bytes.load(Ordering::Relaxed);
        let fact = OwnedFact::new(fact);
        let text = if let OwnedFact::Tag(tag) = &fact {
            tag.as_str().len()
        } else {
            0
        };
        let bytes =
            ENTRY_BYTES + repository.account.as_str().len() + repository.name.as_str().len() + text + known.bytes();
        // A change is being written, or the entry is too large to be worth it.
        if !of_repository.is_multiple_of(2)
            || !of_fact.is_multiple_of(2)
            || bytes > max_shard_bytes / MAX_SHARE_OF_SHARD
        {
            return;
        }
        let entry = Entry {
            repository: repository.clone(),
            fact,
            ticket,
            known,
            bytes,
            is_used: false,
        };
        lock(self.shard(ticket)).put(entry, max_shard_bytes);
    }

    /// The numbers of a fact that a transaction is about to change.
    pub(crate) fn touched(&self, repository: &RepositoryPath, fact: Fact<'_>) -> Touched {
        if fact == Fact::Exists {
            Touched::Repository(self.place_of(repository))
        } else {
            Touched::Fact(place(self.hasher.hash_one((repository, fact)), FACT_GENERATIONS))
        }
    }

    /// To be called before the commit of what touched these, and once more after it, whatever came of it. Only
    /// one transaction may be between the two.
    pub(crate) fn turn(&self, touched: &[Touched]) {
        for touched in touched {
            let generation = match touched {
                Touched::Repository(place) => self.repositories.get(*place),
                Touched::Fact(place) => self.facts.get(*place),
            };
            if let Some(generation) = generation {
                generation.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    fn ticket(&self, repository: &RepositoryPath, fact: Fact<'_>) -> Ticket {
        let hash = self.hasher.hash_one((repository, fact));
        let place_of_repository = self.place_of(repository);
        let load = |generations: &[AtomicU64], place: usize| {
            // Odd is never kept; there is no such place anyway.
            generations
                .get(place)
                .map_or(1, |generation| generation.load(Ordering::Acquire))
        };
        Ticket {
            hash,
            repository: place_of_repository,
            generations: (
                load(&self.repositories, place_of_repository),
                load(&self.facts, place(hash, FACT_GENERATIONS)),
            ),
        }
    }

    fn place_of(&self, repository: &RepositoryPath) -> usize {
        place(self.hasher.hash_one(repository), REPOSITORY_GENERATIONS)
    }

    #[allow(clippy::indexing_slicing, reason = "a remainder is below its divisor")]
    fn shard(&self, ticket: Ticket) -> &Mutex<Shard> {
        // Other bits than those that choose the number.
        &self.shards[place(ticket.hash >> 48, SHARDS)]
    }
}

fn place(hash: u64, count: usize) -> usize {
    usize::try_from(hash % count as u64).unwrap_or(0)
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing in this file panics while it holds a lock.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shard {
    fn get(&mut self, ticket: Ticket, repository: &RepositoryPath, fact: Fact<'_>) -> Option<Known> {
        let found = self.index.get(&ticket.hash).copied();
        if let Some(at) = found
            && let Some(Some(entry)) = self.slots.get_mut(at)
        {
            if entry.ticket != ticket {
                self.remove(at);
            } else if entry.repository == *repository && entry.fact.is(fact) {
                entry.is_used = true;
                self.hits += 1;
                return Some(entry.known.clone());
            }
        }
        self.misses += 1;
        None
    }

    fn put(&mut self, entry: Entry, max_bytes: usize) {
        if let Some(at) = self.index.get(&entry.ticket.hash).copied() {
            self.remove(at);
        }
        self.shrink_to(max_bytes.saturating_sub(entry.bytes));
        self.bytes += entry.bytes;
        let hash = entry.ticket.hash;
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(entry);
        }
        self.index.insert(hash, at);
    }

    fn shrink_to(&mut self, max_bytes: usize) {
        // Twice round at most: the first time the hand may find every entry used.
        while self.bytes > max_bytes && !self.index.is_empty() {
            let at = self.hand;
            self.hand = if at + 1 < self.slots.len() { at + 1 } else { 0 };
            match self.slots.get_mut(at) {
                Some(Some(entry)) if entry.is_used => entry.is_used = false,
                Some(Some(_)) => self.remove(at),
                Some(None) | None => {}
            }
        }
    }

    fn remove(&mut self, at: usize) {
        if let Some(entry) = self.slots.get_mut(at).and_then(Option::take) {
            self.bytes -= entry.bytes;
            self.index.remove(&entry.ticket.hash);
            self.free.push(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn path(number: usize) -> RepositoryPath {
        RepositoryPath {
            account: hythe_model::AccountId::default(),
            name: format!("repository-{number}").parse().unwrap(),
        }
    }

    fn tag(number: usize) -> Tag {
        format!("tag-{number}").parse().unwrap()
    }

    fn blob(size: usize) -> Known {
        Known::Blob(BlobRecord {
            size: size as u64,
            inline: Some(Bytes::from(vec![0; size])),
        })
    }

    /// The size of what is known.
    fn size(known: Result<Known, Ticket>) -> Option<u64> {
        match known {
            Ok(Known::Blob(blob)) => Some(blob.size),
            Ok(other) => panic!("{other:?}"),
            Err(_) => None,
        }
    }

    #[test]
    fn what_was_read_before_a_commit_is_not_known_after_it() {
        let cache = Cache::new(1 << 20);
        let (web, name) = (path(1), tag(1));
        let fact = Fact::Tag(&name);
        let read = |bytes| {
            let ticket = cache.get(&web, fact).unwrap_err();
            (ticket, blob(bytes))
        };
        let keep = |(ticket, known)| cache.put(ticket, &web, fact, known);
        for touched in [cache.touched(&web, fact), cache.touched(&web, Fact::Exists)] {
            keep(read(1));
            assert_eq!(size(cache.get(&web, fact)), Some(1));
            cache.turn(&[touched]);
            assert_eq!(
                size(cache.get(&web, fact)),
                None,
                "nobody knows whether it is committed"
            );
            let during = read(2);
            keep(read(2));
            assert_eq!(size(cache.get(&web, fact)), None, "read while it was being committed");
            cache.turn(&[touched]);
            assert_eq!(size(cache.get(&web, fact)), None);
            keep(during);
            assert_eq!(size(cache.get(&web, fact)), None, "kept too late");
            keep(read(3));
            assert_eq!(size(cache.get(&web, fact)), Some(3));
            let late = cache.ticket(&web, fact);
            cache.turn(&[touched]);
            cache.turn(&[touched]);
            cache.put(late, &web, fact, blob(4));
            assert_eq!(size(cache.get(&web, fact)), None);
        }
    }

    #[test]
    fn facts_are_told_apart() {
        let cache = Cache::new(1 << 20);
        let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let name = tag(1);
        let facts = [
            Fact::Exists,
            Fact::Tag(&name),
            Fact::Image(&digest),
            Fact::Blob(&digest),
        ];
        let all = [1, 2].iter().flat_map(|number| facts.map(|fact| (path(*number), fact)));
        for (number, (path, fact)) in all.clone().enumerate() {
            let ticket = cache.get(&path, fact).unwrap_err();
            cache.put(ticket, &path, fact, blob(number));
        }
        for (number, (path, fact)) in all.enumerate() {
            assert_eq!(size(cache.get(&path, fact)), Some(number as u64), "{fact:?}");
        }
        assert_eq!(cache.stats().entries, 8);
        assert_eq!((cache.stats().hits, cache.stats().misses), (8, 8));
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_too_large_never_comes() {
        const LIMIT: usize = 1 << 20;
        let cache = Cache::new(LIMIT);
        let put = |number: usize, bytes| {
            let (path, name) = (path(number), tag(number));
            if let Err(ticket) = cache.get(&path, Fact::Tag(&name)) {
                cache.put(ticket, &path, Fact::Tag(&name), blob(bytes));
            }
        };
        put(0, LIMIT / SHARDS / MAX_SHARE_OF_SHARD);
        assert_eq!(cache.stats().entries, 0);
        put(0, 100);
        for number in 1..2000 {
            put(number, 2000);
            put(0, 100);
        }
        assert!(
            cache.stats().bytes <= LIMIT && cache.stats().bytes > LIMIT / 2,
            "{cache:?}"
        );
        assert_eq!(cache.stats().hits, 1999, "the one that is asked for stays");
        cache.set_max_bytes(0);
        put(1, 1);
        assert_eq!((cache.stats().bytes, cache.stats().entries), (0, 0));
    }

    proptest! {
        #[test]
        fn the_bound_holds_whatever_happens(
            limit in 0_usize..200_000,
            steps in proptest::collection::vec((0_usize..50, 0_usize..20_000, 0_u8..4), 0..300),
        ) {
            let cache = Cache::new(limit);
            for (number, bytes, step) in steps {
                let (path, name) = (path(number % 7), tag(number));
                let fact = Fact::Tag(&name);
                match step {
                    0 => {
                        let touched = [cache.touched(&path, fact)];
                        cache.turn(&touched);
                        cache.turn(&touched);
                        prop_assert!(cache.get(&path, fact).is_err());
                    }
                    1 => drop(cache.get(&path, fact)),
                    _ => cache.put(cache.ticket(&path, fact), &path, fact, blob(bytes)),
                }
                let stats = cache.stats();
                prop_assert!(stats.bytes <= limit);
                let shards: Vec<_> = cache.shards.iter().map(lock).collect();
                let entries = || shards.iter().flat_map(|shard| shard.slots.iter().flatten());
                prop_assert_eq!(entries().map(|entry| entry.bytes).sum::<usize>(), stats.bytes);
                prop_assert_eq!(entries().count(), stats.entries);
                let least = |entry: &Entry| entry.known.bytes() + size_of::<Entry>();
                prop_assert!(entries().map(least).sum::<usize>() <= stats.bytes, "nothing is left out");
            }
        }
    }
}
