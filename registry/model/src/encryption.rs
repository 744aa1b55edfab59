// SPDX-License-Identifier: Apache-2.0
//! How the images of a repository are encrypted at rest; fixed when it is created.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ParseError;

/// ECR's kinds of encryption.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
pub enum EncryptionType {
    /// With keys of the deployment.
    #[default]
    #[serde(rename = "AES256")]
    Aes256,
    /// With a key of a key management service.
    #[serde(rename = "KMS")]
    Kms,
    /// With two layers, the outer with a key of a key management service.
    #[serde(rename = "KMS_DSSE")]
    KmsDsse,
}

impl EncryptionType {
    /// ECR's name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Aes256 => "AES256",
            Self::Kms => "KMS",
            Self::KmsDsse => "KMS_DSSE",
        }
    }
}

impl std::str::FromStr for EncryptionType {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Aes256, Self::Kms, Self::KmsDsse]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| ParseError::new("encryption type", text, "it must be AES256, KMS or KMS_DSSE"))
    }
}

/// The setting of one repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encryption {
    /// The kind.
    pub kind: EncryptionType,
    /// The key, for the kinds that take one: 1 to 2048 characters.
    pub kms_key: Option<String>,
}
