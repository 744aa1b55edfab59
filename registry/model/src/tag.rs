// SPDX-License-Identifier: Apache-2.0
//! Names that people give to images.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ParseError;
use crate::text::parsed_text;

/// A tag, such as `v1.2`.
///
/// Invariant: 1 to 128 characters of `[a-zA-Z0-9_][a-zA-Z0-9._-]*` (OCI Distribution Specification 1.1, "Pulling manifests").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Tag(Arc<str>);

impl Tag {
    fn check(text: &str) -> Result<(), ParseError> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let mut bytes = text.bytes();
        let starts_well = bytes.next().is_some_and(is_word);
        if text.len() <= 128 && starts_well && bytes.all(|byte| is_word(byte) || byte == b'.' || byte == b'-') {
            Ok(())
        } else {
            Err(ParseError::new(
                "tag",
                text,
                "it must have 1 to 128 letters, digits, `_`, `.` and `-`, and not start with `.` or `-`",
            ))
        }
    }
}

parsed_text!(Tag, "tag", "^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_follow_the_grammar() {
        let long = "x".repeat(128);
        let too_long = "x".repeat(129);
        let cases = [
            ("latest", true),
            ("_", true),
            ("v1.2-rc_3", true),
            (long.as_str(), true),
            (too_long.as_str(), false),
            ("", false),
            (".a", false),
            ("-a", false),
            ("a:b", false),
            ("a/b", false),
            ("ä", false),
        ];
        for (text, valid) in cases {
            assert_eq!(text.parse::<Tag>().is_ok(), valid, "{text}");
        }
    }
}
