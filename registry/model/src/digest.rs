// SPDX-License-Identifier: Apache-2.0
//! Names of contents.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::ParseError;

/// A hash function that a digest may name (OCI Image Specification 1.1, "Registered algorithms").
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// SHA-256, which every client knows.
    Sha256,
    /// SHA-512.
    Sha512,
}

impl Algorithm {
    /// The name in front of the colon.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    /// The length of a hash, in bytes.
    #[must_use]
    pub fn hash_bytes(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl FromStr for Algorithm {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "sha256" => Ok(Self::Sha256),
            "sha512" => Ok(Self::Sha512),
            _ => Err(ParseError::new(
                "digest algorithm",
                text,
                "it must be `sha256` or `sha512`",
            )),
        }
    }
}

/// The name of some bytes: an algorithm and their hash, such as `sha256:e3b0…`.
///
/// Invariant: a supported [`Algorithm`] and a hash of its length; displayed in lower-case hexadecimal,
/// and read in lower case only (OCI Image Specification 1.1, "Digests": "MUST match `[a-f0-9]{64}`").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    // INVARIANT: bytes past `algorithm.hash_bytes()` are zero, so that derived equality is right.
    hash: [u8; 64],
}

const RULE: &str = "it must be `sha256:` with 64 or `sha512:` with 128 lower-case hexadecimal digits";

impl Digest {
    /// The digest with this hash; `None` if its length is not the algorithm's.
    #[must_use]
    pub fn new(algorithm: Algorithm, hash: &[u8]) -> Option<Self> {
        if hash.len() != algorithm.hash_bytes() {
            return None;
        }
        let mut padded = [0; 64];
        padded.iter_mut().zip(hash).for_each(|(to, from)| *to = *from);
        Some(Self {
            algorithm,
            hash: padded,
        })
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The hash.
    #[must_use]
    pub fn hash(&self) -> &[u8] {
        self.hash.get(..self.algorithm.hash_bytes()).unwrap_or_default()
    }

    /// The hash in lower-case hexadecimal, without the algorithm.
    #[must_use]
    pub fn hex(&self) -> String {
        self.with_hex(str::to_owned)
    }

    /// Lends the hexadecimal form without allocating: digests are written with every answer.
    fn with_hex<T>(&self, take: impl FnOnce(&str) -> T) -> T {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        let mut text = [b'0'; 2 * 64];
        let hash = self.hash();
        for (pair, byte) in text.chunks_exact_mut(2).zip(hash) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        let used = text.get(..2 * hash.len()).unwrap_or_default();
        take(str::from_utf8(used).unwrap_or_default())
    }
}

impl FromStr for Digest {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseError::new("digest", text, RULE);
        let (algorithm, hex) = text.split_once(':').ok_or_else(fail)?;
        let algorithm: Algorithm = algorithm.parse().map_err(|_| fail())?;
        let nibble = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let hash: Option<Vec<u8>> = hex
            .as_bytes()
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => Some(nibble(*high)? << 4 | nibble(*low)?),
                _ => None,
            })
            .collect();
        hash.and_then(|hash| Self::new(algorithm, &hash)).ok_or_else(fail)
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.algorithm.as_str())?;
        formatter.write_str(":")?;
        self.with_hex(|hex| formatter.write_str(hex))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl JsonSchema for Digest {
    fn schema_name() -> Cow<'static, str> {
        "Digest".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn digests_follow_the_grammar() {
        let hex = "0123456789abcdef".repeat(4);
        let cases = [
            (format!("sha256:{hex}"), true),
            (format!("sha512:{hex}{hex}"), true),
            (format!("sha512:{hex}"), false),
            (format!("sha256:{hex}00"), false),
            (format!("sha256:{}", hex.to_uppercase()), false),
            (format!("md5:{hex}"), false),
            (format!("sha256{hex}"), false),
            (format!("sha256:{}", "é".repeat(32)), false),
            (String::new(), false),
            ("sha256:".into(), false),
        ];
        for (text, valid) in cases {
            let parsed = text.parse::<Digest>();
            assert_eq!(parsed.is_ok(), valid, "{text}");
            if let Ok(digest) = parsed {
                assert_eq!(digest.to_string(), text);
            }
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in ".*") {
            let _ = text.parse::<Digest>();
        }

        #[test]
        fn display_and_parse_agree(hash in proptest::collection::vec(any::<u8>(), 64)) {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                let digest = Digest::new(algorithm, &hash[..algorithm.hash_bytes()]).unwrap();
                prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
            }
        }
    }
}
