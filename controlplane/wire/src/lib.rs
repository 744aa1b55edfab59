// SPDX-License-Identifier: Apache-2.0
//! What travels between the control plane and its clients: requests, answers, problems and paths of `/api/v1`.
//!
//! One file per noun. Member names are ECR's. The server, the client, the command line and the provider share these
//! types, and the OpenAPI document is made from them: a doc comment here is a description there.
//!
//! Invariants:
//! - A request refuses members that it does not know; an answer passes over them, so that an older client
//!   understands a newer server. The small shapes that both share ([`ImageScanningConfiguration`],
//!   [`EncryptionConfiguration`], [`ImageTagMutabilityExclusionFilter`], [`ResourceTag`]) are ECR's, do not grow, and are strict.
//! - An absent optional member is left out, never `null`; in a change, `null` takes away what is set.
//! - A [`Secret`] shows itself only in JSON: neither `Debug` nor an error text has it.
//!
//! Absent on purpose: HTTP, and whatever decides something.

mod access_key;
mod account;
mod audit;
mod authorization_token;
mod cache_rule;
mod caller;
pub mod code;
mod creation_template;
mod deleted_image;
mod garbage_collection;
mod group;
mod identity_provider;
mod image;
mod lifecycle;
mod mirror;
pub mod path;
mod policy;
mod policy_simulation;
mod problem;
mod pull_time;
mod registry;
mod replication;
mod repository;
mod resource_tag;
mod role;
mod role_session;
mod scrub;
mod secret;
mod signing_key;
mod tag;
mod time;
mod user;
mod virtual_repository;

