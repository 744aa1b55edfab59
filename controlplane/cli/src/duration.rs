// SPDX-License-Identifier: Apache-2.0
//! Durations on the command line.

use hythe_wire::{MAX_TOKEN_SECONDS, MIN_TOKEN_SECONDS};

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
}
