// SPDX-License-Identifier: Apache-2.0
//! The metadata store: every line of SQL of the project, on SQLite and on PostgreSQL.
//!
//! [`Store`] implements the data plane's [`hythe_catalog::Catalog`] and, as methods, what the control plane
//! needs to remember. Each aggregate has one file, and each statement is a `const` above its only caller.
//!
//! Invariants:
//! - Both engines run the same text of every statement. What differs (how a connection is made, how
//!   transactions are run, the guard around migrations) is in `sqlite.rs`, `writer.rs` and `postgres.rs`.
//! - One method is one transaction: it happens as a whole or not at all, and is durable when it returns.
//! - PostgreSQL is asked at every read. On SQLite, where this process is the only writer, what the data plane reads is
//!   remembered (`cache.rs`): whoever changes or removes a tag, an image, a link or a repository must say so with
//!   `Session::touch` in the same transaction.
//! - Whatever a transaction within a request changes has a record in the audit log, written by the same transaction
//!   (`audit.rs`). What is no change of the request's own runs in [`hythe_access::Trail::aside`].
//! - Time comes in as an argument; ids are made here, never by the database.
//! - A row that cannot be read is [`StoreError::Corrupt`], never a panic.
//!
//! Absent on purpose: permissions, bytes of large blobs, HTTP, background work.

mod access_key;
mod account;
mod audit;
mod blob;
mod blob_tier;
mod cache;
mod cache_rule;
mod collection;
mod counts;
mod creation_template;
mod deleted_image;
mod embedded;
mod error;
mod group;
mod identity_provider;
mod image;
mod image_delete;
mod image_detail;
mod image_restore;
mod lifecycle;
mod migration;
mod mirror;
mod policy;
mod postgres;
mod principal;
mod pull_time;
mod registry_policy;
mod registry_setting;
mod replication;
mod repository;
mod repository_delete;
mod repository_policy;
mod review;
mod role;
mod schedule;
mod scrub;
mod session;
mod setting;
mod signing_key;
mod sqlite;
mod storage_class;
mod store;
mod subject_change;
mod tag;
mod tag_rollback;
mod text_enum;
mod token;
mod upload;
mod upstream;
mod upstream_referrers;
mod user;
mod virtual_repository;
mod writer;

/// Every statement that reads or removes a part of many rows, for the test that none of them looks at the others.
#[doc(hidden)]
pub const PAGED_STATEMENTS: &[(&str, &str)] = &[
    ("tags", tag::LIST),
    ("tag names", tag::LIST_NAMES),
    ("moves of a tag", tag::HISTORY),
    ("referrers", image::REFERRERS),
    ("images", image_detail::LIST),
    ("deleted images", deleted_image::LIST),
    ("deleted images to purge", deleted_image::PURGE_DUE),
    ("subjects to follow", subject_change::TAKE),
    ("policies", policy::LIST),
    ("repositories", repository::LIST),
    ("repository names", repository::LIST_NAMES),
    ("policies of neighbours", repository_policy::SELECT_NEIGHBOURS),
    ("sources of a blob", blob::SOURCES),
    ("expired uploads", upload::EXPIRE),
    ("due reviews", collection::DUE),
    ("accounts", account::LIST),
    ("users", user::LIST),
    ("groups", group::LIST),
    ("roles", role::LIST),
    ("lifecycle images", lifecycle::IMAGES),
    ("lifecycle runs", lifecycle::RUNS),
    ("lifecycle run pages", lifecycle::PAGES),
    ("due lifecycle policies", lifecycle::DUE),
    ("ready lifecycle runs", lifecycle::READY),
    ("old lifecycle runs", lifecycle::OLD),
    ("due replications of images", replication::DUE_IMAGES),
    ("due replications of settings", replication::DUE_SETTINGS),
    ("replications", replication::LIST),
    ("due backfills", replication::DUE_BACKFILL),
    ("backfills", replication::LIST_BACKFILLS),
    ("images of a backfill", replication::BACKFILL_IMAGES),
    ("old referrers of upstreams", upstream_referrers::EXPIRE),
];

/// The same for scrubs.
#[doc(hidden)]
pub const SCRUB_STATEMENTS: &[(&str, &str)] = scrub::STATEMENTS;

/// The same for the audit log.
#[doc(hidden)]
pub const AUDIT_STATEMENTS: &[(&str, &str)] = audit::LIST_STATEMENTS;

