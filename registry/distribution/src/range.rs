// SPDX-License-Identifier: Apache-2.0
//! Ranges: of reads (RFC 9110, section 14) and of upload chunks (OCI Distribution Specification 1.1, "Pushing a blob in chunks").

use std::ops::Range;

use crate::input::InputError;

/// The most ranges that a read may name. RFC 9110, section 14.2: many small ranges are a sign of an attack.
const MAX_RANGES: usize = 32;
/// Two ranges with at most this many bytes between them are sent as one: the head of a part costs as much
/// (RFC 9110, section 15.3.7.2).
const MAX_GAP_BYTES: u64 = 128;

/// Which bytes of a blob a read is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Whole,
    Part(Range<u64>),
    /// At least two parts that do not overlap, in the order in which they were asked for unless some were joined.
    Parts(Vec<Range<u64>>),
    Unsatisfiable,
}

/// Reads a `Range` header for a blob of `size` bytes.
///
/// A header that is no range of bytes is passed over: the answer is then the whole blob. A range whose last byte
/// comes before its first, and a set of more than [`MAX_RANGES`], are refused as if they lay behind the end (RFC 9110,
/// section 14.2, leaves it open). Ranges behind the end are left out of a set as long as there are others.
pub(crate) fn wanted(header: Option<&str>, size: u64) -> Wanted {
    let set = header
        .and_then(|text| text.split_once('='))
        .filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let Some((_, set)) = set else {
        return Wanted::Whole;
    };
    let mut ranges = Vec::new();
    let mut count = 0;
    // A list may have empty members (RFC 9110, section 5.6.1).
    for spec in set.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        count += 1;
        if count > MAX_RANGES {
            return Wanted::Unsatisfiable;
        }
        match one(spec, size) {
            One::Bytes(range) => ranges.push(range),
            One::BehindTheEnd => {}
            One::Reversed => return Wanted::Unsatisfiable,
            One::Invalid => return Wanted::Whole,
        }
    }
    if count == 0 {
        return Wanted::Whole;
    }
    let mut ranges = joined(ranges);
    match ranges.len() {
        0 => Wanted::Unsatisfiable,
        1 => ranges.pop().map_or(Wanted::Unsatisfiable, Wanted::Part),
        _ => Wanted::Parts(ranges),
    }
}

enum One {
    Bytes(Range<u64>),
    BehindTheEnd,
    Reversed,
    Invalid,
}

fn one(spec: &str, size: u64) -> One {
    let Some((first, last)) = spec.split_once('-') else {
        return One::Invalid;
    };
    let range = match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => size.saturating_sub(suffix)..size,
        (Some(first), None) if last.is_empty() => first..size,
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(size),
        (Some(_), Some(_)) => return One::Reversed,
        _ => return One::Invalid,
    };
    if range.is_empty() {
        One::BehindTheEnd
    } else {
        One::Bytes(range)
    }
}

/// Joins ranges that overlap or nearly touch, so that no byte is sent twice. Where none do, the order stays.
fn joined(ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    let mut sorted = ranges.clone();
    sorted.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match joined.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(MAX_GAP_BYTES) => last.end = last.end.max(range.end),
            Some(_) | None => joined.push(range),
        }
    }
    if joined.len() == ranges.len() { ranges } else { joined }
}

/// The value of `Content-Range` for a part that is not empty.
pub(crate) fn content_range(part: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", part.start, part.end.saturating_sub(1))
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
            (Some("bytes=3-1"), 10, Wanted::Unsatisfiable),
            (Some("bytes=0-1,3-1"), 10, Wanted::Unsatisfiable),
            (Some("bytes=0-1,3-4"), 10, Wanted::Part(0..5)),
            (Some("bytes=0-1, 500-504"), 1000, Wanted::Parts(vec![0..2, 500..505])),
            (Some("bytes=500-504,0-1"), 1000, Wanted::Parts(vec![500..505, 0..2])),
            (
                Some("bytes=500-504,0-1,-500"),
                1000,
                Wanted::Parts(vec![0..2, 500..1000]),
            ),
            (Some("bytes=0-1,,-1,"), 1000, Wanted::Parts(vec![0..2, 999..1000])),
            (Some("bytes=0-1,2000-"), 1000, Wanted::Part(0..2)),
            (Some("bytes=1000-,2000-"), 1000, Wanted::Unsatisfiable),
            (Some("bytes=0-,0-,0-"), 1000, Wanted::Part(0..1000)),
            (Some("bytes=0-1,x"), 10, Wanted::Whole),
            (Some("bytes=,"), 10, Wanted::Whole),
            (Some("bytes="), 10, Wanted::Whole),
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
    fn a_set_of_many_ranges_is_refused() {
        let set = |count: u64| {
            let ranges: Vec<String> = (0..count).map(|n| format!("{0}-{0}", n * 1000)).collect();
            wanted(Some(&format!("bytes={}", ranges.join(","))), 1_000_000)
        };
        assert!(matches!(set(MAX_RANGES as u64), Wanted::Parts(parts) if parts.len() == MAX_RANGES));
        assert_eq!(set(MAX_RANGES as u64 + 1), Wanted::Unsatisfiable);
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

        #[test]
        fn no_byte_is_sent_twice(bounds in prop::collection::vec((0u64..3000, 0u64..3000), 1..12), size in 1u64..3000) {
            let specs: Vec<String> = bounds.iter().map(|(a, b)| format!("{}-{}", a.min(b), a.max(b))).collect();
            if let Wanted::Parts(parts) = wanted(Some(&format!("bytes={}", specs.join(","))), size) {
                let mut sorted = parts.clone();
                sorted.sort_by_key(|part| part.start);
                prop_assert!(parts.len() > 1 && sorted.iter().all(|part| part.start < part.end && part.end <= size));
                prop_assert!(sorted.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
        }
    }
}
