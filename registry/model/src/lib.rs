// SPDX-License-Identifier: Apache-2.0
//! The vocabulary of a registry: parsed values without I/O and without async.
//!
//! Everything that arrives as text from a client, a row or a file becomes one of these types at the
//! edge; nothing below an edge checks a string again.
//!
//! Invariants:
//! - A value of a type of this crate satisfies the grammar and the limits that its documentation names.
//! - Parsing never panics and allocates no more than its input.
//! - Manifest bytes are kept exactly as received; the parsed view stands beside them.
//!
//! Absent on purpose: clocks that read the time (only the [`Clock`] trait is here), storage, HTTP.

mod account;
mod address;
mod arn;
mod clock;
mod digest;
mod encryption;
mod error;
mod fail_point;
mod issuer;
mod manifest;
mod media_type;
mod mirror;
mod missing_sync;
mod mutability;
mod object;
mod prefix;
mod reference;
mod registry_url;
mod replication;
mod repository;
mod resource_tag;
mod schema1;
mod storage_class;
mod tag;
mod text;
mod upload;
mod virtual_repository;

pub use account::{AccountId, Region};
pub use address::host_network;
pub use arn::RepositoryArn;
pub use clock::{Clock, ManualClock, from_millis, in_millis, millis};
pub use digest::{Algorithm, Digest};
pub use encryption::{Encryption, EncryptionType};
pub use error::ParseError;
pub use fail_point::{arm_fail_point, fail_point, follow_fail_points};
pub use issuer::{IssuerUrl, ProviderName};
pub use manifest::{Descriptor, MAX_MANIFEST_BYTES, Manifest, ManifestError, ManifestKind};
pub use media_type::MediaType;
pub use mirror::{
    MAX_MIRROR_NEWEST_TAGS, MAX_MIRROR_REPOSITORIES, MAX_MIRROR_TAG_PATTERNS, MIRROR_INTERVAL_MINUTES, MirrorSettings,
    MirrorSettingsError, TagPattern, UPSTREAM_IMPORTER,
};
pub use missing_sync::Sync;
pub use mutability::{ExclusionFilter, MAX_EXCLUSION_FILTERS, TagMutability, TagMutabilityMode};
pub use prefix::{CreationTrigger, RepositoryPrefix};
pub use reference::Reference;
pub use registry_url::RegistryUrl;
pub use replication::{
    MAX_REPLICATION_HOPS, REFUSED_TAGS_HEADER, REPLICATION_HEADER, RegistryPlace, ReplicatedSetting, ReplicationPath,
};
pub use repository::{RepositoryName, RepositoryPath};
pub use resource_tag::{MAX_RESOURCE_TAGS, ResourceTagError, ResourceTags};
pub use storage_class::{ImageStatus, StorageClass};
pub use tag::Tag;
pub use upload::UploadId;
pub use virtual_repository::{
    MAX_NAME_PATTERNS, MAX_VIRTUAL_SOURCES, NamePattern, VirtualRepository, VirtualSource, VirtualSources,
};
