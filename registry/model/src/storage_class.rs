// SPDX-License-Identifier: Apache-2.0
//! Where the bytes of an image are kept, and whether it can be pulled (ECR, "Archive storage class").

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ParseError;

/// ECR's storage classes of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StorageClass {
    /// At hand.
    #[default]
    Standard,
    /// Put away: the image is listed on request and cannot be pulled.
    Archive,
}

impl StorageClass {
    /// ECR's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "STANDARD",
            Self::Archive => "ARCHIVE",
        }
    }
}

impl fmt::Display for StorageClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for StorageClass {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Standard, Self::Archive]
            .into_iter()
            .find(|class| class.as_str() == text)
            .ok_or_else(|| ParseError::new("storage class", text, "it must be STANDARD or ARCHIVE"))
    }
}

/// ECR's states of an image (`imageStatus`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ImageStatus {
    /// It can be pulled.
    #[default]
    Active,
    /// It is in the archive.
    Archived,
    /// It is on its way out of the archive.
    Activating,
}

impl ImageStatus {
    /// ECR's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Archived => "ARCHIVED",
            Self::Activating => "ACTIVATING",
        }
    }

    /// The storage class of an image in this state.
    #[must_use]
    pub fn storage_class(self) -> StorageClass {
        match self {
            Self::Active | Self::Activating => StorageClass::Standard,
            Self::Archived => StorageClass::Archive,
        }
    }
}

impl fmt::Display for ImageStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for ImageStatus {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Active, Self::Archived, Self::Activating]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| ParseError::new("image status", text, "it must be ACTIVE, ARCHIVED or ACTIVATING"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_ecr() {
        for class in [StorageClass::Standard, StorageClass::Archive] {
            assert_eq!(class.to_string().parse(), Ok(class));
            assert_eq!(serde_json::to_string(&class).unwrap(), format!("\"{class}\""));
        }
        for status in [ImageStatus::Active, ImageStatus::Archived, ImageStatus::Activating] {
            assert_eq!(status.to_string().parse(), Ok(status));
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
        }
        assert!("archive".parse::<StorageClass>().is_err());
        assert!("ANY".parse::<ImageStatus>().is_err());
    }
}
