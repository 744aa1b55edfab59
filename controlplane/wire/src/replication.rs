// SPDX-License-Identifier: Apache-2.0
//! Replication: destinations, rules, and how it goes.

use hythe_model::{AccountId, Digest, Region, ReplicatedSetting, RepositoryName};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{DateTime, Secret, nullable};

/// What a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReplicationDestinationKind {
    /// Another deployment of Hythe.
    Hythe,
    /// Any other registry.
    Oci,
}

/// Who logs in at a destination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicationCredential {
    /// The user; for Hythe the id of an access key.
    #[schemars(length(min = 1, max = 256))]
    pub username: String,
    /// The password; for Hythe the secret of the access key. It is kept encrypted and never given out.
    #[schemars(with = "String")]
    pub password: Secret,
}

/// Where images can be replicated to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationDestination {
    /// The account whose images go there.
    pub registry_id: AccountId,
    /// What rules call it, as their `region`; of another deployment of Hythe the name of its region.
    pub destination_name: Region,
    /// What it is.
    pub kind: ReplicationDestinationKind,
    /// Where its registry is.
    pub endpoint: String,
    /// Where its control plane is, for kind `HYTHE`: settings of repositories go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_endpoint: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who logs in there; the password is not given out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// What stands before the names of repositories there, for kind `OCI`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_prefix: Option<String>,
    /// How many bytes of layers each node sends there in a second, at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth_bytes_per_second: Option<u64>,
    /// How often in a row it could not be reached.
    pub consecutive_failures: u64,
    /// When it was created.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
    /// When it was last changed.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
}

/// A new destination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateReplicationDestination {
    /// What rules shall call it, as their `region`; of another deployment of Hythe the name of its region.
    pub destination_name: Region,
    /// What it is.
    pub kind: ReplicationDestinationKind,
    /// Where its registry is, such as `registry.example.com`; with `http://` only in networks that the operator allows.
    #[schemars(length(min = 1, max = 255))]
    pub endpoint: String,
    /// Where its control plane is, written likewise, for kind `HYTHE`; needed by rules with `replicatedSettings`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub control_endpoint: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Who logs in there; nobody if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<ReplicationCredential>,
    /// What shall stand before the names of repositories there, for kind `OCI`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_prefix: Option<String>,
    /// How many bytes of layers each node may send there in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1024))]
    pub bandwidth_bytes_per_second: Option<u64>,
}

/// What of a destination is to change; what is absent stays, `null` takes away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(clippy::option_option, reason = "three states of a member: absent, null, a value")]
pub struct UpdateReplicationDestination {
    /// Where its registry is. A stored password goes only to addresses (scheme, host and port) that it was given for: with
    /// another one, `credential` has to be given too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub endpoint: Option<String>,
    /// Where its control plane is; an empty text takes it away, if no rule needs it. Another address needs `credential`, as
    /// with `endpoint`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 255))]
    pub control_endpoint: Option<String>,
    /// What it is for; an empty text takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub description: Option<String>,
    /// Who logs in there; `null` for nobody.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ReplicationCredential>")]
    pub credential: Option<Option<ReplicationCredential>>,
    /// What stands before the names of repositories there; an empty text takes it away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository_prefix: Option<String>,
    /// How many bytes of layers each node may send there in a second; `null` for no bound.
    #[serde(default, deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<u64>")]
    pub bandwidth_bytes_per_second: Option<Option<u64>>,
}

/// One page of destinations, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationDestinationPage {
    /// The destinations.
    pub replication_destinations: Vec<ReplicationDestination>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A registry to replicate to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicationTarget {
    /// The name of a destination.
    pub region: Region,
    /// The account there; the source's own by default. Of no meaning for destinations of kind `OCI`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
}

/// How a filter is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RepositoryFilterType {
    /// Names that begin with it.
    #[default]
    PrefixMatch,
}

/// Which repositories a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RepositoryFilter {
    /// How their names begin.
    #[schemars(length(min = 2, max = 256))]
    pub filter: String,
    /// How the filter is read.
    #[serde(default)]
    pub filter_type: RepositoryFilterType,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Enabled {
    /// Whether it is.
    pub enabled: bool,
}

/// A rule of replication.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicationRule {
    /// Where images go.
    #[schemars(length(min = 1, max = 25))]
    pub destinations: Vec<ReplicationTarget>,
    /// Of which repositories: of those that one of these is for, or of all if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub repository_filters: Vec<RepositoryFilter>,
    /// Whether what is deleted here is deleted there; not by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_replication: Option<Enabled>,
    /// Whether images go on that were replicated here themselves; not by default. Never back to where they came by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_replication: Option<Enabled>,
    /// What of repositories goes there beside their images; nothing by default, as in ECR. Only to destinations of kind
    /// `HYTHE` with a `controlEndpoint`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub replicated_settings: Vec<ReplicatedSetting>,
}

