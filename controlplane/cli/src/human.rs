// SPDX-License-Identifier: Apache-2.0
//! Sizes, ages and digests as people like to read them.

use std::borrow::Cow;

use hythe_model::Digest;
use jiff::Timestamp;

/// Text of somebody else's, as it may go to a terminal: what would move the cursor, change colours or the direction of
/// writing is shown as what it is. Whoever sends a request has a say in what the audit log shows.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

/// The same on one line.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

fn escaped(text: &str, is_welcome: impl Fn(char) -> bool) -> Cow<'_, str> {
    let turns =
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let is_plain = |c: char| is_welcome(c) || !(c.is_control() || turns(c));
    if text.chars().all(is_plain) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_plain(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    Cow::Owned(shown)
}

/// `bytes` with three digits and a decimal unit, as other container tools show it.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["kB", "MB", "GB", "TB", "PB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = bytes as f64 / 1000.0;
    let mut unit = UNITS[0];
    for larger in UNITS.iter().skip(1) {
        // What would be rounded up to four digits belongs to the next unit.
        if value < 999.5 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    let digits = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
    format!("{value:.digits$} {unit}")
}

/// How long ago `then` was.
pub(crate) fn age(now: Timestamp, then: Timestamp) -> String {
    match now.as_second().saturating_sub(then.as_second()) {
        // Rounded up: what was just made for 12 hours does not end in 11.
        ..0 => format!("in {}", span(then.as_second().saturating_sub(now.as_second()), true)),
        0..5 => "just now".into(),
        seconds => format!("{} ago", span(seconds, false)),
    }
}

/// A number of seconds in its largest fitting unit.
fn span(seconds: i64, round_up: bool) -> String {
    const UNITS: [(i64, &str); 5] = [
        (365 * 86_400, "year"),
        (7 * 86_400, "week"),
        (86_400, "day"),
        (3600, "hour"),
        (60, "minute"),
    ];
    // Two units make one large one at least: "36 hours" says more than "1 day".
    let unit = UNITS.iter().find(|(length, _)| seconds >= 2 * length);
    let (length, unit) = unit.copied().unwrap_or((1, "second"));
    let count = (seconds + if round_up { length - 1 } else { 0 }) / length;
    counted(u64::try_from(count).unwrap_or_default(), unit)
}

/// A number of things.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    if count == 1 {
        format!("1 {thing}")
    } else {
        format!("{count} {thing}s")
    }
}

/// The start of a digest, which is enough to tell images apart on a screen.
pub(crate) fn short(digest: &Digest) -> String {
    const SHOWN: usize = 12;
    let hex = digest.hex();
    format!("{}:{}", digest.algorithm().as_str(), hex.get(..SHOWN).unwrap_or(&hex))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_others_reaches_the_terminal_as_a_command() {
        let cases = [
            ("team-a/web", "team-a/web", "team-a/web"),
            ("a\nb\tc", "a\nb\tc", "a\\nb\\tc"),
            ("\x1b[2J\x07", "\\u{1b}[2J\\u{7}", "\\u{1b}[2J\\u{7}"),
            ("\u{9b}31m\r", "\\u{9b}31m\\r", "\\u{9b}31m\\r"),
            ("\u{202e}txt", "\\u{202e}txt", "\\u{202e}txt"),
            ("größe", "größe", "größe"),
        ];
        for (text, shown, line) in cases {
            assert_eq!((&*plain(text), &*one_line(text)), (shown, line), "{text:?}");
        }
    }

    #[test]
    fn sizes_have_three_digits() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (12_345, "12.3 kB"),
            (999_499, "999 kB"),
            (999_500, "1.00 MB"),
            (268_435_456, "268 MB"),
            (4_200_000_000, "4.20 GB"),
            (u64::MAX, "18447 PB"),
        ];
        for (bytes, want) in cases {
            assert_eq!(size(bytes), want);
        }
    }

    #[test]
    fn ages_use_one_unit() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let cases = [
            (0, "just now"),
            (5, "5 seconds ago"),
            (119, "119 seconds ago"),
            (120, "2 minutes ago"),
            (36 * 3600, "36 hours ago"),
            (2 * 86_400, "2 days ago"),
            (21 * 86_400, "3 weeks ago"),
            (800 * 86_400, "2 years ago"),
            (-12 * 3600, "in 12 hours"),
            (-12 * 3600 + 1, "in 12 hours"),
            (-90, "in 90 seconds"),
        ];
        for (seconds, want) in cases {
            assert_eq!(age(now, Timestamp::from_second(1_000_000_000 - seconds).unwrap()), want);
        }
    }
}
