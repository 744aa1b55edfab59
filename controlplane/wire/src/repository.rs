// SPDX-License-Identifier: Apache-2.0
//! Repositories.

use hythe_model::{AccountId, EncryptionType, ExclusionFilter, RepositoryName, TagMutabilityMode};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, ResourceTag};

/// A repository: a named place for images in a registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Repository {
    /// `arn:aws:ecr:<region>:<account>:repository/<name>`.
    pub repository_arn: String,
    /// The account that owns the registry.
    pub registry_id: AccountId,
    /// The name.
    pub repository_name: RepositoryName,
    /// What to give to `docker push` and `docker pull`, before the tag.
    pub repository_uri: String,
    /// When it was created.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// Whether tags may be moved.
    pub image_tag_mutability: TagMutabilityMode,
    /// Tags for which the opposite of the mode holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_tag_mutability_exclusion_filters: Vec<ImageTagMutabilityExclusionFilter>,
    /// How images are scanned.
    pub image_scanning_configuration: ImageScanningConfiguration,
    /// Whether an index may list images that the repository does not hold (OCI Distribution Specification, sparse
    /// indexes); ECR refuses them. An image always needs its configuration and its layers.
    #[serde(default)]
    pub allow_sparse_indexes: bool,
    /// How images are encrypted at rest.
    pub encryption_configuration: EncryptionConfiguration,
    /// The resource tags, by key.
    #[serde(default)]
    pub tags: Vec<ResourceTag>,
}

/// A new repository.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateRepository {
    /// The name, unique in the registry.
    pub repository_name: RepositoryName,
    /// Whether tags may be moved; `MUTABLE` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag_mutability: Option<TagMutabilityMode>,
    /// Tags for which the opposite of the mode holds: 1 to 5 with a mode that ends in `_WITH_EXCLUSION`, else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5))]
    pub image_tag_mutability_exclusion_filters: Option<Vec<ImageTagMutabilityExclusionFilter>>,
    /// How images are scanned; not on push by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_scanning_configuration: Option<ImageScanningConfiguration>,
    /// Whether an index may list images that the repository does not hold; not by default. An image always needs its
    /// configuration and its layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_sparse_indexes: Option<bool>,
    /// How images are encrypted at rest; `AES256` by default. Cannot be changed later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_configuration: Option<EncryptionConfiguration>,
    /// Resource tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub tags: Option<Vec<ResourceTag>>,
}

impl CreateRepository {
    /// A repository with the default settings.
    #[must_use]
    pub fn new(repository_name: RepositoryName) -> Self {
        Self {
            repository_name,
            image_tag_mutability: None,
            image_tag_mutability_exclusion_filters: None,
            image_scanning_configuration: None,
            allow_sparse_indexes: None,
            encryption_configuration: None,
            tags: None,
        }
    }
}

/// Settings of a repository to change; an absent one stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateRepository {
    /// Whether tags may be moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag_mutability: Option<TagMutabilityMode>,
    /// Tags for which the opposite of the mode holds; only together with `imageTagMutability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5))]
    pub image_tag_mutability_exclusion_filters: Option<Vec<ImageTagMutabilityExclusionFilter>>,
    /// How images are scanned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_scanning_configuration: Option<ImageScanningConfiguration>,
    /// Whether an index may list images that the repository does not hold. Indexes that are there stay. An image always needs
    /// its configuration and its layers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_sparse_indexes: Option<bool>,
}

/// Parameters of the deletion of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeleteRepository {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// Whether to delete the images too; without it a repository that holds images is refused.
    #[serde(default)]
    pub force: bool,
}

/// Parameters of the list of repositories.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListRepositories {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// What the names have to start with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// Entries wanted, 1 to 1000; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_results: Option<u32>,
    /// The `nextToken` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One page of repositories, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryPage {
    /// The repositories.
    pub repositories: Vec<Repository>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// How much a repository holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryUsage {
    /// Images, indexes included.
    pub image_count: u64,
    /// Tags.
    pub tag_count: u64,
    /// Bytes of all layers, configurations and manifests, each counted once.
    pub size_in_bytes: u64,
    /// Images that were deleted and can still be restored. They go for good with the repository.
    #[serde(default)]
    pub restorable_image_count: u64,
}

/// How images are scanned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageScanningConfiguration {
    /// Whether an image is scanned when it is pushed.
    #[serde(default)]
    pub scan_on_push: bool,
}

/// How images are encrypted at rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EncryptionConfiguration {
    /// The kind.
    pub encryption_type: EncryptionType,
    /// The key, for the kinds that take one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub kms_key: Option<String>,
}

/// A pattern for the tags to which the mode of tag mutability does not apply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageTagMutabilityExclusionFilter {
    /// How the pattern is read.
    pub filter_type: ExclusionFilterType,
    /// The pattern.
    pub filter: ExclusionFilter,
}

impl From<ExclusionFilter> for ImageTagMutabilityExclusionFilter {
    fn from(filter: ExclusionFilter) -> Self {
        Self {
            filter_type: ExclusionFilterType::Wildcard,
            filter,
        }
    }
}

/// How an exclusion filter is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExclusionFilterType {
    /// `*` stands for any characters.
    #[default]
    Wildcard,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_create_request_refuses_what_it_does_not_know() {
        let refused = [
            r#"{"repositoryName":"web","extra":1}"#,
            r#"{"repositoryName":"web","imageScanningConfiguration":{"scanOnPush":true,"extra":1}}"#,
            r#"{"repositoryName":"Web"}"#,
            r#"{"repositoryName":"web","imageTagMutability":"mutable"}"#,
            r#"{"repositoryName":"web","tags":[{"key":"a","value":"b"}]}"#,
            r"{}",
        ];
        for text in refused {
            assert!(serde_json::from_str::<CreateRepository>(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_repository_round_trips_in_ecr_spelling() {
        let text = concat!(
            r#"{"repositoryArn":"arn:aws:ecr:local:000000000000:repository/web","registryId":"000000000000","repositoryName":"web","#,
            r#""repositoryUri":"127.0.0.1:5000/web","createdAt":"2026-11-01T00:00:00Z","imageTagMutability":"IMMUTABLE_WITH_EXCLUSION","#,
            r#""imageTagMutabilityExclusionFilters":[{"filterType":"WILDCARD","filter":"dev-*"}],"imageScanningConfiguration":{"scanOnPush":false},"allowSparseIndexes":true,"#,
            r#""encryptionConfiguration":{"encryptionType":"AES256"},"tags":[{"Key":"team","Value":"a"}]}"#
        );
        let repository: Repository = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&repository).unwrap(), text);
        let newer = text.replacen('{', r#"{"later":true,"#, 1);
        assert_eq!(serde_json::from_str::<Repository>(&newer).unwrap(), repository);
    }

    #[test]
    fn an_update_keeps_what_is_absent_out() {
        assert_eq!(serde_json::to_string(&UpdateRepository::default()).unwrap(), "{}");
    }
}