pub use access_key::{AccessKeyRecord, CreateAccessKeyError, RotateAccessKeyError};
pub use account::{AccountChange, AccountRecord, MAX_ACCOUNTS, UpdateAccountError};
pub use audit::{
    AuditEventKey, AuditFilter, AuditFinding, AuditMember, AuditPage, AuditRecord, AuditSettings, AuditTail,
    AuditVerification, Auditor, ChainPosition, MAX_RUN_MILLIS, MAX_RUN_RECORDS, MAX_UNSEALED_BATCH, NewAuditRecords,
    PutAuditSettingsError, Sealing, Sign,
};
pub use blob_tier::{BlobMove, BlobMoveLimit, MAX_BLOB_MOVE_WAIT, TierCounts};
pub use cache::{CacheStats, DEFAULT_CACHE_BYTES};
pub use cache_rule::{
    CacheRuleRecord, CacheRuleUpdate, ChangeCacheRuleError, CreateCacheRuleError, MAX_CACHE_RULES_PER_ACCOUNT,
    SealedCredential,
};
pub use collection::{
    BlobDeletion, CollectionBacklog, CollectionRules, CollectionRun, CollectionTotals, DueReview, MAX_COUNTED_REVIEWS,
    Reviewed,
};
pub use counts::ImageCounts;
pub use creation_template::{
    ChangeCreationTemplateError, CreateCreationTemplateError, CreationTemplateRecord, CreationTemplateSettings,
    MAX_CREATION_TEMPLATES_PER_ACCOUNT,
};
pub use deleted_image::DeletedImageRecord;
pub use error::{OpenError, SqlError, StoreError};
pub use group::{
    GroupChange, GroupRecord, MAX_GROUPS_PER_ACCOUNT, MAX_GROUPS_PER_USER, MAX_MEMBERS_PER_GROUP, MembershipError,
};
pub use identity_provider::{
    CreateIdentityProviderError, IdentityProviderRecord, IdentityProviderSettings, UpdateIdentityProviderError,
};
pub use image_delete::{
    Deletion, DeletionReason, ImageDeletions, ImageIdentifier, ImageNotDeleted, MAX_IMAGES_PER_DELETION,
};
pub use image_detail::{ImageDetail, ImageFilter, TagStatus};
pub use image_restore::{MAX_RESTORED_IMAGES, RestoreImageError, RestoredImage, TagNotRestored};
pub use lifecycle::{
    BatchOutcome, ClaimedRun, FinishedRun, LifecycleBatch, LifecycleItem, LifecycleKept, LifecycleKind,
    LifecycleOutcome, LifecyclePolicyRecord, LifecyclePreviewImage, LifecycleResult, LifecycleRow, LifecycleRunImage,
    LifecycleRunRecord, LifecycleRunStatus, LifecycleSnapshot, LifecycleTotals, LifecycleVerdict, RuleTotals,
    StartPreviewError, StartRunError, lifecycle_event_image,
};
pub use mirror::{
    ImportsAwaited, MAX_MIRROR_NOTES, MAX_MIRROR_PAUSE, MAX_MIRROR_RUNS, MirrorCounts, MirrorNote, MirrorNoteKind,
    MirrorProgress, MirrorRecord, MirrorRunCause, MirrorRunNote, MirrorRunRecord, MirrorRunStatus, MirroredManifest,
    StartMirrorRunError,
};
pub use policy::{
    CreatePolicyError, DeletePolicyError, MAX_POLICIES_PER_ACCOUNT, PolicyChange, PolicyRecord, UpdatePolicyError,
};
pub use principal::{
    AttachmentChange, CreatePrincipalError, DeletePrincipalError, MAX_POLICIES_PER_GROUP, MAX_POLICIES_PER_PRINCIPAL,
    PolicyRef, PrincipalPolicies, UpdatePrincipalError,
};
pub use pull_time::{AddExclusionError, MAX_PULL_TIME_EXCLUSIONS, MAX_PULLS_AT_ONCE, Pull, PullTimeExclusion};
pub use registry_policy::{EditPolicy, EditedPolicy, PolicyText};
pub use registry_setting::{DEFAULT_DELETED_IMAGE_RETENTION_DAYS, PutRegistrySettingsError, RegistrySettings};
pub use replication::{
    BackfillImage, BackfillPass, BackfillRecord, BackfillResult, BackfillStatus, ChangeDestinationError,
    ClaimedReplication, CreateDestinationError, DestinationKind, DestinationLoad, DestinationRecord,
    DestinationSettings, ImageReplicationStatus, MAX_REPLICATION_DESTINATION_OBJECTS, MAX_RUNNING_BACKFILLS,
    PutReplicationRulesError, ReplicationBacklog, ReplicationFailure, ReplicationOutcome, ReplicationRules,
    ReplicationSlots, ReplicationState, ReplicationSubject, ReplicationTask, RepositoryReplicationStatus, RuleName,
    StartBackfillError, TaskFilter,
};
pub use repository::{
    CreateRepositoryError, Idempotency, MAX_REPOSITORIES_PER_ACCOUNT, NewPolicies, NewRepository, RepositoryChange,
    RepositoryRecord, RepositoryUsage, TagChange, UpdateRepositoryError,
};
pub use repository_delete::DeleteRepositoryError;
pub use repository_policy::{ChangeRepositoryPolicyError, PolicyDocument};
pub use role::{MAX_ROLES_PER_ACCOUNT, RoleChange, RoleRecord};
pub use scrub::{
    BlobFacts, DigestFacts, ImageFacts, ImageKey, LinkFacts, MAX_KEPT_FINDINGS, MAX_SCRUBS, ManifestTable, NewFinding,
    ReferenceFacts, ReferenceKind, ReplicaFacts, ScrubCounts, ScrubFinding, ScrubPage, ScrubPhase, ScrubProgress,
    ScrubRecord, ScrubStatus, StartScrubError, TagFacts, TierFacts, UpstreamTagFacts,
};
pub use signing_key::SigningKeyRecord;
pub use storage_class::{Activated, ActivatingImage, Transition};
pub use store::{Store, StoreConfig};
pub use subject_change::FollowedSubjects;
pub use tag::{TagDetail, TagMove};
pub use tag_rollback::{Rollback, RollbackTagError, RollbackTo, RolledBackTag};
pub use token::{KeepTokenError, MAX_TOKENS_KEPT};
pub use upstream::{FetchClaim, UpstreamImport, UpstreamTagRecord};
pub use upstream_referrers::{MAX_UPSTREAM_SUBJECTS, UpstreamReferrersRecord};
pub use user::{MAX_USERS_PER_ACCOUNT, UserChange, UserKind, UserRecord};
pub use virtual_repository::{
    ChangeVirtualRepositoryError, CreateVirtualRepositoryError, MAX_VIRTUAL_REPOSITORIES_PER_ACCOUNT, NameOverlap,
    VirtualRepositoryRecord,
};
