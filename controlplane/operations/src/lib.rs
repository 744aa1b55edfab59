// SPDX-License-Identifier: Apache-2.0
//! What the control plane can do, one file per noun, free of any wire; and the gate that both planes ask.
//!
//! An operation is a method of [`ControlPlane`]. It takes a [`hythe_access::Granted`] of its own action and
//! typed input, works on the resource that the `Granted` names, and returns a typed result or its own error.
//!
//! Invariants:
//! - No operation without a `Granted`, but those about the caller itself: [`ControlPlane::caller_identity`],
//!   [`ControlPlane::revoke_token`] (own tokens), [`ControlPlane::open_web_identity_session`], where the token is the proof; and [`ControlPlane::repositories`] and
//!   [`ControlPlane::create_repository_for`], which ask the gate themselves.
//!   What the server does by itself, [`ControlPlane::create_mirrored_repository`], asks nobody.
//! - An operation does not reveal whether something exists before the gate has said yes.
//! - Secrets of access keys are stored sealed; tokens are not stored at all.
//!
//! Absent on purpose: HTTP, JSON, SQL.

mod access_key;
mod account;
mod audit;
mod authorization_token;
mod cache_rule;
mod caller_identity;
mod control_plane;
mod creation_template;
mod deleted_image;
mod garbage_collection;
mod gate;
mod group;
mod identity_provider;
mod image;
mod lifecycle;
mod mirror;
mod policy;
mod policy_document;
mod policy_simulation;
mod principal;
mod pull_time_exclusion;
mod pull_times;
mod referrers;
mod registry;
mod registry_policy;
mod registry_settings;
mod replication;
mod replication_backfill;
mod repository;
mod repository_policy;
mod resource_tags;
mod role;
mod role_session;
mod scrub;
mod signing_key;
mod statement;
mod storage_class;
mod tag;
mod tag_rollback;
mod user;
mod virtual_repository;
mod web_identity;

