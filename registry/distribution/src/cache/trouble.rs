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
pub(crate) struct Troubles(Mutex<HashMap<About, Trouble>>);

#[derive(Debug)]
struct Trouble {
    /// What names the rule as it was then: with other credentials it may go better.
    rule: String,
    until: Instant,
    error: UpstreamError,
}

impl Troubles {
    /// What is known to go wrong, with that of the rule first. An upstream that says that no request is left is not asked for
    /// manifests and referrers; blobs are not what such limits count (Docker Hub, "Pull usage and limits"), and belong to manifests
    /// that it gave.
    pub(crate) fn of(&self, upstream: &Upstream, about: &About) -> Option<UpstreamError> {
        let is_counted = matches!(about, About::Manifest(..) | About::Referrers(..));
        self.of_rule(&upstream.rule)
            .or_else(|| self.known(&upstream.rule, about))
            .or_else(|| used_up(upstream).filter(|_| is_counted))
    }

    /// What is known to go wrong with all that comes by a rule.
    pub(crate) fn of_rule(&self, rule: &str) -> Option<UpstreamError> {
        self.known(rule, &About::Rule(rule.to_owned()))
    }

    fn known(&self, rule: &str, about: &About) -> Option<UpstreamError> {
        let now = Instant::now();
        let troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = troubles.get(about)?;
        if now >= known.until || known.rule != rule {
            return None;
        }
        Some(match &known.error {
            UpstreamError::TooManyRequests { .. } => UpstreamError::TooManyRequests {
                retry_after: Some(known.until.duration_since(now)),
            },
            error => error.clone(),
        })
    }

    /// Remembers what went wrong: of the rule if it concerns all that comes by it.
    pub(crate) fn note(&self, upstream: &Upstream, about: About, error: &UpstreamError) {
        match lasting(error) {
            Some(lasts) => self.remember(&upstream.rule, About::Rule(upstream.rule.clone()), error, lasts),
            None => self.remember(&upstream.rule, about, error, ABSENT_FOR),
        }
    }

    /// Remembers what went wrong with all that comes by a rule; anything else is not remembered.
    pub(crate) fn note_of_rule(&self, rule: &str, error: &UpstreamError) {
        if let Some(lasts) = lasting(error) {
            self.remember(rule, About::Rule(rule.to_owned()), error, lasts);
        }
    }

    fn remember(&self, rule: &str, about: About, error: &UpstreamError, lasts: Duration) {
        let now = Instant::now();
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if troubles.len() >= MAX_ENTRIES {
            troubles.retain(|_, known| now < known.until);
        }
        if troubles.len() < MAX_ENTRIES {
            let trouble = Trouble {
                rule: rule.to_owned(),
                until: now + lasts,
                error: error.clone(),
            };
            troubles.insert(about, trouble);
        }
    }

    /// Forgets what went wrong with one thing, since somebody wants it asked again.
    pub(crate) fn forget(&self, about: &About) {
        let mut troubles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.remove(about);
    }
}

/// That an upstream said that no request is left, for as long as it is left alone for that.
pub(crate) fn used_up(upstream: &Upstream) -> Option<UpstreamError> {
    let retry_after = upstream.remote.used_up_for()?;
    Some(UpstreamError::TooManyRequests {
        retry_after: Some(retry_after),
    })
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
