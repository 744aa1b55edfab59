// SPDX-License-Identifier: Apache-2.0
//! Decimal numbers of any size, compared by value.

use std::fmt;
use std::str::FromStr;

/// Most significant digits that a [`Number`] may have, and the largest power
/// of ten. Terraform computes with about 155 digits; a 64-bit float needs 767.
const MAX_DIGITS: usize = 2_000;

/// A finite decimal number, exact.
///
/// Invariant: the value is `digits × 10^exponent`; `digits` neither starts nor
/// ends with a zero; zero is the empty string, exponent 0 and not negative. So
/// equal values are equal structures: `1`, `1.0` and `"1e0"` are the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    digits: Box<str>,
    exponent: i32,
}

/// Why a text is not a [`Number`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number of at most {MAX_DIGITS} digits")]
pub struct NumberError;

impl Number {
    /// The number as a signed integer, if it is one and fits.
    #[must_use]
    pub fn to_i64(&self) -> Option<i64> {
        self.plain_integer()?.parse().ok()
    }

    /// The number as an unsigned integer, if it is one and fits.
    #[must_use]
    pub fn to_u64(&self) -> Option<u64> {
        self.plain_integer()?.parse().ok()
    }

    /// The nearest float.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        let sign = if self.negative { "-" } else { "" };
        format!(
            "{sign}{}e{}",
            if self.digits.is_empty() { "0" } else { &self.digits },
            self.exponent
        )
        .parse()
        .unwrap_or(f64::NAN)
    }

    /// The float that is exactly this number, if there is one.
    pub(crate) fn to_exact_f64(&self) -> Option<f64> {
        let float = self.to_f64();
        (Self::try_from(float).as_ref() == Ok(self)).then_some(float)
    }

    fn plain_integer(&self) -> Option<String> {
        let zeros = usize::try_from(self.exponent).ok()?;
        (self.digits.len() + zeros <= 20).then(|| self.to_string())
    }

    fn normal(negative: bool, digits: &str, exponent: i64) -> Result<Self, NumberError> {
        let trimmed = digits.trim_end_matches('0');
        let exponent = exponent + i64::try_from(digits.len() - trimmed.len()).map_err(|_| NumberError)?;
        let trimmed = trimmed.trim_start_matches('0');
        if trimmed.is_empty() {
            return Ok(Self {
                negative: false,
                digits: "".into(),
                exponent: 0,
            });
        }
        let exponent = i32::try_from(exponent).map_err(|_| NumberError)?;
        if trimmed.len() > MAX_DIGITS || exponent.unsigned_abs() as usize > MAX_DIGITS {
            return Err(NumberError);
        }
        Ok(Self {
            negative,
            digits: trimmed.into(),
            exponent,
        })
    }
}

impl FromStr for Number {
    type Err = NumberError;

    fn from_str(text: &str) -> Result<Self, NumberError> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| NumberError)?),
            None => (rest, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || digits.len() > 2 * MAX_DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NumberError);
        }
        let fraction_digits = i64::try_from(fraction.len()).map_err(|_| NumberError)?;
        Self::normal(negative, &digits, i64::from(exponent) - fraction_digits)
    }
}

impl fmt::Display for Number {
    /// Plain decimal notation, without an exponent.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.digits.is_empty() {
            return out.write_str("0");
        }
        if self.negative {
            out.write_str("-")?;
        }
        if let Ok(zeros) = usize::try_from(self.exponent) {
            return write!(out, "{}{}", self.digits, "0".repeat(zeros));
        }
        let places = self.exponent.unsigned_abs() as usize;
        let leading = "0".repeat((places + 1).saturating_sub(self.digits.len()));
        let padded = format!("{leading}{}", self.digits);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        write!(out, "{whole}.{fraction}")
    }
}

impl TryFrom<f64> for Number {
    type Error = NumberError;

    /// The exact value of the float; infinities and NaN are refused.
    fn try_from(float: f64) -> Result<Self, NumberError> {
        if !float.is_finite() {
            return Err(NumberError);
        }
        // The smallest float has 1074 digits after the point.
        let text = if float.fract() == 0.0 {
            format!("{float:.0}")
        } else {
            format!("{float:.1074}")
        };
        text.parse()
    }
}

macro_rules! from_integer {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Number {
            fn from(integer: $integer) -> Self {
                let text = integer.to_string();
                let digits = text.trim_start_matches('-');
                let trimmed = digits.trim_end_matches('0');
                Self {
                    negative: text.starts_with('-'),
                    digits: trimmed.into(),
                    // At most 20 digits; zero has no digits and exponent 0.
                    exponent: if trimmed.is_empty() { 0 } else { i32::try_from(digits.len() - trimmed.len()).unwrap_or(0) },
                }
            }
        }
    )*};
}
from_integer!(i8, i16, i32, i64, u8, u16, u32, u64, usize, isize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_equal_numbers() {
        let cases = [
            ("0", "-0.000", "0"),
            ("1", "1.0", "1"),
            ("100", "1e2", "100"),
            ("-12.50", "-1250e-2", "-12.5"),
            ("9007199254740993", "9007199254740993.0", "9007199254740993"),
            ("0.001", "1e-3", "0.001"),
        ];
        for (a, b, plain) in cases {
            let (a, b): (Number, Number) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(a, b);
            assert_eq!(a.to_string(), plain);
        }
        assert_ne!("0.1".parse::<Number>().unwrap(), Number::try_from(0.1).unwrap());
        assert_eq!(Number::try_from(0.5).unwrap(), "0.5".parse().unwrap());
        assert_eq!(Number::from(i64::MIN).to_i64(), Some(i64::MIN));
        assert_eq!(Number::from(u64::MAX).to_u64(), Some(u64::MAX));
        assert_eq!(Number::from(0_i32), "0".parse().unwrap());
        assert_eq!(Number::from(-120_i32).to_string(), "-120");
    }

    #[test]
    fn absurd_numbers_are_refused() {
        for text in [
            "",
            "-",
            ".",
            "1e99999999999",
            "1e5000",
            "0x10",
            "inf",
            "NaN",
            "1_000",
            "1 ",
        ] {
            assert_eq!(text.parse::<Number>(), Err(NumberError), "{text}");
        }
        assert!("9".repeat(4_001).parse::<Number>().is_err());
        assert!(Number::try_from(f64::INFINITY).is_err());
        assert!(Number::try_from(f64::MIN_POSITIVE / 4.0).is_ok());
    }
}
