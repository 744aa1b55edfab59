// SPDX-License-Identifier: Apache-2.0
//! What went wrong upstream, remembered for a while.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hythe_model::{Digest, Reference, RepositoryPath};
use hythe_upstream::UpstreamError;
use tokio::time::Instant;

use super::Upstream;

/// For how long something that is not there, or is wrong, is not asked for again.
const ABSENT_FOR: Duration = Duration::from_secs(20);
/// For how long an upstream that fails is left alone.
const FAILING_FOR: Duration = Duration::from_secs(5);
/// For how long one that wants fewer requests is left alone if it does not say for how long.
const LIMITED_FOR: Duration = Duration::from_secs(30);
/// The most that is remembered.
const MAX_ENTRIES: usize = 10_000;

/// What is asked about, and what goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum About {
    /// All that comes by a rule.
    Rule(String),
    /// A manifest.
    Manifest(RepositoryPath, Reference),
    /// A blob.
    Blob(RepositoryPath, Digest),
    /// What refers to an image.
    Referrers(RepositoryPath, Digest),
}

/// What went wrong lately, by what it is about.
#[derive(Debug, Default)]
pub(crate) struct Troubles(Mutex<HashMap<About, (Instant, UpstreamError)>>);

impl Troubles {
    /// What is known to go wrong, with that of the rule first.
    pub(crate) fn of(&self, upstream: &Upstream, about: &About) -> Option<UpstreamError> {
        self.of_rule(&upstream.rule).or_else(|| self.known(about))
    }

    /// What is known to go wrong with all that comes by a rule.
    pub(crate) fn of_rule(&self, rule: &str) -> Option<UpstreamError> {
        self.known(&About::Rule(rule.to_owned()))
    }

    fn known(&self, about: &About) -> Option<UpstreamError> {
        let now = Instant::now();
        let troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, error) = troubles.get(about).filter(|(until, _)| now < *until)?;
        Some(match error {
            UpstreamError::TooManyRequests { .. } => UpstreamError::TooManyRequests {
                retry_after: Some(until.duration_since(now)),
            },
            error => error.clone(),
        })
    }

    /// Remembers what went wrong: of the rule if it concerns all that comes by it.
    pub(crate) fn note(&self, upstream: &Upstream, about: About, error: &UpstreamError) {
        match lasting(error) {
            Some(lasts) => self.remember(About::Rule(upstream.rule.clone()), error, lasts),
            None => self.remember(about, error, ABSENT_FOR),
        }
    }

    /// Remembers what went wrong with all that comes by a rule; anything else is not remembered.
    pub(crate) fn note_of_rule(&self, rule: &str, error: &UpstreamError) {
        if let Some(lasts) = lasting(error) {
            self.remember(About::Rule(rule.to_owned()), error, lasts);
        }
    }

    fn remember(&self, about: About, error: &UpstreamError, lasts: Duration) {
        let now = Instant::now();
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() >= MAX_ENTRIES {
            troubles.retain(|_, (until, _)| now < *until);
        }
        if troubles.len() < MAX_ENTRIES {
            troubles.insert(about, (now + lasts, error.clone()));
        }
    }

    /// Forgets what went wrong with one thing, since somebody wants it asked again.
    pub(crate) fn forget(&self, about: &About) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.remove(about);
    }
}

/// For how long all that comes from an upstream is left alone, if the failure is not about one thing.
fn lasting(error: &UpstreamError) -> Option<Duration> {
    match error {
        UpstreamError::TooManyRequests { retry_after } => Some(retry_after.unwrap_or(LIMITED_FOR)),
        UpstreamError::Unreachable(_) | UpstreamError::Timeout(_) | UpstreamError::Blocked(_) => Some(FAILING_FOR),
        UpstreamError::Server { status } if *status >= 500 => Some(FAILING_FOR),
        UpstreamError::Server { .. } | UpstreamError::NotFound | UpstreamError::Denied | UpstreamError::Invalid(_) => {
            None
        }
    }
}
