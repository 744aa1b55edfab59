// SPDX-License-Identifier: Apache-2.0
//! Deleting several images at once, and deleted images that can be restored.

use hythe_model::{AccountId, Digest, MediaType, RepositoryName, Tag};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DateTime;

/// What names an image: its digest, a tag, or a tag that must point to the digest. What is no digest or no tag is a
/// failure of this entry, not of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageIdentifier {
    /// The digest: the image goes with all its tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<String>,
    /// A tag: it goes, and with the last one its image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag: Option<String>,
}

/// Images to delete.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteImages {
    /// 1 to 100 of them.
    #[schemars(length(min = 1, max = 100))]
    pub image_ids: Vec<ImageIdentifier>,
}

/// Why an image that was named stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum ImageFailureCode {
    /// The digest is none.
    InvalidImageDigest,
    /// The tag is none.
    InvalidImageTag,
    /// The tag points to another image.
    ImageTagDoesNotMatchDigest,
    /// There is no such image.
    ImageNotFound,
    /// Neither a digest nor a tag was given.
    MissingDigestAndTag,
    /// An index lists it.
    ImageReferencedByManifestList,
}

/// An image that was named and stays.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageFailure {
    /// What was named.
    pub image_id: ImageIdentifier,
    /// Why it stays.
    pub failure_code: ImageFailureCode,
    /// The same for people.
    pub failure_reason: String,
}

/// What became of the images that were to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageDeletions {
    /// What is gone: an entry for each tag, and one for an image that had none.
    pub image_ids: Vec<ImageIdentifier>,
    /// What stays.
    pub failures: Vec<ImageFailure>,
}

/// Why an image was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeletionReason {
    /// Somebody asked for it.
    Request,
    /// The lifecycle policy took it.
    Lifecycle,
    /// It refers to an image that was deleted.
    SubjectDeleted,
}

/// A deleted image that can be restored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestorableImage {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// The digest of the manifest.
    pub image_digest: Digest,
    /// The tags that went with it, sorted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_tags: Vec<Tag>,
    /// Bytes of its layers and configuration; of an index, those of its largest image.
    pub image_size_in_bytes: u64,
    /// When it was pushed.
    #[schemars(with = "DateTime")]
    pub image_pushed_at: Timestamp,
    /// The media type of the manifest.
    pub image_manifest_media_type: MediaType,
    /// The media type of the configuration, or the type of the artifact that it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_media_type: Option<String>,
    /// The image that this one is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_manifest_digest: Option<Digest>,
    /// When it was deleted.
    #[schemars(with = "DateTime")]
    pub deleted_at: Timestamp,
    /// Who deleted it, as an ARN.
    pub deleted_by: String,
    /// Why.
    pub deletion_reason: DeletionReason,
    /// The priority of the rule of the lifecycle policy that took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle_rule_priority: Option<u32>,
    /// Until when it can be restored.
    #[schemars(with = "DateTime")]
    pub restorable_until: Timestamp,
}

/// One page of deleted images, the last deleted first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestorableImagePage {
    /// The images.
    pub deleted_images: Vec<RestorableImage>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// How to restore an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RestoreImage {
    /// Which of its tags come back; all by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1000))]
    pub image_tags: Option<Vec<Tag>>,
}

/// A tag that was not restored.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TagFailure {
    /// The tag.
    pub image_tag: Tag,
    /// The image that it points to by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Digest>,
    /// Why, for people.
    pub failure_reason: String,
}

/// What a restoration did.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RestoredImage {
    /// The image.
    pub image_digest: Digest,
    /// Whether it was gone; if not, only its tags were looked at.
    pub is_restored: bool,
    /// Its tags that point to it now.
    pub image_tags: Vec<Tag>,
    /// Its tags that do not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<TagFailure>,
    /// Images that it lists and that came back with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restored_children: Vec<Digest>,
}

/// The settings of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistrySettings {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// For how many days deleted images can be restored, 0 to 365; with 0 they are gone at once.
    pub deleted_image_retention_days: u32,
}

/// The wanted settings of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutRegistrySettings {
    /// For how many days deleted images can be restored, 0 to 365; with 0 they are gone at once.
    #[schemars(range(min = 0, max = 365))]
    pub deleted_image_retention_days: u32,
}
