// SPDX-License-Identifier: Apache-2.0
//! Places at which a test can end the process, as a crash would.
//!
//! A fail point stands between two steps that must survive a crash. It does nothing unless a test armed it, and
//! nothing at all in an optimised build: there the call is empty.

#[cfg(debug_assertions)]
mod armed {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static PLAN: OnceLock<(String, AtomicU64)> = OnceLock::new();

    pub(super) fn arm(name: &str, pass: u64) {
        let _first_one_wins = PLAN.set((name.to_owned(), AtomicU64::new(pass)));
    }

    pub(super) fn reach(name: &str) {
        if let Some((armed, passes)) = PLAN.get()
            && armed == name
            && passes.fetch_sub(1, Ordering::SeqCst) == 1
        {
            // No destructor runs and nothing is flushed, as with `kill -9`.
            std::process::abort();
        }
    }
}

/// Arms one fail point for the life of the process: it ends the process the `pass`-th time (from 1) that it is
/// reached. Without effect in an optimised build.
pub fn arm_fail_point(name: &str, pass: u64) {
    #[cfg(debug_assertions)]
    armed::arm(name, pass);
    #[cfg(not(debug_assertions))]
    let _ = (name, pass);
}

/// A place at which a test can end the process. `name` is `component.operation.step`, such as `blob.publish.renamed`:
/// the step has just been done.
#[inline]
pub fn fail_point(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::reach(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}
