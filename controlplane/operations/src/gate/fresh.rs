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
/// The most answers to keep, half of them young.
const MAX_ENTRIES: usize = 10_000;

/// A small cache of values that exist. That something is absent is never remembered, so that what another
/// node has just made is found at once.
///
/// The writer on this node forgets a value before its write is acknowledged, and whoever read the old value
/// meanwhile cannot put it back: [`Fresh::put`] names the generation that it read under.
pub(crate) struct Fresh<K, V>(Mutex<Entries<K, V>>);

/// Values are kept in `young` until there are many or the first of them is too old, and then in `old` as long again:
/// nothing is ever looked through to make room.
struct Entries<K, V> {
    generation: u64,
    young: HashMap<K, (Timestamp, V)>,
    old: HashMap<K, (Timestamp, V)>,
    young_since: Timestamp,
}

impl<K: Hash + Eq, V: Clone> Fresh<K, V> {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Entries {
            generation: 0,
            young: HashMap::new(),
            old: HashMap::new(),
            young_since: Timestamp::MIN,
        }))
    }

    /// The value, if it is fresh; else the generation to name when it has been read.
    pub(crate) fn get<Q>(&self, key: &Q, now: Timestamp) -> Result<V, u64>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let entries = self.lock();
        match entries.young.get(key).or_else(|| entries.old.get(key)) {
            Some((read_at, value)) if is_fresh(*read_at, now) => Ok(value.clone()),
            _ => Err(entries.generation),
        }
    }

    /// The generation to name when values have been read that nobody has looked up.
    pub(crate) fn generation(&self) -> u64 {
        self.lock().generation
    }

    /// Keeps what was read at `now` under `generation`, unless somebody wrote since.
    pub(crate) fn put(&self, generation: u64, key: K, value: V, now: Timestamp) {
        self.put_all(generation, [(key, value)], now);
    }

    /// As [`Self::put`], of many.
    pub(crate) fn put_all(&self, generation: u64, values: impl IntoIterator<Item = (K, V)>, now: Timestamp) {
        let mut entries = self.lock();
        if entries.generation != generation {
            return;
        }
        for (key, value) in values {
            if entries.young.len() >= MAX_ENTRIES / 2 || !is_fresh(entries.young_since, now) {
                entries.old = std::mem::take(&mut entries.young);
                entries.young_since = now;
            }
            entries.young.insert(key, (now, value));
        }
    }

    /// Forgets everything, after a write on this node. Writes of users and keys are rare.
    pub(crate) fn clear(&self) {
        let mut entries = self.lock();
        entries.generation += 1;
        entries.young.clear();
        entries.old.clear();
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

    #[test]
    fn the_latest_are_kept_and_the_latest_of_a_key_counts() {
        let now = Timestamp::from_millisecond(5000).unwrap();
        let cache = Fresh::new();
        cache.put_all(cache.generation(), (0..3 * MAX_ENTRIES).map(|key| (key, "first")), now);
        let kept = (0..3 * MAX_ENTRIES).filter(|key| cache.get(key, now).is_ok()).count();
        assert!((MAX_ENTRIES / 2..=MAX_ENTRIES).contains(&kept), "{kept}");
        let last = 3 * MAX_ENTRIES - 1;
        cache.put_all(cache.generation(), (last - 10..=last).map(|key| (key, "second")), now);
        cache.put_all(
            cache.generation(),
            (0..MAX_ENTRIES / 2 - 11).map(|key| (key, "third")),
            now,
        );
        assert_eq!(cache.get(&last, now), Ok("second"));
        cache.clear();
        assert!((0..=last).all(|key| cache.get(&key, now).is_err()));
    }
}
