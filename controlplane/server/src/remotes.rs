// SPDX-License-Identifier: Apache-2.0
//! The registries that pull-through cache rules name, as this process asks them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hythe_model::{AccountId, RepositoryPrefix};
use hythe_operations::{UpstreamCredential, UpstreamRule};
use hythe_upstream::{Credential, Outgoing, RateLimit, Remote};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet};
use prometheus_client::metrics::MetricType;

/// The most registries whose tokens and limits are remembered.
const MAX_REMOTES: usize = 1024;

/// The registries of rules. One is one value while its rule stays, so that its tokens are used again and its limit is known
/// to all who ask it.
#[derive(Debug)]
pub(crate) struct Remotes {
    outgoing: Outgoing,
    known: Mutex<HashMap<(AccountId, RepositoryPrefix), Known>>,
}

#[derive(Debug)]
struct Known {
    /// With the version of the rule.
    name: String,
    remote: Arc<Remote>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabels {
    account: String,
    rule: String,
    upstream: String,
}

impl Remotes {
    pub(crate) fn new(outgoing: Outgoing) -> Self {
        Self {
            outgoing,
            known: Mutex::default(),
        }
    }

    /// The registry of a rule, and what names the rule as it is now: one that was changed has no part in what went wrong
    /// before.
    pub(crate) fn of(&self, rule: &UpstreamRule) -> (Arc<Remote>, String) {
        let record = &rule.record;
        let name = format!("{}/{}#{}", record.account, record.prefix, record.version);
        let key = (record.account.clone(), record.prefix.clone());
        let mut remotes = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = remotes.get(&key).filter(|known| known.name == name) {
            return (Arc::clone(&known.remote), name);
        }
        let credential = rule.credential.as_ref().map(told);
        let remote = Arc::new(Remote::new(self.outgoing.clone(), record.upstream.clone(), credential));
        if remotes.len() >= MAX_REMOTES {
            remotes.clear();
        }
        let known = Known {
            name: name.clone(),
            remote: Arc::clone(&remote),
        };
        remotes.insert(key, known);
        (remote, name)
    }

    /// For how much longer the registry of a rule is to be left alone since it said that no request is left. `name` is what
    /// [`Self::of`] said.
    pub(crate) fn used_up_for(&self, name: &str) -> Option<Duration> {
        let remotes = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let found = remotes.values().find(|known| known.name == name);
        found.and_then(|known| known.remote.used_up_for())
    }

    fn limits(&self) -> Vec<(RuleLabels, RateLimit)> {
        let remotes = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let limits = remotes.iter().filter_map(|((account, prefix), known)| {
            let labels = RuleLabels {
                account: account.to_string(),
                rule: prefix.to_string(),
                upstream: known.remote.registry().to_string(),
            };
            Some((labels, known.remote.rate_limit()?))
        });
        limits.collect()
    }
}

/// As a client of registries takes it.
pub(crate) fn told(credential: &UpstreamCredential) -> Credential {
    Credential {
        username: credential.username.clone(),
        secret: credential.access_token.expose().to_owned(),
    }
}

/// Which part of a limit is shown.
type Reading = fn(&RateLimit) -> Option<u64>;

/// Shows the limits that registries spoke of: read when somebody asks, so that what is old or gone is not shown.
#[derive(Debug)]
pub(crate) struct RemoteLimits(pub(crate) Arc<Remotes>);

impl Collector for RemoteLimits {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let limits = self.0.limits();
        let metrics: [(_, _, Reading); 2] = [
            (
                "hythe_registry_cache_requests_remaining",
                "Requests that the registry of a pull-through cache rule says are left within its window",
                |limit| limit.remaining,
            ),
            (
                "hythe_registry_cache_requests_limit",
                "The most requests within a window that the registry of a pull-through cache rule says it takes",
                |limit| limit.limit,
            ),
        ];
        for (name, help, value) in metrics {
            if limits.is_empty() {
                break;
            }
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (labels, limit) in &limits {
                if let Some(value) = value(limit) {
                    metric.encode_family(labels)?.encode_gauge(&value)?;
                }
            }
        }
        Ok(())
    }
}