/// The document with the rules of a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicationConfiguration {
    /// The rules; none takes the document away.
    #[schemars(length(max = 25))]
    pub rules: Vec<ReplicationRule>,
}

/// The document of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RegistryReplication {
    /// The account whose registry it is.
    pub registry_id: AccountId,
    /// The document.
    pub replication_configuration: ReplicationConfiguration,
}

/// Another document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutReplicationConfiguration {
    /// The document.
    pub replication_configuration: ReplicationConfiguration,
}

/// A rule that stands by itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedReplicationRule {
    /// The account whose registry it is.
    pub registry_id: AccountId,
    /// What it is called.
    pub rule_name: String,
    /// What it says.
    pub rule: ReplicationRule,
    /// When it was last put.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
}

/// A rule to stand by itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PutReplicationRule {
    /// What it shall say.
    pub rule: ReplicationRule,
}

/// One page of rules that stand by themselves, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedReplicationRulePage {
    /// The rules.
    pub replication_rules: Vec<NamedReplicationRule>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// How far an image has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReplicationStatus {
    /// It waits, or is being sent.
    InProgress,
    /// It is there.
    Complete,
    /// It was given up.
    Failed,
}

/// What became of an image at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageReplicationStatus {
    /// The name of the destination.
    pub region: Region,
    /// The account there.
    pub registry_id: AccountId,
    /// How far it has come.
    pub status: ReplicationStatus,
    /// Why not; beside `IN_PROGRESS`, why the last attempt failed; beside `COMPLETE`, what it went without, such as its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// How often it was tried, if the last attempt failed and it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u64>,
    /// When it is tried next, beside `attempts`; while it is being sent, when another node may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub next_attempt_at: Option<Timestamp>,
    /// Since when.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
}

/// What became of an image at each destination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImageReplicationStatuses {
    /// The account of the repository.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// The image.
    pub image_digest: Digest,
    /// What became of it.
    pub replication_statuses: Vec<ImageReplicationStatus>,
}

/// What became of the settings of a repository at one destination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryReplicationStatus {
    /// The name of the destination.
    pub region: Region,
    /// The account there.
    pub registry_id: AccountId,
    /// How far they have come.
    pub status: ReplicationStatus,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// Since when.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
}

/// What became of the settings of a repository at each destination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RepositoryReplicationStatuses {
    /// The account of the repository.
    pub registry_id: AccountId,
    /// The repository.
    pub repository_name: RepositoryName,
    /// What became of its settings; none where nothing was to be brought yet.
    pub replication_statuses: Vec<RepositoryReplicationStatus>,
}

/// What waits for one destination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationProgress {
    /// The name of the destination.
    pub region: Region,
    /// The account there.
    pub registry_id: AccountId,
    /// How many tags and images wait, or are being sent.
    pub waiting_count: u64,
    /// How many were given up.
    pub failed_count: u64,
    /// Since when the oldest waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub oldest_waiting_since: Option<Timestamp>,
}

/// What waits for each destination.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationProgressList {
    /// The destinations that rules name, and those that something still waits for, or was given up for.
    pub destinations: Vec<ReplicationProgress>,
}

/// What of a repository is to be brought to a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReplicationTaskSubject {
    /// A tag, or an image without one.
    Image,
    /// The settings of the repository.
    Settings,
}

/// A tag, an image, or the settings of a repository, that is to be brought to a destination.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationTask {
    /// Names the task.
    pub task_id: String,
    /// The repository.
    pub repository_name: RepositoryName,
    /// What of the repository.
    pub subject: ReplicationTaskSubject,
    /// The tag, or the digest of an image without one; absent of settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// The image that it was about last; absent of settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Digest>,
    /// The name of the destination.
    pub region: Region,
    /// The account there.
    pub registry_id: AccountId,
    /// Whether it is to be deleted there, since it was deleted here.
    pub is_deletion: bool,
    /// Whether it was given up.
    pub is_failed: bool,
    /// How often it was tried.
    pub attempts: u64,
    /// Why it could not be done last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// When it is tried next.
    #[schemars(with = "DateTime")]
    pub next_attempt_at: Timestamp,
    /// Since when it waits.
    #[schemars(with = "DateTime")]
    pub created_at: Timestamp,
}

