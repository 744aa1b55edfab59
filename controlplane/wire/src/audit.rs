// SPDX-License-Identifier: Apache-2.0
//! The audit log.

use hythe_model::{AccountId, Digest, Region, RepositoryName, Tag};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::DateTime;

/// Which records are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListAuditEvents {
    /// The account whose records are wanted, of what was asked for of it and of what somebody of it asked for; the
    /// caller's own by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry_id: Option<AccountId>,
    /// The records of all accounts; for the administrator of the deployment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all_accounts: bool,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub start_time: Option<Timestamp>,
    /// Before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<DateTime>")]
    pub end_time: Option<Timestamp>,
    /// Who asked: an ARN (that of a role stands for all its sessions), `*` for nobody known, or the name of a user of the account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub principal: Option<String>,
    /// The name of the event, such as `BatchGetImage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub event_name: Option<String>,
    /// The repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<RepositoryName>,
    /// The digest of an image or a layer that was read, stored or deleted, or that a tag has left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// The code of the error, such as `DENIED` or `AccessDeniedException`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 128))]
    pub error_code: Option<String>,
    /// The id of the request, as its answer has it (`X-Request-Id`, or `requestId` of an error).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub request_id: Option<String>,
    /// Gives records in the order of the chain, after the one with this number; newest first without it. Records that
    /// have no number yet, which are those of the last second, are left out then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_sequence: Option<u64>,
    /// Entries wanted, 1 to 1000; 100 by default. A page may have fewer although there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_results: Option<u32>,
    /// The `nextToken` of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// The record of one request; the fields are `CloudTrail`'s, and `operation`, `httpStatus`, `decision`,
/// `replication`, `imageDigest`, `imageTag`, `tagMoves` and `integrity` beside them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// The form of the record.
    pub event_version: String,
    /// Who asked.
    pub user_identity: UserIdentity,
    /// The service, as ECR's clients know it.
    pub event_source: String,
    /// The name of the action, or of the event where they differ (`MountLayer`, `ListImageReferrers`).
    pub event_name: String,
    /// The region.
    pub aws_region: String,
    /// The address of the client.
    #[serde(rename = "sourceIPAddress")]
    pub source_ip_address: Option<String>,
    /// What the client calls itself.
    pub user_agent: Option<String>,
    /// The code of the error, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_code: Option<String>,
    /// Why: the reason of the decision if the request was refused permission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_message: Option<String>,
    /// What was asked for, without secrets and of bounded size.
    pub request_parameters: Value,
    /// What a change has made; null for reads.
    pub response_elements: Value,
    /// Whether the operation changes nothing.
    pub read_only: bool,
    /// What it was done to.
    pub resources: Vec<AuditResource>,
    /// `AwsApiCall`, or `AwsServiceEvent` for what the server did by itself.
    pub event_type: String,
    /// What there is to tell of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_event_details: Option<Value>,
    /// Always true; absent in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub management_event: Option<bool>,
    /// `Management`; absent in records of older versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_category: Option<String>,
    /// The account of what was asked for. That of who asked finds the record, too.
    pub recipient_account_id: Option<String>,
    /// The operation as this server calls it.
    pub operation: String,
    /// The HTTP status of the answer. The record of a change is written before there is one, and has it half a second later;
    /// never if the server ended in between.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http_status: Option<u16>,
    /// Whether it was allowed.
    pub decision: AuditDecision,
    /// Whence this was replicated here, if that is what the request was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replication: Option<AuditReplication>,
    /// The image or the layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_digest: Option<Digest>,
    /// The tag that was named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_tag: Option<Tag>,
    /// Which tags were moved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tag_moves: Vec<AuditTagMove>,
    /// When the request began.
    #[schemars(with = "DateTime")]
    pub event_time: Timestamp,
    /// The id of the request, as its answer has it.
    #[serde(rename = "requestID")]
    pub request_id: String,
    /// The id of the record.
    #[serde(rename = "eventID")]
    pub event_id: String,
    /// Its place in the chain; absent until it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub integrity: Option<AuditIntegrity>,
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UserIdentity {
    /// `Root`, `IAMUser`, `AssumedRole`, `Anonymous` (no credentials), `Unknown` (credentials that were refused), or `AWSService` (the server itself).
    #[serde(rename = "type")]
    pub kind: String,
    /// Of `AWSService`: which one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoked_by: Option<String>,
    /// What conditions of policies know as `aws:userid`: the account, the name of the user, or role and session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub principal_id: Option<String>,
    /// The ARN; `*` for anonymous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    /// The account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,
    /// The access key that everything started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The name of the user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_name: Option<String>,
    /// Of a session: the role, and what is known of who opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_context: Option<Value>,
}

