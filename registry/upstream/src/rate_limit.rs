// SPDX-License-Identifier: Apache-2.0
//! How many requests another registry still takes.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, HeaderName, header};
use tokio::time::Instant;

/// The longest wait that is believed.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(6);
/// How long a registry that has nothing left is not asked, at least and at most: within the longest it is noticed that there is
/// something left again, also if others use the same limit.
const MIN_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_mins(1);
/// For how long it counts what a registry said that does not say for which window.
const DEFAULT_WINDOW: Duration = Duration::from_hours(1);

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

    /// For how long the registry is not asked once nothing is left: about as long as it takes until one more request is.
    fn pause(self) -> Duration {
        let (Some(window), Some(limit)) = (self.window_seconds, self.limit) else {
            return MAX_PAUSE;
        };
        Duration::from_secs(window / limit.max(1)).clamp(MIN_PAUSE, MAX_PAUSE)
    }

    fn window(self) -> Duration {
        self.window_seconds.map_or(DEFAULT_WINDOW, Duration::from_secs)
    }
}

/// What a registry said last about its limit, and when.
#[derive(Debug, Default)]
pub(crate) struct LastLimit(Mutex<Option<(RateLimit, Instant)>>);

impl LastLimit {
    /// Takes note of an answer, if it says anything.
    pub(crate) fn note(&self, headers: &HeaderMap) {
        if let Some(limit) = RateLimit::of(headers) {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((limit, Instant::now()));
        }
    }

    /// What it said within the window that it is about.
    pub(crate) fn get(&self) -> Option<RateLimit> {
        self.said().map(|(limit, _)| limit)
    }

    /// For how much longer the registry is to be left alone, since it said that nothing is left.
    pub(crate) fn used_up_for(&self) -> Option<Duration> {
        let (limit, age) = self.said().filter(|(limit, _)| limit.remaining == Some(0))?;
        limit.pause().checked_sub(age).filter(|left| !left.is_zero())
    }

    fn said(&self) -> Option<(RateLimit, Duration)> {
        let (limit, at) = (*self.0.lock().unwrap_or_else(PoisonError::into_inner))?;
        Some((limit, at.elapsed())).filter(|(limit, age)| *age <= limit.window().max(MIN_PAUSE))
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3), which counts from the `Date` of the same answer, so that
/// clocks need not agree. A date without one counts as nothing said.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: HeaderName| Some(headers.get(name)?.to_str().ok()?.trim());
    let said = text(header::RETRY_AFTER)?;
    let wait = if let Ok(seconds) = said.parse() {
        Duration::from_secs(seconds)
    } else {
        let then = httpdate::parse_http_date(said).ok()?;
        let date = httpdate::parse_http_date(text(header::DATE)?).ok()?;
        then.duration_since(date).unwrap_or_default()
    };
    Some(wait.min(MAX_RETRY_AFTER))
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

    #[test]
    fn a_date_to_ask_again_counts_from_the_date_of_the_answer() {
        let wait = |again: &str, date: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", again.parse().unwrap());
            if let Some(date) = date {
                headers.insert("date", date.parse().unwrap());
            }
            retry_after(&headers).map(|wait| wait.as_secs())
        };
        let again = "Sun, 06 Nov 1994 08:50:37 GMT";
        let cases = [
            (again, Some("Sun, 06 Nov 1994 08:49:37 GMT"), Some(60)),
            (
                "Sunday, 06-Nov-94 08:50:37 GMT",
                Some("Sun, 06 Nov 1994 08:50:36 GMT"),
                Some(1),
            ),
            (
                "Sun Nov  6 08:50:37 1994",
                Some("Sun, 06 Nov 1994 08:50:35 GMT"),
                Some(2),
            ),
            (again, Some("Mon, 07 Nov 1994 08:50:37 GMT"), Some(0)),
            (
                "Sat, 06 Nov 2094 08:50:37 GMT",
                Some(again),
                Some(MAX_RETRY_AFTER.as_secs()),
            ),
            (again, None, None),
            (again, Some("yesterday"), None),
        ];
        for (again, date, want) in cases {
            assert_eq!(wait(again, date), want, "{again} {date:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_registry_with_nothing_left_is_asked_again_after_a_pause() {
        let last = LastLimit::default();
        let say = |limit: &str, remaining: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("ratelimit-limit", limit.parse().unwrap());
            headers.insert("ratelimit-remaining", remaining.parse().unwrap());
            last.note(&headers);
        };
        assert_eq!((last.get(), last.used_up_for()), (None, None));
        say("100;w=21600", "1;w=21600");
        assert_eq!(last.used_up_for(), None);
        // What the limit is, and for how long it is not asked.
        for (limit, seconds) in [
            ("100;w=21600", 60),
            ("100;w=60", 5),
            ("100;w=3600", 36),
            ("100", 60),
            ("0;w=9", 9),
        ] {
            say(limit, "0");
            assert_eq!(last.used_up_for(), Some(Duration::from_secs(seconds)), "{limit}");
            tokio::time::advance(Duration::from_secs(seconds - 1)).await;
            last.note(&HeaderMap::new());
            assert_eq!(last.used_up_for(), Some(Duration::from_secs(1)), "{limit}");
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(last.used_up_for(), None, "{limit}");
        }
        say("100;w=60", "0;w=60");
        say("100;w=60", "7;w=60");
        assert_eq!(last.used_up_for(), None, "it says that there is something left");
        assert_eq!(last.get().and_then(|limit| limit.remaining), Some(7));
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(last.get(), None, "of that window");
    }
}
