// SPDX-License-Identifier: Apache-2.0
//! Ranges: of reads (RFC 9110, section 14) and of upload chunks (OCI Distribution Specification 1.1, "Pushing a blob in chunks").

use std::ops::Range;

use crate::input::InputError;

/// Which bytes of a blob a read is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    Part(Range<u64>),
    Unsatisfiable,
}

/// Reads a `Range` header for a blob of `size` bytes. A header that is no range of bytes, or names several,
/// is passed over, as RFC 9110 allows: the answer is then the whole blob.
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let spec = header
        .and_then(|text| text.split_once('='))
        .filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let Some((first, last)) = spec.and_then(|(_, spec)| spec.trim().split_once('-')) else {
        return Wanted::Whole;
    };
    match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 || size == 0 {
                Wanted::Unsatisfiable
            } else {
                Wanted::Part(size.saturating_sub(suffix)..size)
            }
        }
        (Some(first), None) if last.is_empty() => part(first, size, size),
        (Some(first), Some(last)) if first <= last => part(first, last.saturating_add(1), size),
        _ => Wanted::Whole,
    }
}

fn part(start: u64, end: u64, size: u64) -> Wanted {
    if start >= size {
        Wanted::Unsatisfiable
    } else {
        Wanted::Part(start..end.min(size))
    }
}

/// Digits only: no sign, no white space, no list. A number beyond 64 bits is as good as the largest.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Where a chunk of an upload starts and how long it is, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ContentRange {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl ContentRange {
    /// Reads `<first>-<last>`; the forms `bytes <first>-<last>/<size>` of RFC 9110 are understood too.
    pub(crate) fn parse(text: &str) -> Result<Self, InputError> {
        let fail = || InputError::ContentRange(text.chars().take(100).collect());
        let range = text.trim().trim_start_matches("bytes").trim_start_matches(['=', ' ']);
        let range = range.split('/').next().unwrap_or(range);
        let (first, last) = range.split_once('-').ok_or_else(fail)?;
        let (first, last) = number(first).zip(number(last)).ok_or_else(fail)?;
        let length = last
            .checked_sub(first)
            .and_then(|length| length.checked_add(1))
            .ok_or_else(fail)?;
        Ok(Self { start: first, length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_follow_rfc_9110() {
        let cases = [
            (None, 10, Wanted::Whole),
            (Some("bytes=0-3"), 10, Wanted::Part(0..4)),
            (Some("Bytes=0-3"), 10, Wanted::Part(0..4)),
            (Some("bytes=4-"), 10, Wanted::Part(4..10)),
            (Some("bytes=-3"), 10, Wanted::Part(7..10)),
            (Some("bytes=-30"), 10, Wanted::Part(0..10)),
            (Some("bytes=8-99"), 10, Wanted::Part(8..10)),
            (Some("bytes=9-9"), 10, Wanted::Part(9..10)),
            (Some("bytes=10-"), 10, Wanted::Unsatisfiable),
            (Some("bytes=10-12"), 10, Wanted::Unsatisfiable),
            (Some("bytes=-0"), 10, Wanted::Unsatisfiable),
            (Some("bytes=0-"), 0, Wanted::Unsatisfiable),
            (Some("bytes=-1"), 0, Wanted::Unsatisfiable),
            (Some("bytes=99999999999999999999-"), 10, Wanted::Unsatisfiable),
            (Some("bytes=3-1"), 10, Wanted::Whole),
            (Some("bytes=0-1,3-4"), 10, Wanted::Whole),
            (Some("bytes=a-b"), 10, Wanted::Whole),
            (Some("bytes=-"), 10, Wanted::Whole),
            (Some("bytes=+1-2"), 10, Wanted::Whole),
            (Some("lines=0-3"), 10, Wanted::Whole),
            (Some("0-3"), 10, Wanted::Whole),
        ];
        for (header, size, want) in cases {
            assert_eq!(wanted(header, size), want, "{header:?} of {size}");
        }
    }

    #[test]
    fn content_ranges_are_read_in_both_forms() {
        let chunk = Some(ContentRange { start: 5, length: 5 });
        let cases = [
            ("5-9", chunk),
            ("bytes 5-9/20", chunk),
            ("bytes=5-9", chunk),
            ("bytes 5-9/*", chunk),
            ("9-5", None),
            ("5-", None),
            ("-5", None),
            ("", None),
            ("5", None),
            ("0-18446744073709551615", None),
        ];
        for (text, want) in cases {
            assert_eq!(ContentRange::parse(text).ok(), want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_range_lies_within_the_blob(header in "(bytes=)?[0-9,-]{0,12}|.*", size in 0u64..100) {
            if let Wanted::Part(range) = wanted(Some(&header), size) {
                prop_assert!(range.start < range.end && range.end <= size);
            }
            let _ = ContentRange::parse(&header);
        }
    }
}
