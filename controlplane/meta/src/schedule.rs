// SPDX-License-Identifier: Apache-2.0
//! When what is done again and again is due, so that what was due at the same time spreads out.

use jiff::SignedDuration;

/// How much longer than it may be something waits before it is taken for put off by a clock that was ahead.
pub(crate) const SLACK: SignedDuration = SignedDuration::from_mins(1);

/// A period that is up to a tenth shorter or longer.
pub(crate) fn spread(period: SignedDuration, random: u64) -> SignedDuration {
    let tenth = u64::try_from(period.as_millis() / 10).unwrap_or(0);
    let offset = i64::try_from(random % (2 * tenth + 1)).unwrap_or(0) - i64::try_from(tenth).unwrap_or(0);
    period + SignedDuration::from_millis(offset)
}

/// `SplitMix64` (Steele, Lea, Flood, 2014): enough to spread times.
pub(crate) fn next_random(state: u64) -> u64 {
    let mixed = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_spread_by_a_tenth() {
        let hour = SignedDuration::from_hours(1);
        let mut random = 7;
        let (mut shortest, mut longest) = (hour, hour);
        for _ in 0..10_000 {
            random = next_random(random);
            let next = spread(hour, random);
            (shortest, longest) = (shortest.min(next), longest.max(next));
        }
        let (early, late) = (SignedDuration::from_mins(54), SignedDuration::from_mins(66));
        assert!(early <= shortest && longest <= late, "{shortest} {longest}");
        assert!(
            longest - shortest > SignedDuration::from_mins(11),
            "{shortest} {longest}"
        );
        assert_eq!(spread(SignedDuration::ZERO, 9), SignedDuration::ZERO);
    }
}