pub use access_key::{AccessKey, AccessKeyPage, AccessKeyStatus, CreateAccessKey, CreatedAccessKey, UpdateAccessKey};
pub use account::{Account, AccountPage, AccountStatus, CloseAccount, CreateAccount, ListAccounts, UpdateAccount};
pub use audit::{
    AuditDecision, AuditEvent, AuditEventPage, AuditFinding, AuditIntegrity, AuditPosition, AuditRegistry,
    AuditReplication, AuditResource, AuditSettings, AuditTagMove, AuditVerification, ListAuditEvents, UserIdentity,
    VerifyAudit,
};
pub use authorization_token::{
    AuthorizationToken, CreateAuthorizationToken, MAX_TOKEN_SECONDS, MIN_TOKEN_SECONDS, RenewAuthorizationToken,
    RenewedAuthorizationToken, RevokedAuthorizationToken, TOKEN_USER_NAME, TokenScopeEntry,
};
pub use cache_rule::{
    CreatePullThroughCacheRule, MirrorStatus, PullThroughCacheCredential, PullThroughCacheRule,
    PullThroughCacheRulePage, PullThroughCacheRuleValidation, PullThroughCacheUser, RefreshPullThroughCache,
    RefreshedPullThroughCache, UpdatePullThroughCacheRule,
};
pub use caller::CallerIdentity;
pub use creation_template::{
    CreateRepositoryCreationTemplate, RepositoryCreationTemplate, RepositoryCreationTemplatePage,
    UpdateRepositoryCreationTemplate,
};
pub use deleted_image::{
    DeleteImages, DeletionReason, ImageDeletions, ImageFailure, ImageFailureCode, ImageIdentifier, PutRegistrySettings,
    RegistrySettings, RestorableImage, RestorableImagePage, RestoreImage, RestoredImage, TagFailure,
};
pub use garbage_collection::{
    GarbageCollection, GarbageCollectionRun, GarbageCollectionRunStatus, GarbageCollectionTotals,
};
pub use group::{CreateGroup, Group, GroupPage, UpdateGroup};
pub use identity_provider::{
    CreateIdentityProvider, CreateWebIdentitySession, IdentityProvider, IdentityProviderPage, SigningAlgorithm,
    UpdateIdentityProvider,
};
pub use image::{
    DeletedImage, ImageDetail, ImagePage, ImageStatusFilter, ImageStorageClass, ListImages, ListReferrers, Referrer,
    ReferrerPage, TagStatus, UpdateImageStorageClass,
};
pub use lifecycle::{
    GetLifecyclePolicyPreview, LifecycleAction, LifecycleActionType, LifecyclePolicy, LifecyclePolicyPreview,
    LifecyclePreviewCompare, LifecyclePreviewComparison, LifecyclePreviewImage, LifecyclePreviewOutcome,
    LifecyclePreviewStatus, LifecyclePreviewSummary, LifecycleRuleTotal, LifecycleRun, LifecycleRunDetail,
    LifecycleRunImage, LifecycleRunPage, LifecycleRunResult, LifecycleRunStatus, LifecycleRunTrigger,
    LifecycleStorageClass, PutLifecyclePolicy, StartLifecyclePolicyPreview, TransitioningImageTotal,
};
pub use mirror::{MirrorRun, MirrorRunCounts, MirrorRunNote, MirrorRunPage, MirrorRunReport};
pub use policy::{
    CreatePolicy, ListPolicies, Policy, PolicyPage, PolicyScope, PolicyWarning, PutRegistryPolicy,
    PutRegistryPolicyStatement, RegistryPolicy, RegistryPolicyStatement, RegistryPolicyStatementList, RepositoryPolicy,
    SetRepositoryPolicy, UpdatePolicy,
};
pub use policy_simulation::{
    ListRepositoryAccess, MAX_SIMULATED_DECISIONS, MAX_SIMULATED_POLICIES, PolicyDecision, PolicyEvaluation,
    PolicySimulation, PolicyStatement, RepositoryAccess, RepositoryAccessEntry, SimulatePolicy, UnmetCondition,
};
pub use problem::{PROBLEM_MEDIA_TYPE, Problem};
pub use pull_time::{PullTimeUpdateExclusion, PullTimeUpdateExclusionPage, RegisterPullTimeUpdateExclusion};
pub use registry::{InRegistry, ListQuery, NoParameters, Registry};
pub use replication::{
    CreateReplicationDestination, Enabled, FailedReplicationTasks, ImageReplicationStatus, ImageReplicationStatuses,
    ListReplicationBackfillResults, ListReplicationTasks, NamedReplicationRule, NamedReplicationRulePage,
    PutReplicationConfiguration, PutReplicationRule, RegistryReplication, ReplicationBackfill, ReplicationBackfillPage,
    ReplicationBackfillProgress, ReplicationBackfillResult, ReplicationBackfillResultStatus,
    ReplicationBackfillResults, ReplicationBackfillStatus, ReplicationConfiguration, ReplicationCredential,
    ReplicationDestination, ReplicationDestinationKind, ReplicationDestinationPage, ReplicationProgress,
    ReplicationProgressList, ReplicationRule, ReplicationStatus, ReplicationTarget, ReplicationTask,
    ReplicationTaskCount, ReplicationTaskPage, ReplicationTaskSubject, RepositoryFilter, RepositoryFilterType,
    RepositoryReplicationStatus, RepositoryReplicationStatuses, StartReplicationBackfill, UpdateReplicationDestination,
};
pub use repository::{
    CreateRepository, DeleteRepository, EncryptionConfiguration, ExclusionFilterType, ImageScanningConfiguration,
    ImageTagMutabilityExclusionFilter, ListRepositories, Repository, RepositoryPage, RepositoryUsage, UpdateRepository,
};
pub use resource_tag::{PutResourceTags, ResourceTag, ResourceTagList};
pub use role::{CreateRole, MAX_MAX_SESSION_SECONDS, MIN_MAX_SESSION_SECONDS, Role, RolePage, UpdateRole};
pub use role_session::{AssumedRoleUser, CreateRoleSession, DEFAULT_SESSION_SECONDS, MIN_SESSION_SECONDS, RoleSession};
pub use scrub::{Scrub, ScrubCounts, ScrubFindingDetail, ScrubPage, ScrubReport, StartScrub};
pub use secret::Secret;
pub use signing_key::{SigningKey, SigningKeyList, SigningKeyStatus};
pub use tag::{DescribeTag, ImageTag, PutImageTag, RollBackTag, RolledBackTag, TagHistory, TagMove, TagPage};
pub use time::DateTime;
pub use user::{CreateUser, ManagedPolicy, UpdateUser, User, UserKind, UserPage};
pub use virtual_repository::{
    CreateVirtualRepository, UpdateVirtualRepository, VirtualRepository, VirtualRepositoryPage,
};

/// The header of a create that may be sent twice and takes effect once.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The longest idempotency key, in characters.
pub const MAX_IDEMPOTENCY_KEY_CHARS: usize = 128;

/// Entries in a page of a list that does not say how many it wants.
pub const DEFAULT_MAX_RESULTS: u32 = 100;

/// The most entries in one page of a list.
pub const MAX_MAX_RESULTS: u32 = 1000;

/// Reads a member of a change that is absent (stays as it is), `null` (is taken away) or a value.
#[allow(clippy::option_option, reason = "three states of a member: absent, null, a value")]
fn nullable<'de, T, D>(deserializer: D) -> Result<Option<Option<T>>, D::Error>
where
    T: serde::Deserialize<'de>,
    D: serde::Deserializer<'de>,
{
    serde::Deserialize::deserialize(deserializer).map(Some)
}