/// What a request was about.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct AuditResource {
    /// The ARN.
    #[serde(rename = "ARN")]
    pub arn: String,
    /// The account that owns it.
    #[serde(rename = "accountId")]
    pub account_id: String,
    /// Such as `AWS::ECR::Repository`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// A decision and why.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditDecision {
    /// `Allow`, `Deny`, or `NotAsked` if it never came to a decision.
    pub effect: String,
    /// The action that was decided about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// The statement that allowed it; administrators need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whence something was replicated here, as the sender says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditReplication {
    /// The registry where it was pushed or changed.
    pub source: AuditRegistry,
    /// The registries that it came by, in order.
    #[serde(default)]
    pub via: Vec<AuditRegistry>,
}

/// A registry of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditRegistry {
    /// The deployment.
    pub region: Region,
    /// The account there.
    pub registry_id: AccountId,
}

/// A tag that was moved.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditTagMove {
    /// The tag.
    pub image_tag: Tag,
    /// What it pointed to; null if it was created.
    pub from_digest: Option<Digest>,
    /// What it points to since; null if it was deleted.
    pub to_digest: Option<Digest>,
}

/// The place of a record in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditIntegrity {
    /// Its number; there are no gaps, but records of other accounts may be in between.
    pub sequence: u64,
    /// The hash of the record before it.
    pub previous_hash: String,
    /// SHA-256 over the previous hash, the number, the hash of what the record shares with others, its time and its ids; how
    /// exactly is in the documentation of the audit log.
    pub hash: String,
}

/// Some records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEventPage {
    /// The records.
    pub audit_events: Vec<AuditEvent>,
    /// Where the next page starts; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// With `afterSequence`: the number after which the next records start, also if there are none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_sequence: Option<u64>,
    /// With `afterSequence`: whether there are more records already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_more: Option<bool>,
}

/// A place in the chain.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditPosition {
    /// The number of the record; 0 before the first.
    pub sequence: u64,
    /// Its hash.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub hash: String,
}

/// A check of the chain.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VerifyAudit {
    /// The `nextToken` of the part before; from the start without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    /// A record that was noted elsewhere and must be in the chain. Looked at with the first part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<AuditPosition>,
}

/// What a check of a part of the chain has found.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditVerification {
    /// Where the part began.
    pub from: AuditPosition,
    /// Up to here all is as it was written. Note it elsewhere, and give it as `expected` next time: then nobody can replace the whole log.
    pub through: AuditPosition,
    /// How many records this part has checked.
    pub records: u64,
    /// Whether the end of the chain was reached and nothing is wrong.
    pub is_complete: bool,
    /// The first thing that is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<AuditFinding>,
    /// Where the next part starts; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditFinding {
    /// The number of the first record that is changed, gone, added or in another place.
    pub sequence: u64,
    /// What is wrong, for people.
    pub reason: String,
}

/// Settings of the audit log, which is one for all accounts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AuditSettings {
    /// For how many days records are kept; 0 for ever. 90 unless it was changed.
    #[schemars(range(max = 36500))]
    pub retention_days: u32,
}
