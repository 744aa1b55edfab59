// SPDX-License-Identifier: Apache-2.0
//! What clients asked of a registry and what it acknowledged, in order: from it follows what must be there after a
//! crash, what must be gone, and what may be either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

/// Something that is there or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A blob, as it is read through a repository.
    Blob {
        /// The repository.
        repository: String,
        /// The blob.
        digest: String,
    },
    /// An image, by digest.
    Image {
        /// The repository.
        repository: String,
        /// The digest of its manifest.
        digest: String,
    },
    /// A tag.
    Tag {
        /// The repository.
        repository: String,
        /// Its name.
        name: String,
    },
    /// An upload that has not ended.
    Upload {
        /// The path that its bytes are sent to.
        target: String,
    },
}

/// `None` if it is not there; otherwise the digest, or the bytes that an upload has at least.
pub type State = Option<String>;

/// What an operation makes of something. More than one state: it may be any of them.
#[derive(Clone, Debug)]
pub struct Effect {
    /// Of what.
    pub key: Key,
    /// What it is afterwards.
    pub becomes: Vec<State>,
}

impl Effect {
    /// It is there afterwards.
    #[must_use]
    pub fn present(key: Key, state: impl Into<String>) -> Self {
        let becomes = vec![Some(state.into())];
        Self { key, becomes }
    }

    /// It is gone afterwards.
    #[must_use]
    pub fn absent(key: Key) -> Self {
        let becomes = vec![None];
        Self { key, becomes }
    }

    /// It may be there afterwards, or not.
    #[must_use]
    pub fn either(key: Key, state: impl Into<String>) -> Self {
        let becomes = vec![Some(state.into()), None];
        Self { key, becomes }
    }
}

/// What may be found, for everything that was ever touched.
pub type Expectation = BTreeMap<Key, BTreeSet<State>>;

#[derive(Clone, Debug)]
enum Event {
    Began { operation: usize, effects: Vec<Effect> },
    Acknowledged { operation: usize },
    Refused { operation: usize },
    Restarted,
}

/// The record. One writer at a time for each key; operations on different keys may overlap.
#[derive(Debug, Default)]
pub struct Ledger {
    events: Mutex<Vec<Event>>,
}

/// An operation that was begun. Without a verdict it stays open: it may have happened or not.
#[derive(Clone, Copy, Debug)]
pub struct Operation(usize);

impl Ledger {
    /// Notes that an operation is about to be sent.
    pub fn begin(&self, effects: Vec<Effect>) -> Operation {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let operation = events.len();
        events.push(Event::Began { operation, effects });
        Operation(operation)
    }

    /// Notes that it was answered with 2xx.
    pub fn acknowledge(&self, operation: Operation) {
        self.push(Event::Acknowledged { operation: operation.0 });
    }

    /// Notes that it was answered with 4xx, so that it changed nothing.
    pub fn refuse(&self, operation: Operation) {
        self.push(Event::Refused { operation: operation.0 });
    }

    /// Notes that the registry has ended and started again: nothing that was under way goes on.
    pub fn restarted(&self) {
        self.push(Event::Restarted);
    }

    /// How much has been noted so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many operations were acknowledged up to a position.
    #[must_use]
    pub fn acknowledged(&self, position: usize) -> usize {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let is_acknowledged = |event: &&Event| matches!(event, Event::Acknowledged { .. });
        events.iter().take(position).filter(is_acknowledged).count()
    }

    /// What may be found now.
    #[must_use]
    pub fn now(&self) -> Expectation {
        self.between(usize::MAX, usize::MAX)
    }

    /// What may be found on a disk whose picture was taken at some instant between two positions: everything
    /// acknowledged before the first must be there, whatever was begun before the second may be.
    #[must_use]
    pub fn between(&self, first: usize, second: usize) -> Expectation {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let mut settled = Expectation::new();
        let mut open: BTreeMap<usize, &[Effect]> = BTreeMap::new();
        let mut may = Vec::new();
        for (position, event) in events.iter().enumerate().take(second) {
            let is_before = position < first;
            match event {
                Event::Began { operation, effects } if is_before => {
                    open.insert(*operation, effects);
                }
                Event::Began { effects, .. } => may.push(effects.as_slice()),
                Event::Acknowledged { operation } if is_before => {
                    for effect in open.remove(operation).unwrap_or_default() {
                        settled.insert(effect.key.clone(), effect.becomes.iter().cloned().collect());
                    }
                }
                Event::Refused { operation } if is_before => {
                    open.remove(operation);
                }
                Event::Restarted if is_before => {
                    for effects in std::mem::take(&mut open).into_values() {
                        widen(&mut settled, effects);
                    }
                }
                Event::Acknowledged { .. } | Event::Refused { .. } | Event::Restarted => {}
            }
        }
        for effects in open.into_values().chain(may) {
            widen(&mut settled, effects);
        }
        settled
    }

    fn push(&self, event: Event) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }
}

fn widen(expectation: &mut Expectation, effects: &[Effect]) {
    for effect in effects {
        let states = expectation
            .entry(effect.key.clone())
            .or_insert_with(|| BTreeSet::from([None]));
        states.extend(effect.becomes.iter().cloned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag() -> Key {
        let (repository, name) = ("web".into(), "1".into());
        Key::Tag { repository, name }
    }

    fn possible(expectation: &Expectation) -> Vec<&str> {
        let states = expectation.get(&tag()).into_iter().flatten();
        states.map(|state| state.as_deref().unwrap_or("-")).collect()
    }

    #[test]
    fn what_was_acknowledged_must_be_there_and_what_is_open_may_be() {
        let ledger = Ledger::default();
        let first = ledger.begin(vec![Effect::present(tag(), "a")]);
        assert_eq!(possible(&ledger.now()), ["-", "a"]);
        ledger.acknowledge(first);
        assert_eq!(possible(&ledger.now()), ["a"]);
        let before = ledger.position();
        let second = ledger.begin(vec![Effect::present(tag(), "b")]);
        ledger.acknowledge(second);
        let third = ledger.begin(vec![Effect::absent(tag())]);
        assert_eq!(possible(&ledger.now()), ["-", "b"]);
        assert_eq!(possible(&ledger.between(before, ledger.position())), ["-", "a", "b"]);
        assert_eq!(possible(&ledger.between(before, before)), ["a"]);
        ledger.refuse(third);
        assert_eq!(possible(&ledger.now()), ["b"]);
        assert_eq!(ledger.acknowledged(ledger.position()), 2);
    }

    #[test]
    fn after_a_restart_nothing_that_was_open_happens_any_more() {
        let ledger = Ledger::default();
        let lost = ledger.begin(vec![Effect::present(tag(), "a")]);
        ledger.restarted();
        assert_eq!(possible(&ledger.now()), ["-", "a"]);
        let again = ledger.begin(vec![Effect::present(tag(), "b")]);
        ledger.acknowledge(again);
        assert_eq!(possible(&ledger.now()), ["b"]);
        ledger.acknowledge(lost);
        assert_eq!(possible(&ledger.now()), ["b"]);
    }
}
