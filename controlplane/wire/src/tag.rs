// SPDX-License-Identifier: Apache-2.0
//! Tags of images.

use hythe_model::{Digest, Tag};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DateTime;

/// A tag, and the image that it points to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageTag {
    /// The tag.
    pub image_tag: Tag,
    /// The image.
    pub image_digest: Digest,
    /// When it was pointed there.
    #[schemars(with = "DateTime")]
    pub moved_at: Timestamp,
}

/// Where a tag shall point.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutImageTag {
    /// An image of the same repository.
    pub image_digest: Digest,
}

/// One page of tags, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagPage {
    /// The tags.
    pub tags: Vec<ImageTag>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One move of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagMove {
    /// When.
    #[schemars(with = "DateTime")]
    pub moved_at: Timestamp,
    /// The image that it pointed to before; absent if the tag was new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_digest: Option<Digest>,
    /// The image that it pointed to from then on; absent if the tag was deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_digest: Option<Digest>,
    /// Who moved it, as an ARN.
    pub moved_by: String,
}

/// One page of the moves of a tag, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagHistory {
    /// The moves.
    pub moves: Vec<TagMove>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}
