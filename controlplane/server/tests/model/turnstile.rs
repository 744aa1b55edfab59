// SPDX-License-Identifier: Apache-2.0
//! Where operations wait between their steps until the schedule lets one go on.
//!
//! Between two waits of one operation nothing else happens, unless the schedule lets several go at once. So a seed, which
//! is all that the schedule goes by, makes the same history again.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hythe_model::RepositoryPath;
use tokio::sync::{Notify, oneshot};

/// Nothing takes so long; what does, hangs.
const HANGS: Duration = Duration::from_mins(1);

/// What an operation is about to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    pub name: &'static str,
    /// Where it changes images or tags: the schedule lets only one such step of a repository go at a time, so that their
    /// order is known.
    pub changes: Option<RepositoryPath>,
    /// Which lock it waits for.
    pub wants: Option<u8>,
    /// Whether it keeps the locks that it has.
    pub keeps: bool,
}

impl Step {
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    pub fn changing(name: &'static str, repository: &RepositoryPath) -> Self {
        Self {
            changes: Some(repository.clone()),
            ..Self::new(name)
        }
    }
}

#[derive(Debug)]
enum Place {
    Running,
    Waiting(Step, oneshot::Sender<()>),
}

#[derive(Debug, Default)]
struct State {
    places: BTreeMap<usize, Place>,
    locks: BTreeMap<u8, usize>,
    next: usize,
}

#[derive(Debug, Default)]
pub struct Turnstile {
    state: Mutex<State>,
    changed: Notify,
}

impl Turnstile {
    /// A new operation, which runs until its first step.
    pub fn enter(self: &Arc<Self>) -> Arc<Pass> {
        let mut state = self.state.lock().unwrap();
        let id = state.next;
        state.next += 1;
        state.places.insert(id, Place::Running);
        Arc::new(Pass {
            id,
            turnstile: Arc::clone(self),
        })
    }

    /// Who comes next.
    pub fn next(&self) -> usize {
        self.state.lock().unwrap().next
    }

    /// Waits until nobody runs.
    pub async fn quiet(&self) {
        while self
            .state
            .lock()
            .unwrap()
            .places
            .values()
            .any(|place| matches!(place, Place::Running))
        {
            let waited = tokio::time::timeout(HANGS, self.changed.notified()).await;
            assert!(waited.is_ok(), "somebody hangs: {:?}", self.state.lock().unwrap());
        }
    }

    /// Who is under way.
    pub fn count(&self) -> usize {
        self.state.lock().unwrap().places.len()
    }

    /// Who could go on, with what it would do.
    pub fn ready(&self) -> Vec<(usize, Step)> {
        let state = self.state.lock().unwrap();
        let is_free = |id: usize, step: &Step| {
            let holder = step.wants.and_then(|lock| state.locks.get(&lock));
            holder.is_none_or(|holder| *holder == id)
        };
        let waiting = state.places.iter().filter_map(|(id, place)| match place {
            Place::Waiting(step, _) if is_free(*id, step) => Some((*id, step.clone())),
            _ => None,
        });
        waiting.collect()
    }

    /// Lets one go on, unless its client has gone away since it was found ready.
    pub fn release(&self, id: usize) {
        let mut state = self.state.lock().unwrap();
        let Some(place) = state.places.get_mut(&id) else {
            return;
        };
        let Place::Waiting(_, go) = std::mem::replace(place, Place::Running) else {
            panic!("{id} does not wait");
        };
        // Its client has gone away, and nothing of it went on without.
        let _ = go.send(());
    }
}

/// An operation under way: until the last of it is dropped, by its end or by a crash.
#[derive(Debug)]
pub struct Pass {
    pub id: usize,
    turnstile: Arc<Turnstile>,
}

impl Pass {
    pub async fn step(&self, step: Step) {
        let go = {
            let mut state = self.turnstile.state.lock().unwrap();
            if !step.keeps {
                state.locks.retain(|_, holder| *holder != self.id);
            }
            let (sender, receiver) = oneshot::channel();
            state.places.insert(self.id, Place::Waiting(step, sender));
            self.turnstile.changed.notify_one();
            receiver
        };
        let _ = go.await;
    }

    /// Takes note of a lock that nobody else gets before this operation lets go of it.
    pub fn locked(&self, lock: u8) {
        self.turnstile.state.lock().unwrap().locks.insert(lock, self.id);
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.turnstile.state.lock().unwrap();
        state.places.remove(&self.id);
        state.locks.retain(|_, holder| *holder != self.id);
        self.turnstile.changed.notify_one();
    }
}
