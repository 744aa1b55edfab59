// SPDX-License-Identifier: Apache-2.0
//! Upload sessions.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::ParseError;

/// The id of an upload session (ECR API, `UploadId`: a UUID).
///
/// Version 7, so that ids of one time are close together in an index; it is a name, not a secret: the
/// session is also bound to its repository and every request to it is authorized.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadId(Uuid);

impl UploadId {
    /// A new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl FromStr for UploadId {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 36 {
            return Err(ParseError::new("upload id", text, "it must be a UUID"));
        }
        Uuid::try_parse(text)
            .map(Self)
            .map_err(|_| ParseError::new("upload id", text, "it must be a UUID"))
    }
}

impl fmt::Display for UploadId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}
