// SPDX-License-Identifier: Apache-2.0
//! The values that conditions compare, other than texts.

use std::net::IpAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A range of addresses (RFC 4632, RFC 4291), or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    first: u128,
    mask: u128,
    is_v4: bool,
}

impl Network {
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        let (bits, is_v4) = bits(address);
        is_v4 == self.is_v4 && bits & self.mask == self.first
    }

    /// Whether it is `0.0.0.0/0` or `::/0`.
    pub(crate) fn is_everything(self) -> bool {
        self.mask == if self.is_v4 { u128::MAX << 32 } else { 0 }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, length) = match text.split_once('/') {
            None => (text, None),
            Some((address, length)) => {
                let is_plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
                (
                    address,
                    Some(length.parse::<u32>().ok().filter(|_| is_plain).ok_or(())?),
                )
            }
        };
        let address: IpAddr = address.parse().map_err(|_| ())?;
        let (bits, is_v4) = bits(address);
        let longest = if is_v4 { 32 } else { 128 };
        let length = length.unwrap_or(longest);
        if length > longest {
            return Err(());
        }
        let mask = u128::MAX.checked_shl(longest - length).unwrap_or(0);
        Ok(Self {
            first: bits & mask,
            mask,
            is_v4,
        })
    }
}

fn bits(address: IpAddr) -> (u128, bool) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(u32::from(address)), true),
        IpAddr::V6(address) => (u128::from(address), false),
    }
}

/// A finite decimal number.
pub(crate) fn number(text: &str) -> Option<f64> {
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse::<f64>().ok().filter(|number| is_plain && number.is_finite())
}

/// `true` or `false`, in any case.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text {
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// The forms of ISO 8601 that W3C's note "Date and Time Formats" allows, or seconds since 1970.
pub(crate) fn point_in_time(text: &str) -> Option<Timestamp> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    // Without seconds: `2026-01-31T12:00Z`, `2026-01-31T12:00+01:00`.
    if let (Some(minutes), Some(zone)) = (text.get(..16), text.get(16..))
        && zone.starts_with(['Z', '+', '-'])
    {
        return format!("{minutes}:00{zone}").parse().ok();
    }
    let date = match text.len() {
        7 => format!("{text}-01").parse::<Date>().ok()?,
        10 => text.parse::<Date>().ok()?,
        _ => return None,
    };
    date.to_zoned(TimeZone::UTC).ok().map(|midnight| midnight.timestamp())
}

pub(crate) fn base64_bytes(text: &str) -> Option<Box<[u8]>> {
    STANDARD.decode(text).ok().map(Vec::into_boxed_slice)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn networks_contain_their_addresses() {
        let cases = [
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.7/24", "192.0.2.1", true),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.8", false),
            ("0.0.0.0/0", "255.0.0.1", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "2001:db8::1", true),
            ("::/0", "192.0.2.1", false),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("192.0.2.0/24", "::ffff:192.0.2.1", true),
        ];
        for (network, address, want) in cases {
            let network: Network = network.parse().unwrap();
            assert_eq!(
                network.contains(address.parse().unwrap()),
                want,
                "{network:?} {address}"
            );
        }
        for bad in [
            "",
            "192.0.2.0/33",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2",
            "::/129",
            "*",
            "x/8",
        ] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
        assert!("0.0.0.0/0".parse::<Network>().unwrap().is_everything());
        assert!("::/0".parse::<Network>().unwrap().is_everything());
        assert!(!"0.0.0.0/1".parse::<Network>().unwrap().is_everything());
    }

    #[test]
    fn times_have_many_forms() {
        let noon = Timestamp::from_second(1_769_860_800).unwrap();
        for text in [
            "2026-01-31T12:00:00Z",
            "2026-01-31T12:00Z",
            "2026-01-31T13:00:00+01:00",
            "2026-01-31T12:00:00.000Z",
            "1769860800",
        ] {
            assert_eq!(point_in_time(text), Some(noon), "{text}");
        }
        let day = noon - SignedDuration::from_hours(12);
        assert_eq!(point_in_time("2026-01-31"), Some(day));
        assert_eq!(
            point_in_time("2026-01"),
            Some(day - SignedDuration::from_hours(24 * 30))
        );
        for bad in ["", "yesterday", "2026-13-01", "2026-01-31T25:00:00Z", "12:00"] {
            assert_eq!(point_in_time(bad), None, "{bad}");
        }
        for bad in ["", "nan", "inf", "0x1", "1 ", "1e999"] {
            assert_eq!(number(bad), None, "{bad}");
        }
    }
}
