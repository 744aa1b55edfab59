// SPDX-License-Identifier: Apache-2.0
//! Tenants and the region they are in.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ParseError;
use crate::text::parsed_text;

/// The id of an account, which is also the id of its registry, such as `000000000000`.
///
/// Invariant: exactly twelve ASCII digits (ECR API, `RegistryId`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(Arc<str>);

impl AccountId {
    /// Whether `text` has the form of an account id.
    #[must_use]
    pub fn matches(text: &str) -> bool {
        text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
    }

    fn check(text: &str) -> Result<(), ParseError> {
        if Self::matches(text) {
            Ok(())
        } else {
            Err(ParseError::new("account id", text, "it must have exactly 12 digits"))
        }
    }
}

impl Default for AccountId {
    /// The account that a first start creates.
    fn default() -> Self {
        Self("000000000000".into())
    }
}

parsed_text!(AccountId, "account id", "^[0-9]{12}$");

/// The name of the region that this deployment is, such as `local`.
///
/// Invariant: 2 to 25 of lower-case letters, digits and hyphens (ECR API, `Region`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Region(Arc<str>);

impl Region {
    fn check(text: &str) -> Result<(), ParseError> {
        let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (2..=25).contains(&text.len()) && text.bytes().all(is_allowed) {
            Ok(())
        } else {
            Err(ParseError::new(
                "region",
                text,
                "it must have 2 to 25 lower-case letters, digits and hyphens",
            ))
        }
    }
}

impl Default for Region {
    fn default() -> Self {
        Self("local".into())
    }
}

parsed_text!(Region, "region", "^[0-9a-z-]{2,25}$");
