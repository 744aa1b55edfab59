// SPDX-License-Identifier: Apache-2.0
//! A request's parts as parsed values, and what is wrong with them if they cannot be.

use axum::body::Body;
use http::{HeaderMap, HeaderName, header};
use hythe_model::{Digest, ParseError, RegistryPlace};
use percent_encoding::percent_decode_str;

/// A request, taken apart as far as its route goes.
#[derive(Debug)]
pub(crate) struct Input {
    /// The repository as the client wrote it.
    pub(crate) name: String,
    /// The digest, reference or upload id of the path.
    pub(crate) argument: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

/// What is wrong with a request, whoever sends it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("there is no `{0}` here")]
    RouteUnknown(String),
    #[error("`{method}` is not possible here")]
    MethodNotAllowed { method: String, allowed: String },
    #[error(transparent)]
    Name(ParseError),
    #[error(transparent)]
    Digest(ParseError),
    #[error("say the digest of the blob in the query parameter `digest`")]
    DigestAbsent,
    #[error(transparent)]
    Tag(ParseError),
    #[error("the query parameter `tag` goes with a push by digest, not by tag")]
    TagsBesideTag,
    #[error("a push may carry at most {0} `tag` parameters")]
    TooManyTags(usize),
    /// A reference in a read that no image can have; such an image does not exist.
    #[error("Requested image not found: {0}")]
    ReferenceUnknown(ParseError),
    #[error("Upload with id '{0}' could not be found: it is not a UUID")]
    UploadUnknown(String),
    #[error("`{0}` is not a page size: `n` must be a whole number, 0 or more")]
    PageSize(String),
    #[error("`{0}` is not a content range: it must be `<first>-<last>` in bytes, both inclusive")]
    ContentRange(String),
    #[error("the content range has {range} bytes and the body has {length}")]
    LengthMismatch { range: u64, length: u64 },
    #[error("`grant_type` must be `password` or `refresh_token`, with the parameters that belong to it")]
    GrantType,
    #[error("a token may have at most {0} scopes")]
    TooManyScopes(usize),
    #[error(transparent)]
    Replica(ParseError),
    #[error(transparent)]
    PullPath(ParseError),
    #[error("the image has come by the registry `{0}` already")]
    ReplicaLoop(RegistryPlace),
}

impl Input {
    /// The first value of a query parameter.
    pub(crate) fn parameter(&self, name: &str) -> Option<String> {
        first(&self.query, name)
    }

    /// A header's text; `None` if it is absent or not text.
    pub(crate) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// What the client says the length of the body is, in bytes.
    pub(crate) fn content_length(&self) -> Option<u64> {
        self.header(&header::CONTENT_LENGTH)
            .and_then(|text| text.trim().parse().ok())
    }

    /// A digest in a query parameter.
    pub(crate) fn digest_parameter(&self, name: &str) -> Result<Option<Digest>, InputError> {
        self.parameter(name)
            .map(|text| text.parse())
            .transpose()
            .map_err(InputError::Digest)
    }

    /// The path's digest.
    pub(crate) fn digest(&self) -> Result<Digest, InputError> {
        self.argument.parse().map_err(InputError::Digest)
    }
}

/// The pairs of a query or of a form (`application/x-www-form-urlencoded`).
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (String, String)> {
    text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

/// The first value of a name among the pairs.
pub(crate) fn first(text: &str, name: &str) -> Option<String> {
    pairs(text).find(|(key, _)| key == name).map(|(_, value)| value)
}

fn decode(text: &str) -> String {
    // Bytes that are no text become replacement characters, which no grammar of this API allows.
    percent_decode_str(&text.replace('+', " "))
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = "a=1&b=x%2Fy+z&a=2&c&&=e&d=%ff";
        assert_eq!(first(query, "a").as_deref(), Some("1"));
        assert_eq!(first(query, "b").as_deref(), Some("x/y z"));
        assert_eq!(first(query, "c").as_deref(), Some(""));
        assert_eq!(first(query, "d").as_deref(), Some("\u{fffd}"));
        assert_eq!(first(query, "e"), None);
        assert_eq!(pairs(query).filter(|(name, _)| name == "a").count(), 2);
    }
}
