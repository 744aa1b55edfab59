// SPDX-License-Identifier: Apache-2.0
//! Images.

use std::collections::BTreeMap;

use hythe_model::{AccountId, Digest, ImageStatus, MediaType, RepositoryName, StorageClass, Tag};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::DateTime;

/// What is known of an image.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageDetail {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// The digest of the manifest.
    pub image_digest: Digest,
    /// The tags that point to it, sorted.
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
    /// The image that this one is about: a signature's or an SBOM's subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_manifest_digest: Option<Digest>,
    /// Whether it can be pulled.
    #[serde(default)]
    pub image_status: ImageStatus,
    /// Where its bytes belong.
    #[serde(default)]
    pub storage_class: StorageClass,
    /// When it was pulled last, as far as is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub last_recorded_pull_time: Option<Timestamp>,
    /// When it was archived last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub last_archived_at: Option<Timestamp>,
    /// When it came back last, from the archive or from being deleted: its age for lifecycle policies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub last_activated_at: Option<Timestamp>,
}

/// Where the bytes of an image shall be.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateImageStorageClass {
    /// `ARCHIVE` to put the image away, `STANDARD` to bring it back.
    pub target_storage_class: StorageClass,
}

/// The state of an image whose storage class was to change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageStorageClass {
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// The image.
    pub image_digest: Digest,
    /// `ARCHIVED`; or `ACTIVATING` until it can be pulled again, and `ACTIVE` then.
    pub image_status: ImageStatus,
}

/// Which images a list shows, by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ImageStatusFilter {
    /// Those that can be pulled.
    #[default]
    Active,
    /// Those in the archive.
    Archived,
    /// Those on their way out of the archive.
    Activating,
    /// All.
    Any,
}

/// Which images a list shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TagStatus {
    /// All.
    #[default]
    Any,
    /// Those with a tag.
    Tagged,
    /// Those without.
    Untagged,
}

/// Parameters of the list of images.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListImages {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// Which images; `ANY` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_status: Option<TagStatus>,
    /// Which images, by their state; `ACTIVE` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_status: Option<ImageStatusFilter>,
    /// Entries wanted, 1 to 1000; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_results: Option<u32>,
    /// The `nextToken` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One page of images, by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImagePage {
    /// The images.
    pub images: Vec<ImageDetail>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// What the deletion of an image or a tag took away.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeletedImage {
    /// The image.
    pub image_digest: Digest,
    /// The tags that are gone.
    #[serde(default)]
    pub image_tags: Vec<Tag>,
    /// Whether the image itself is gone: it goes with its last tag.
    pub is_image_deleted: bool,
}

/// Parameters of the list of referrers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListReferrers {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// Only referrers of this type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Entries wanted, 1 to 1000; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_results: Option<u32>,
    /// The `nextToken` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// An image that refers to another: a signature, an SBOM, an attestation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Referrer {
    /// Its digest.
    pub digest: Digest,
    /// The media type of its manifest.
    pub media_type: MediaType,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Bytes of its manifest.
    pub size: u64,
    /// The annotations of its manifest.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// One page of referrers, by digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReferrerPage {
    /// The referrers.
    pub referrers: Vec<Referrer>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_round_trips_in_ecr_spelling() {
        let text = format!(
            concat!(
                r#"{{"registryId":"000000000000","repositoryName":"web","imageDigest":"sha256:{0}","imageTags":["v1"],"imageSizeInBytes":7,"#,
                r#""imagePushedAt":"2026-11-01T00:00:00.5Z","imageManifestMediaType":"application/vnd.oci.image.manifest.v1+json","#,
                r#""artifactMediaType":"a/b","subjectManifestDigest":"sha256:{0}","imageStatus":"ARCHIVED","storageClass":"ARCHIVE","#,
                r#""lastRecordedPullTime":"2026-11-02T00:00:00Z","lastArchivedAt":"2026-11-03T00:00:00Z"}}"#
            ),
            "a".repeat(64)
        );
        let image: ImageDetail = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&image).unwrap(), text);
        let untagged = text.replace(r#""imageTags":["v1"],"#, "");
        assert!(
            serde_json::from_str::<ImageDetail>(&untagged)
                .unwrap()
                .image_tags
                .is_empty()
        );
    }
}
