// SPDX-License-Identifier: Apache-2.0
//! File descriptors: as many as the system gives, and bounds that stay below.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Config;

/// What the process itself keeps open: 256 blobs that were read last, 256 files of uploads that are gone on with, some 70 of
/// the embedded database, listeners, the runtime.
const RESERVED: u64 = 640;
/// A listener takes and answers at least so many, whatever the system says.
const MIN_EACH: u64 = 16;

/// Raises the soft limit to the hard one, for this process, and returns it.
pub fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let limit = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised,
        Err(error) => {
            tracing::warn!(error = %error, "cannot raise the limit of file descriptors");
            limit
        }
    };
    limit.current.unwrap_or(u64::MAX)
}

/// Lowers the bounds on connections and requests so that `descriptors` last: a third for the connections of each
/// of two listeners, a third for the files of requests.
pub fn fit(config: &mut Config, descriptors: u64) {
    let reserved = RESERVED + u64::from(config.database.max_connections);
    let each = (descriptors.saturating_sub(reserved) / 3).max(MIN_EACH);
    let each = usize::try_from(each).unwrap_or(usize::MAX);
    let limits = &mut config.limits;
    for (name, bound) in [
        ("limits.max_connections", &mut limits.max_connections),
        ("limits.max_concurrent_requests", &mut limits.max_concurrent_requests),
    ] {
        if *bound > each {
            tracing::warn!(
                setting = name,
                configured = *bound,
                lowered_to = each,
                descriptors,
                "the system gives too few file descriptors (RLIMIT_NOFILE)"
            );
            *bound = each;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_fit_the_descriptors() {
        let cases = [
            (u64::MAX, 4096, 2048),
            (20_000, 4096, 2048),
            (1024, 122, 122),
            (100, 16, 16),
        ];
        for (descriptors, connections, requests) in cases {
            let mut config = Config::default();
            fit(&mut config, descriptors);
            let got = (config.limits.max_connections, config.limits.max_concurrent_requests);
            assert_eq!(got, (connections, requests), "{descriptors}");
        }
        assert!(raise() > 0);
    }
}