pub use access_key::{AccessKeyError, CreateAccessKeyError, CreatedAccessKey, MAX_ACCESS_KEYS};
pub use account::{
    AccountError, AdministratorKeyError, CreateAccountError, MAX_ACCOUNT_NAME_CHARS, UnknownAccount, UpdateAccountError,
};
pub use audit::{
    AuditEventsError, AuditExpectation, AuditMetrics, AuditQuery, AuditQueue, DEFAULT_MAX_WAITING_BYTES, WhenFull,
};
pub use authorization_token::{
    CreateTokenError, CreateUserTokenError, CreatedToken, MAX_TOKEN_SECONDS, MIN_TOKEN_SECONDS, RenewTokenError,
    RevokeTokenError, TokenRequest, parse_scope,
};
pub use cache_rule::{
    CacheRuleChange, CacheRuleError, CacheRuleSettingsError, MAX_TAG_FRESHNESS_SECONDS, NewCacheRule,
    PutCacheRuleError, UPSTREAM_REGISTRIES, USUAL_TAG_FRESHNESS_SECONDS, UnknownCacheRule, UpstreamCredential,
    UpstreamProbe, UpstreamReferrers, UpstreamRule,
};
pub use caller_identity::{CallerIdentity, CallerIdentityError};
pub use control_plane::{AddressStyle, ControlPlane, Page, RegistryAddress, Settings};
pub use creation_template::{
    CreateFromTemplateError, CreationTemplateChange, CreationTemplateError, MAX_TEMPLATE_DESCRIPTION_CHARS,
    PutCreationTemplateError, TemplateSettingsError, UnknownTemplate,
};
pub use deleted_image::{DeleteImagesError, DeletedImageError, DeletedImageKey, RestoreImageError};
pub use garbage_collection::{CollectionSettings, GarbageCollection, GarbageCollectionError};
pub use gate::{
    AbuseCounts, AccessGate, BootstrapError, CryptoError, LoginLimits, MAX_SESSION_ATTRIBUTE_BYTES,
    MAX_SESSION_POLICY_BYTES, MAX_SIGNING_KEYS, MasterKey, NewCredentials, NewRoleSession, OpenSessionError, RateClass,
    RateLimits, RotateSigningKeyError, bootstrap, create_administrator_key,
};
pub use group::{GroupUpdate, NewGroup};
pub use hythe_catalog::{
    CatalogError, DeleteImageError as DeleteImageRefusal, DeletedImage, ImageRecord, PutImageError as PutImageRefusal,
    Referrer,
};
pub use hythe_meta::{
    AccessKeyRecord, AccountRecord, AttachmentChange, AuditEventKey, AuditPage, AuditRecord, AuditSettings, AuditTail,
    AuditVerification, CacheRuleRecord, ChainPosition, CollectionRun, CollectionTotals, CreationTemplateRecord,
    DeletedImageRecord, DeletionReason, DestinationKind, DestinationRecord, GroupRecord, IdentityProviderRecord,
    ImageDeletions, ImageDetail, ImageFilter, ImageIdentifier, ImageNotDeleted, ImageReplicationStatus, LifecycleKept,
    LifecycleKind, LifecycleOutcome, LifecyclePolicyRecord, LifecyclePreviewImage, LifecycleResult, LifecycleRunImage,
    LifecycleRunRecord, LifecycleRunStatus, LifecycleTotals, LifecycleVerdict, MAX_IMAGES_PER_DELETION, NameOverlap,
    PolicyChange, PolicyDocument, PolicyRef, PullTimeExclusion, PutAuditSettingsError, RegistrySettings,
    ReplicationBacklog, ReplicationRules, ReplicationState, ReplicationSubject, ReplicationTask, RepositoryRecord,
    RepositoryReplicationStatus, RepositoryUsage, RestoreImageError as RestoreImageRefusal, RestoredImage, RoleRecord,
    RollbackTagError as RollbackTagRefusal, RollbackTo, RolledBackTag, RuleName, ScrubCounts, ScrubFinding, ScrubPhase,
    ScrubRecord, ScrubStatus, StoreError, TagDetail, TagMove, TagNotRestored, TagStatus, TaskFilter, Transition,
    UserKind, UserRecord, VirtualRepositoryRecord,
};
pub use hythe_meta::{BackfillImage, BackfillRecord, BackfillResult, BackfillStatus};
pub use hythe_meta::{MirrorRecord, MirrorRunNote, MirrorRunRecord};
pub use hythe_rules::lifecycle::{LifecyclePolicy, LifecyclePolicyError as InvalidLifecyclePolicy};
pub use hythe_rules::replication::{ReplicationRule, ReplicationRuleError};
pub use hythe_rules::{Effect, ManagedPolicy, Policy, PolicyGrammar, PolicyKind, UnknownAction};
pub use identity_provider::{
    CreateIdentityProviderError, IdentityProviderChange, IdentityProviderError, MAX_IDENTITY_PROVIDERS,
    ProviderSettingsError, UpdateIdentityProviderError,
};
pub use image::{DeleteImageError, ImageError, UnknownImage};
pub use lifecycle::{
    DEFAULT_LIFECYCLE_PERIOD, LifecycleCursor, LifecycleMetrics, LifecyclePolicyError, LifecyclePreview,
    LifecycleReasons, LifecycleRunError, LifecycleRunPages, LifecycleSettings, LifecycleWorker, NoLifecyclePolicy,
    PreviewError, PreviewFilter, PutLifecyclePolicyError, StartLifecyclePreviewError, StartLifecycleRunError,
    lifecycle_items,
};
pub use mirror::{MirrorRunError, MirrorRunReport};
pub use policy::{
    CreatePolicyError, DeletePolicyError, MAX_POLICY_CHARS, NewPolicy, PolicyDescription, PolicyError, PolicyKey,
    PolicyScope, UnknownPolicy, UpdatePolicyError,
};
pub use policy_document::DocumentError;
pub use policy_simulation::{
    AccessEntry, Evaluation, MAX_ACCESS_PRINCIPALS, Outcome, OwnedStatement, RepositoryAccess, RepositoryAccessError,
    SimulatedRequester, SimulatedResource, Simulation, SimulationError,
};
pub use principal::{
    Bounded, CreatePrincipalError, DeletePrincipalError, MAX_DESCRIPTION_CHARS, MembershipError, Noun, PrincipalError,
    ReplacedPrincipalTags, TagReplacement, UnknownPrincipal, UpdatePrincipalError,
};
pub use pull_time_exclusion::{DeregisterExclusionError, RegisterExclusionError};
pub use pull_times::{PullTimeCounts, PullTimes};
pub use registry::RegistryDescription;
pub use registry_policy::{NoRegistryPolicy, PutRegistryPolicyError, RegistryPolicyError, UnknownStatement};
pub use registry_settings::{MAX_DELETED_IMAGE_RETENTION_DAYS, PutRegistrySettingsError};
pub use replication::{
    DestinationChange, DestinationCredential, DestinationError, DestinationSettingsError, ReplicationRulesError,
    ReplicationStatusError, ReplicationTaskError, UnknownDestination,
};
pub use replication_backfill::{BackfillError, BackfillReport};
pub use repository::{
    CreateRepositoryError, DeleteRepositoryError, EncryptionError, ListRepositoriesError, NewRepositorySettings,
    RepositoryError, RepositoryUpdate, UnknownRepository, UpdateRepositoryError, check_encryption,
};
pub use repository_policy::{NoRepositoryPolicy, RepositoryPolicyError, SetRepositoryPolicyError};
pub use resource_tags::{ReplacedTags, ResourceTagsError};
pub use role::{NewRole, RoleSettings, RoleUpdate, SessionSeconds, TrustPolicy};
pub use role_session::{
    AssumeRoleError, DEFAULT_SESSION_SECONDS, MIN_SESSION_SECONDS, OpenedSession, RoleSessionRequest,
};
pub use scrub::{
    FindingKind, ScrubError, ScrubMetrics, ScrubReport, ScrubRequest, Verifier, VerifierSettings, VerifyError,
};
pub use signing_key::{SigningKeyDetail, SigningKeyError, SigningKeyStatus};
pub use statement::PolicyStatement;
pub use storage_class::StorageClassError;
pub use tag::{NoImageThen, SetTagError, TagError, UnknownTag};
pub use tag_rollback::RollbackTagError;
pub use user::{NewUser, UserSettings, UserUpdate};
pub use virtual_repository::{
    MAX_VIRTUAL_DESCRIPTION_CHARS, PutVirtualRepositoryError, UnknownVirtualRepository, VirtualNames,
    VirtualRepositoryChange, VirtualRepositoryError,
};
pub use web_identity::{
    FetchError, IssuerDocument, IssuerDocuments, KeySetError, MAX_ISSUER_DOCUMENT_BYTES, MAX_JWKS_BYTES,
    MAX_WEB_IDENTITY_TOKEN_BYTES, SigningAlgorithm, TokenError, WebIdentityError, WebIdentityRequest,
    WebIdentitySession,
};
