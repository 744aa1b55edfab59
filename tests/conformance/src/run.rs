// SPDX-License-Identifier: Apache-2.0
//! Asks a registry everything that applies to a mode.

use std::fmt;

use crate::{Check, Mode, Observer, Target, checks, world::World};

/// How a check came out.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The check.
    pub check: &'static Check,
    /// Why it failed; `None` if it passed.
    pub failure: Option<String>,
}

/// How all checks of a mode came out.
#[derive(Debug)]
pub struct Report {
    /// The mode.
    pub mode: Mode,
    /// One outcome for each check that was run.
    pub outcomes: Vec<Outcome>,
    /// What all answers had in common.
    pub observer: Observer,
}

impl Report {
    /// How many passed.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.outcomes.len() - self.failures().count()
    }

    /// Those that failed.
    pub fn failures(&self) -> impl Iterator<Item = &Outcome> {
        self.outcomes.iter().filter(|outcome| outcome.failure.is_some())
    }

    /// How many checks of the table apply to the mode and have no outcome.
    #[must_use]
    pub fn skipped(&self) -> usize {
        let wanted = checks().filter(|check| check.modes.contains(&self.mode)).count();
        wanted.saturating_sub(self.outcomes.len())
    }
}

/// A line for each failure, then the sum.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Outcome { check, failure } in self.failures() {
            let Check {
                id,
                section,
                level,
                text,
                ..
            } = check;
            writeln!(formatter, "FAILED {id} ({section}, {level}): {text}")?;
            writeln!(formatter, "    {}", failure.as_deref().unwrap_or_default())?;
        }
        let answers: usize = self.observer.answers().values().sum();
        write!(
            formatter,
            "{}: {} passed, {} failed, {} skipped ({answers} answers)",
            self.mode,
            self.passed(),
            self.failures().count(),
            self.skipped()
        )
    }
}

/// Runs every check of the target's mode, one after the other, each in a repository of its own.
#[must_use]
pub fn run(target: &Target) -> Report {
    let observer = Observer::default();
    let mut outcomes = Vec::new();
    for check in checks().filter(|check| check.modes.contains(&target.mode)) {
        let result = World::new(target, &observer, check.id).and_then(|world| (check.run)(&world));
        outcomes.push(Outcome {
            check,
            failure: result.err().map(|error| format!("{error:#}")),
        });
    }
    Report {
        mode: target.mode,
        outcomes,
        observer,
    }
}
