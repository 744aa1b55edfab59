// SPDX-License-Identifier: Apache-2.0
//! Durations on the command line.

use hythe_wire::{MAX_TOKEN_SECONDS, MIN_TOKEN_SECONDS};
use jiff::{SignedDuration, Timestamp};

/// Reads the life of a token, such as `90s`, `30m`, `12h` or `3600`.
pub(crate) fn token_seconds(text: &str) -> Result<u32, String> {
    let rule =
        || format!("it must be {MIN_TOKEN_SECONDS} to {MAX_TOKEN_SECONDS} seconds, such as `15m`, `12h` or `3600`");
    let (number, unit) = match text.strip_suffix(['s', 'm', 'h']) {
        Some(number) => (number, text.get(number.len()..).unwrap_or_default()),
        None => (text, "s"),
    };
    let factor = match unit {
        "h" => 3600,
        "m" => 60,
        _ => 1,
    };
    let seconds = number
        .parse::<u32>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(rule)?;
    if (MIN_TOKEN_SECONDS..=MAX_TOKEN_SECONDS).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(rule())
    }
}

/// Reads a time (RFC 3339), or how long before `now` it was, such as `90s`, `30m`, `12h` or `7d`.
pub(crate) fn time(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let ago = || {
        let unit = text.chars().next_back()?;
        let seconds: i64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        let number: u32 = text.strip_suffix(unit)?.parse().ok()?;
        now.checked_sub(SignedDuration::from_secs(seconds.checked_mul(number.into())?))
            .ok()
    };
    ago()
        .or_else(|| text.parse().ok())
        .ok_or_else(|| format!("`{text}` is no time"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit_or_are_seconds() {
        for (text, want) in [
            ("12h", Some(43_200)),
            ("15m", Some(900)),
            ("90s", Some(90)),
            ("3600", Some(3600)),
        ] {
            assert_eq!(token_seconds(text).ok(), want, "{text}");
        }
        for text in ["", "h", "13h", "59", "-1h", "1d", "99999999999h", "4294967295h"] {
            assert!(token_seconds(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_told_or_counted_back() {
        let now: Timestamp = "2026-11-08T12:00:00Z".parse().unwrap();
        for (text, want) in [
            ("2026-11-01T00:00:00Z", "2026-11-01T00:00:00Z"),
            ("7d", "2026-11-01T12:00:00Z"),
            ("90s", "2026-11-08T11:58:30Z"),
            ("2h", "2026-11-08T10:00:00Z"),
        ] {
            assert_eq!(time(text, now), Ok(want.parse().unwrap()), "{text}");
        }
        for text in ["", "d", "-1d", "1w", "yesterday", "4294967295d"] {
            assert!(time(text, now).is_err(), "{text}");
        }
    }
}