/// Which tasks a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListReplicationTasks {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// Only those for this destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Only those that were given up, or only those that were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_failed: Option<bool>,
    /// Entries wanted, 1 to 1000; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_results: Option<u32>,
    /// The `nextToken` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// One page of tasks, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationTaskPage {
    /// The tasks.
    pub replication_tasks: Vec<ReplicationTask>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Tasks that were given up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FailedReplicationTasks {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// Only those for this destination.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<Region>,
    /// Only this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<String>,
}

/// How many tasks something was done to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationTaskCount {
    /// How many.
    pub count: u64,
}

/// Brings what was there before the rules to one destination, too.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StartReplicationBackfill {
    /// Where to: a destination that rules name.
    pub destination: ReplicationTarget,
}

/// How a backfill does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReplicationBackfillStatus {
    /// Nothing has been queued yet.
    Preparing,
    /// It goes on.
    InProgress,
    /// All was tried.
    Complete,
    /// It was given up.
    Failed,
    /// What is under way is waited for.
    Stopping,
    /// Somebody stopped it.
    Stopped,
}

impl ReplicationBackfillStatus {
    /// Whether it goes no further.
    #[must_use]
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Stopped)
    }
}

/// How far a backfill is. Tags count one by one, and images without a tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationBackfillProgress {
    /// How many were found; more may follow until `isTotalFinal`.
    pub total_replication_count: u64,
    /// How many are there.
    pub completed_replication_count: u64,
    /// How many were given up.
    pub failed_replication_count: u64,
    /// How many were not sent: gone here, moved on, or stopped.
    pub skipped_replication_count: u64,
    /// Whether all repositories have been looked at.
    pub is_total_final: bool,
}

/// A backfill.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationBackfill {
    /// The account whose images it is about.
    pub registry_id: AccountId,
    /// Names it.
    pub replication_backfill_id: String,
    /// Where to.
    pub destination: ReplicationTarget,
    /// How it does.
    pub status: ReplicationBackfillStatus,
    /// How far it is.
    pub progress: ReplicationBackfillProgress,
    /// Why it was given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
    /// The ARN of whoever started it.
    pub started_by: String,
    /// When it was started.
    #[schemars(with = "DateTime")]
    pub started_at: Timestamp,
    /// When it last came further.
    #[schemars(with = "DateTime")]
    pub updated_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub ended_at: Option<Timestamp>,
}

/// One page of backfills, newest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationBackfillPage {
    /// The backfills.
    pub backfills: Vec<ReplicationBackfill>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// What became of a tag or an image of a backfill.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReplicationBackfillResultStatus {
    /// It waits, or is being sent.
    InProgress,
    /// It is there.
    Complete,
    /// It was given up.
    Failed,
    /// It was not sent.
    Skipped,
}

/// A tag or an image of a backfill.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationBackfillResult {
    /// The repository.
    pub repository_name: RepositoryName,
    /// The tag, or the digest of an image without one.
    pub reference: String,
    /// The image.
    pub image_digest: Digest,
    /// What became of it.
    pub status: ReplicationBackfillResultStatus,
    /// Why not; beside `COMPLETE`, what it went without, such as its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_code: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_reason: Option<String>,
}

/// Which results a list shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListReplicationBackfillResults {
    /// The account whose registry is meant; the caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// Only those of which this became.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result_status: Option<ReplicationBackfillResultStatus>,
    /// Entries wanted, 1 to 1000; 100 by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_results: Option<u32>,
    /// The `nextToken` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// A backfill, and what became of some of its images.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReplicationBackfillResults {
    /// The backfill.
    pub backfill: ReplicationBackfill,
    /// Its images, by repository and tag.
    pub results: Vec<ReplicationBackfillResult>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_ecrs() {
        let text = concat!(
            r#"{"rules":[{"destinations":[{"region":"eu-west-1","registryId":"111111111111"}],"#,
            r#""repositoryFilters":[{"filter":"prod","filterType":"PREFIX_MATCH"}],"deleteReplication":{"enabled":true}}]}"#
        );
        let document: ReplicationConfiguration = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&document).unwrap(), text);
    }

    #[test]
    fn a_change_knows_absent_from_null() {
        let read = |text| serde_json::from_str::<UpdateReplicationDestination>(text).unwrap();
        assert_eq!(read("{}").credential, None);
        assert_eq!(read(r#"{"credential":null}"#).credential, Some(None));
        assert!(
            read(r#"{"credential":{"username":"u","password":"p"}}"#)
                .credential
                .flatten()
                .is_some()
        );
        assert!(serde_json::from_str::<UpdateReplicationDestination>(r#"{"kind":"OCI"}"#).is_err());
    }
}
