// SPDX-License-Identifier: Apache-2.0
//! Tags of images.

use hythe_model::{AccountId, Digest, Tag};
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
    /// The number of that move in the history of the tag.
    pub sequence: i64,
}

/// Parameters of the description of a tag.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DescribeTag {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// Where the tag pointed at this time; where it points now by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub as_of: Option<Timestamp>,
}

/// Where a tag is to go back to: the image before the present one, unless one of these says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RollBackTag {
    /// The number of the move that pointed the tag to the wanted image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub sequence: Option<i64>,
    /// A time at which the tag pointed to the wanted image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub as_of: Option<Timestamp>,
}

/// What a rollback did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolledBackTag {
    /// The tag.
    pub image_tag: Tag,
    /// The image that it points to now.
    pub image_digest: Digest,
    /// When it was pointed there.
    #[schemars(with = "DateTime")]
    pub moved_at: Timestamp,
    /// The number of that move in the history of the tag.
    pub sequence: i64,
    /// The image that it pointed to before; absent if the tag was gone, the same as now if nothing was to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_image_digest: Option<Digest>,
    /// Whether the image had been deleted, and was restored.
    pub is_image_restored: bool,
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
    /// Counts the moves of the tag, from 1.
    pub sequence: i64,
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
