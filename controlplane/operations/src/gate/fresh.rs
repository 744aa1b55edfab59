// SPDX-License-Identifier: Apache-2.0
//! Answers of the store that may be a second old.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// How old an answer may be, in milliseconds: what another node changed counts here after that time.
const MAX_AGE_MILLIS: i64 = 1000;
/// The most answers to keep.
const MAX_ENTRIES: usize = 10_000;

/// A small cache of values that exist. That something is absent is never remembered, so that what another
/// node has just made is found at once.
///
/// The writer on this node forgets a value before its write is acknowledged, and whoever read the old value
/// meanwhile cannot put it back: [`Fresh::put`] names the generation that it read under.
pub(crate) struct Fresh<K, V>(Mutex<Entries<K, V>>);

struct Entries<K, V> {
    generation: u64,
    values: HashMap<K, (Timestamp, V)>,
}

impl<K: Hash + Eq, V: Clone> Fresh<K, V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Entries {
            generation: 0,
            values: HashMap::new(),
        }))
    }

    /// The value, if it is fresh; else the generation to name when it has been read.
    pub(crate) fn get<Q>(&self, key: &Q, now: Timestamp) -> Result<V, u64>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entries = self.lock();
        match entries.values.get(key) {
            Some((read_at, value)) if is_fresh(*read_at, now) => Ok(value.clone()),
            _ => Err(entries.generation),
        }
    }

    /// Keeps what was read at `now` under `generation`, unless somebody wrote since.
    pub(crate) fn put(&self, generation: u64, key: K, value: V, now: Timestamp) {
        let mut entries = self.lock();
        if entries.generation != generation {
            return;
        }
        if entries.values.len() >= MAX_ENTRIES {
            entries.values.retain(|_, (read_at, _)| is_fresh(*read_at, now));
        }
        if entries.values.len() < MAX_ENTRIES {
            entries.values.insert(key, (now, value));
        }
    }

    /// Forgets everything, after a write on this node. Writes of users and keys are rare.
    pub(crate) fn clear(&self) {
        let mut entries = self.lock();
        entries.generation += 1;
        entries.values.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Entries<K, V>> {
        // A panic cannot leave the map half changed in a way that matters: entries are whole or absent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K, V> fmt::Debug for Fresh<K, V> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Fresh")
    }
}

fn is_fresh(read_at: Timestamp, now: Timestamp) -> bool {
    (0..MAX_AGE_MILLIS).contains(&(now.as_millisecond() - read_at.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_age_and_writers_win() {
        let at = |millis| Timestamp::from_millisecond(millis).unwrap();
        let cache = Fresh::new();
        let generation = cache.get(&"k", at(0)).unwrap_err();
        cache.put(generation, "k", 1, at(0));
        assert_eq!(cache.get(&"k", at(999)), Ok(1));
        assert!(cache.get(&"k", at(1000)).is_err(), "too old");
        assert!(cache.get(&"k", at(-1)).is_err(), "from the future");
        let generation = cache.get(&"k", at(1000)).unwrap_err();
        cache.clear();
        cache.put(generation, "k", 2, at(1000));
        assert!(cache.get(&"k", at(1000)).is_err(), "read before the write");
    }
}
