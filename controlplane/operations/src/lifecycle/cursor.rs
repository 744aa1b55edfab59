// SPDX-License-Identifier: Apache-2.0
//! Where a page of the images of a run or a preview starts.

use std::fmt;
use std::str::FromStr;

use hythe_model::ParseError;

/// A place in the images of a run or a preview. They are only added to, so that the place stays where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LifecycleCursor {
    /// The run or the preview; another one has other images.
    pub run: String,
    /// The page of the store.
    pub page: i64,
    /// How many of its images come before.
    pub skip: usize,
}

impl fmt::Display for LifecycleCursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.run, self.page, self.skip)
    }
}

impl FromStr for LifecycleCursor {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let parse = || {
            let mut parts = text.splitn(3, '/');
            Some(Self {
                run: parts.next()?.to_owned(),
                page: parts.next()?.parse().ok()?,
                skip: parts.next()?.parse().ok()?,
            })
        };
        parse().ok_or_else(|| ParseError::new("place in a list", text, "it must be one that was given out"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_as_it_was_given_out() {
        let cursor = LifecycleCursor {
            run: "0197".into(),
            page: 7,
            skip: 999,
        };
        assert_eq!(cursor.to_string().parse::<LifecycleCursor>().unwrap(), cursor);
        for text in ["", "a", "a/1", "a/x/1", "a/1/-1"] {
            text.parse::<LifecycleCursor>().unwrap_err();
        }
    }
}
