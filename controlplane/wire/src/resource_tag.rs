// SPDX-License-Identifier: Apache-2.0
//! Resource tags of a repository.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A key and a value that describe a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct ResourceTag {
    /// The key: 1 to 128 letters, digits, spaces and `_.:/=+-@`, not starting with `aws:`.
    #[schemars(length(min = 1, max = 128))]
    pub key: String,
    /// The value: up to 256 of the same characters.
    #[schemars(length(max = 256))]
    pub value: String,
}

/// Tags to set: `PUT` replaces all tags, `POST` adds to them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutResourceTags {
    /// The tags.
    #[schemars(length(max = 50))]
    pub tags: Vec<ResourceTag>,
}

/// The tags of a repository, by key. `DELETE …?tagKeys=a&tagKeys=b` removes some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceTagList {
    /// The tags.
    pub tags: Vec<ResourceTag>,
}
