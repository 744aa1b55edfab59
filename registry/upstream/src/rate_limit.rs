// SPDX-License-Identifier: Apache-2.0
//! How many requests another registry still takes.

use std::time::Duration;

use http::HeaderMap;

/// The longest wait that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(6);

/// What a registry says about its limit (`RateLimit-Limit`, `RateLimit-Remaining`; Docker Hub, "Pull usage and limits").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimit {
    /// The most requests within the window.
    pub limit: Option<u64>,
    /// How many are left.
    pub remaining: Option<u64>,
    /// The window, in seconds.
    pub window_seconds: Option<u64>,
}

impl RateLimit {
    /// `100;w=21600`, or a number alone.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let read = |name: &str| -> Option<(u64, Option<u64>)> {
            let text = headers.get(name)?.to_str().ok()?;
            let mut parts = text.split(';').map(str::trim);
            let count = parts.next()?.parse().ok()?;
            let window = parts.find_map(|part| part.strip_prefix("w=")?.parse().ok());
            Some((count, window))
        };
        let limit = read("ratelimit-limit");
        let remaining = read("ratelimit-remaining");
        if limit.is_none() && remaining.is_none() {
            return None;
        }
        Some(Self {
            limit: limit.map(|(count, _)| count),
            remaining: remaining.map(|(count, _)| count),
            window_seconds: limit.or(remaining).and_then(|(_, window)| window),
        })
    }
}

/// `Retry-After` in seconds; a date is not understood, and counts as nothing said.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(http::header::RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_docker_hub_writes_them() {
        let headers = |pairs: &[(&'static str, &str)]| -> HeaderMap {
            pairs
                .iter()
                .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
                .collect()
        };
        let hub = headers(&[
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "98;w=21600"),
        ]);
        let wanted = RateLimit {
            limit: Some(100),
            remaining: Some(98),
            window_seconds: Some(21600),
        };
        assert_eq!(RateLimit::of(&hub), Some(wanted));
        assert_eq!(RateLimit::of(&headers(&[("ratelimit-limit", "many")])), None);
        assert_eq!(
            retry_after(&headers(&[("retry-after", "7")])),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            retry_after(&headers(&[("retry-after", "99999999999")])),
            Some(MAX_RETRY_AFTER)
        );
        assert_eq!(retry_after(&headers(&[("retry-after", "soon")])), None);
    }
}
