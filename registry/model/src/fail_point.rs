// SPDX-License-Identifier: Apache-2.0
//! Places at which a test can end the process, as a crash would.
//!
//! A fail point stands between two steps that must survive a crash. It does nothing unless a test armed it, and
//! nothing at all in an optimised build: there the call is empty.

#[cfg(debug_assertions)]
mod armed {
    use std::fs::{File, read_to_string};
    use std::io::Write as _;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Mutex, OnceLock, PoisonError};

    static PLAN: OnceLock<(String, AtomicU64)> = OnceLock::new();
    static FOLDER: OnceLock<Folder> = OnceLock::new();

    /// A folder through which a test sees and arms fail points while the process runs.
    struct Folder {
        path: PathBuf,
        /// What was armed when last looked at, and how often it was reached since.
        seen: Mutex<(String, u64)>,
    }

    pub(super) fn arm(name: &str, pass: u64) {
        let _first_one_wins = PLAN.set((name.to_owned(), AtomicU64::new(pass)));
    }

    pub(super) fn follow(folder: &Path) {
        let _first_one_wins = FOLDER.set(Folder {
            path: folder.to_owned(),
            seen: Mutex::default(),
        });
    }

    pub(super) fn reach(name: &str) {
        if let Some((armed, passes)) = PLAN.get()
            && armed == name
            && passes.fetch_sub(1, Ordering::SeqCst) == 1
        {
            // No destructor runs and nothing is flushed, as with `kill -9`.
            std::process::abort();
        }
        if let Some(folder) = FOLDER.get() {
            folder.reach(name);
        }
    }

    impl Folder {
        fn reach(&self, name: &str) {
            // Held while the file is written, so that names come one after the other.
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            let armed = read_to_string(self.path.join("armed")).unwrap_or_default();
            if let Ok(mut reached) = File::options()
                .create(true)
                .append(true)
                .open(self.path.join("reached"))
            {
                // A test that needs the line finds it missing.
                let _ = writeln!(reached, "{name}{}", if armed.is_empty() { "" } else { " armed" });
            }
            if seen.0 != armed {
                *seen = (armed, 0);
            }
            if let Some((armed, pass)) = seen.0.trim().rsplit_once(':')
                && armed == name
                && let Ok(pass) = pass.parse::<u64>()
            {
                seen.1 += 1;
                if seen.1 == pass {
                    std::process::abort();
                }
            }
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

/// Lets a test see and arm fail points through a folder: each name that is reached becomes a line of the file
/// `reached` there (with ` armed` behind it while any is), and a file `armed` that holds `NAME:PASS` ends the process the `PASS`-th time (from 1, since
/// the file is there) that the point is reached. Without effect in an optimised build.
pub fn follow_fail_points(folder: &std::path::Path) {
    #[cfg(debug_assertions)]
    armed::follow(folder);
    #[cfg(not(debug_assertions))]
    let _ = folder;
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
