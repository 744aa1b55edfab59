// SPDX-License-Identifier: Apache-2.0
//! Templates of the repositories that the server creates by itself.

use hythe_model::{AccountId, CreationTrigger, RepositoryPrefix, TagMutabilityMode};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, EncryptionConfiguration, ImageTagMutabilityExclusionFilter, ResourceTag};

/// A template: what repositories are like that the server creates because a first push, the cache or replication needs them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryCreationTemplate {
    /// The account whose repositories it is for.
    pub registry_id: AccountId,
    /// How the names of those repositories begin: `prod` is for `prod/web`, neither for `prod` nor for `production/web`.
    /// `ROOT` is for all that no other template is for.
    pub prefix: RepositoryPrefix,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// On which occasions it is used.
    pub applied_for: Vec<CreationTrigger>,
    /// Whether tags of new repositories may be moved.
    pub image_tag_mutability: TagMutabilityMode,
    /// Tags for which the opposite of the mode holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_tag_mutability_exclusion_filters: Vec<ImageTagMutabilityExclusionFilter>,
    /// Whether an index in them may list images that they do not hold.
    #[serde(default)]
    pub allow_sparse_indexes: bool,
    /// How images in them are encrypted at rest.
    pub encryption_configuration: EncryptionConfiguration,
    /// Their resource tags, by key.
    #[serde(default)]
    pub resource_tags: Vec<ResourceTag>,
    /// Their policy, as the text of a JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_policy: Option<String>,
    /// Their lifecycle policy, as the text of a JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle_policy: Option<String>,
    /// When it was created.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
}

/// A new template.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateRepositoryCreationTemplate {
    /// How the names of the repositories begin, without a `/` at the end; or `ROOT`.
    pub prefix: RepositoryPrefix,
    /// On which occasions it is used.
    #[schemars(length(min = 1, max = 3))]
    pub applied_for: Vec<CreationTrigger>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Whether tags of new repositories may be moved; `MUTABLE` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag_mutability: Option<TagMutabilityMode>,
    /// Tags for which the opposite of the mode holds: 1 to 5 with a mode that ends in `_WITH_EXCLUSION`, else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5))]
    pub image_tag_mutability_exclusion_filters: Option<Vec<ImageTagMutabilityExclusionFilter>>,
    /// Whether an index in them may list images that they do not hold; not by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_sparse_indexes: Option<bool>,
    /// How images in them are encrypted at rest; `AES256` by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_configuration: Option<EncryptionConfiguration>,
    /// Their resource tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub resource_tags: Option<Vec<ResourceTag>>,
    /// Their policy, as the text of a JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_policy: Option<String>,
    /// Their lifecycle policy, as the text of a JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle_policy: Option<String>,
}

/// Settings of a template to change; an absent one stays as it is, an empty text takes one away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateRepositoryCreationTemplate {
    /// On which occasions it is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 3))]
    pub applied_for: Option<Vec<CreationTrigger>>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Whether tags of new repositories may be moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag_mutability: Option<TagMutabilityMode>,
    /// Tags for which the opposite of the mode holds; only together with `imageTagMutability`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 5))]
    pub image_tag_mutability_exclusion_filters: Option<Vec<ImageTagMutabilityExclusionFilter>>,
    /// Whether an index in them may list images that they do not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow_sparse_indexes: Option<bool>,
    /// How images in them are encrypted at rest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption_configuration: Option<EncryptionConfiguration>,
    /// Their resource tags, in place of all that the template has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 50))]
    pub resource_tags: Option<Vec<ResourceTag>>,
    /// Their policy, as the text of a JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_policy: Option<String>,
    /// Their lifecycle policy, as the text of a JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle_policy: Option<String>,
}

/// One page of templates, by prefix.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryCreationTemplatePage {
    /// The templates.
    pub repository_creation_templates: Vec<RepositoryCreationTemplate>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

impl CreateRepositoryCreationTemplate {
    /// A template with what is usual.
    #[must_use]
    pub fn new(prefix: RepositoryPrefix, applied_for: Vec<CreationTrigger>) -> Self {
        Self {
            prefix,
            applied_for,
            description: None,
            image_tag_mutability: None,
            image_tag_mutability_exclusion_filters: None,
            allow_sparse_indexes: None,
            encryption_configuration: None,
            resource_tags: None,
            repository_policy: None,
            lifecycle_policy: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_round_trips_in_ecr_spelling() {
        let text = concat!(
            r#"{"registryId":"000000000000","prefix":"prod","description":"d","appliedFor":["CREATE_ON_PUSH","REPLICATION"],"#,
            r#""imageTagMutability":"IMMUTABLE","allowSparseIndexes":false,"encryptionConfiguration":{"encryptionType":"AES256"},"#,
            r#""resourceTags":[{"Key":"team","Value":"a"}],"repositoryPolicy":"{}","createdAt":"2026-11-01T00:00:00Z","#,
            r#""updatedAt":"2026-11-01T00:00:00Z"}"#
        );
        let template: RepositoryCreationTemplate = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&template).unwrap(), text);
    }

    #[test]
    fn a_create_request_refuses_what_it_does_not_know() {
        for text in [
            r#"{"prefix":"prod"}"#,
            r#"{"prefix":"prod/","appliedFor":["REPLICATION"]}"#,
            r#"{"prefix":"prod","appliedFor":["PUSH"]}"#,
            r#"{"prefix":"prod","appliedFor":["REPLICATION"],"customRoleArn":"arn:aws:iam::000000000000:role/r"}"#,
        ] {
            assert!(
                serde_json::from_str::<CreateRepositoryCreationTemplate>(text).is_err(),
                "{text}"
            );
        }
        let new = CreateRepositoryCreationTemplate::new("prod".parse().unwrap(), vec![CreationTrigger::Replication]);
        let text = serde_json::to_string(&new).unwrap();
        assert_eq!(
            serde_json::from_str::<CreateRepositoryCreationTemplate>(&text).unwrap(),
            new
        );
    }
}
