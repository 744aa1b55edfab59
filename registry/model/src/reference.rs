// SPDX-License-Identifier: Apache-2.0
//! How a request names one image of a repository.

use std::fmt;
use std::str::FromStr;

use crate::{Digest, ParseError, Tag};

/// An image, named by tag or by digest (OCI Distribution Specification 1.1, "Pulling manifests").
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reference {
    /// Whatever the tag points to now.
    Tag(Tag),
    /// The image with exactly these bytes.
    Digest(Digest),
}

impl FromStr for Reference {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // A tag cannot hold a colon and a digest must.
        if text.contains(':') {
            text.parse().map(Self::Digest)
        } else {
            text.parse().map(Self::Tag)
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(formatter),
            Self::Digest(digest) => fmt::Display::fmt(digest, formatter),
        }
    }
}
