// SPDX-License-Identifier: Apache-2.0
//! Rules that say which repositories come from another registry.

use hythe_model::{AccountId, MirrorSettings, RegistryUrl, RepositoryName, RepositoryPrefix, Tag};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, Secret};

/// A rule: repositories whose names begin with a prefix come from another registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullThroughCacheRule {
    /// The account whose repositories it is for.
    pub registry_id: AccountId,
    /// How the names of those repositories begin: `hub` is for `hub/library/alpine`. `ROOT` is for all that no other rule
    /// is for.
    pub ecr_repository_prefix: RepositoryPrefix,
    /// The host of the other registry, with its port if it has one, and with `http://` if it is without TLS.
    pub upstream_registry_url: RegistryUrl,
    /// What kind of registry that is, in ECR's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_registry: Option<String>,
    /// What takes the place of the prefix in names there; `ROOT` for nothing.
    pub upstream_repository_prefix: RepositoryPrefix,
    /// Who asks there; the token is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<PullThroughCacheUser>,
    /// For how many seconds an answer about a tag counts before the other registry is asked again.
    pub tag_freshness_seconds: u64,
    /// What comes without a pull, and how often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorSettings>,
    /// How the mirror does, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror_status: Option<MirrorStatus>,
    /// When it was created.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
}

/// How a mirror does.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MirrorStatus {
    /// When the next run is due.
    #[schemars(with = "DateTime")]
    pub next_run_at: Timestamp,
    /// When the last run ended that brought everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub succeeded_at: Option<Timestamp>,
}

/// Who asks another registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullThroughCacheUser {
    /// The user.
    pub username: String,
}

/// Who asks another registry, with the token.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PullThroughCacheCredential {
    /// The user.
    #[schemars(length(min = 1, max = 8192))]
    pub username: String,
    /// The token or password; it is sealed when it is stored, and never told.
    pub access_token: Secret,
}

/// A new rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreatePullThroughCacheRule {
    /// How the names of the repositories begin, without a `/` at the end; or `ROOT`.
    pub ecr_repository_prefix: RepositoryPrefix,
    /// The host of the other registry: any registry, with its port if it has one. `http://` only in networks that the
    /// operator allows.
    pub upstream_registry_url: RegistryUrl,
    /// What kind of registry that is, in ECR's words; it changes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_registry: Option<String>,
    /// What takes the place of the prefix in names there; `ROOT`, for nothing, by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream_repository_prefix: Option<RepositoryPrefix>,
    /// Who asks there; without, anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<PullThroughCacheCredential>,
    /// For how many seconds an answer about a tag counts; a day by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 31_536_000))]
    pub tag_freshness_seconds: Option<u64>,
    /// What comes without a pull, and how often; nothing by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorSettings>,
}

/// Changes of a rule; what is absent stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdatePullThroughCacheRule {
    /// Who asks the other registry from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<PullThroughCacheCredential>,
    /// Whether to ask without a credential from now on; not together with one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove_credential: bool,
    /// For how many seconds an answer about a tag counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 31_536_000))]
    pub tag_freshness_seconds: Option<u64>,
    /// What comes without a pull from now on, in place of what there is. A run that goes on is cancelled, and another one starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorSettings>,
    /// Whether nothing comes without a pull any more; not together with `mirror`. What came stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub remove_mirror: bool,
}

/// A page of rules.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullThroughCacheRulePage {
    /// The rules, by prefix.
    pub pull_through_cache_rules: Vec<PullThroughCacheRule>,
    /// Where the next page starts, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Whether the other registry of a rule can be used.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PullThroughCacheRuleValidation {
    /// The account of the rule.
    pub registry_id: AccountId,
    /// Its prefix.
    pub ecr_repository_prefix: RepositoryPrefix,
    /// The host of the other registry.
    pub upstream_registry_url: RegistryUrl,
    /// What takes the place of the prefix there.
    pub upstream_repository_prefix: RepositoryPrefix,
    /// Whether the other registry answered, and took the credential if there is one.
    pub is_valid: bool,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

/// Asks the other registry about tags at their next pull, however fresh the last answer is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshPullThroughCache {
    /// The tag; all tags without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag: Option<Tag>,
}

/// What will be asked about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RefreshedPullThroughCache {
    /// The account.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// How many tags will be asked about.
    pub refreshed_tags: u64,
}
