// SPDX-License-Identifier: Apache-2.0
//! The data plane's door: the OCI distribution API under `/v2/`, and the Docker token flow at `/token`.
//!
//! A request is parsed once (`route`, `account`, `input`), its sender is found out and asked for permission
//! (`auth`), one operation runs (`blob`, `upload`, `manifest`, `tags`, `referrers`, `catalog`), and the answer or
//! the error (`oci_error`, the only mapping to codes and status) is shaped.
//!
//! Invariants:
//! - Every operation takes a [`hythe_access::Granted`] of its own action and works on nothing but its resource,
//!   so that permission is asked for before existence is looked at.
//! - Bytes are durable before a row names them, and the row is durable before the client reads 201.
//! - Every future may be dropped at any `.await`: what is left is a session that expires, or bytes without a row.
//! - No request grows memory with its size: bodies stream, manifests and forms are read with a bound.
//! - Nothing waits without a bound: a body that stalls ends in 408, a full queue in 429 or 503 with `Retry-After`.
//!
//! Absent on purpose: storage (`hythe-blobs`, `hythe-catalog`), policies (behind [`hythe_access::Gate`]), TLS,
//! connections and their timeouts (the server's), and redirects to other hosts.

mod account;
mod audit;
mod auth;
mod blob;
mod body;
mod cache;
mod catalog;
mod creation;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod input;
mod limits;
mod manifest;
mod metrics;
mod oci_error;
mod paging;
mod range;
mod referrers;
mod registry;
mod response;
mod route;
mod router;
mod tags;
mod token;
mod turns;
mod upload;
mod virtual_repository;

pub use cache::{Import, PullThrough, Upstream, UpstreamReferrers, UpstreamTag};
pub use creation::{CreationError, RepositoryCreator};
pub use limits::Limits;
pub use metrics::Metrics;
pub use registry::{Registry, RegistryConfig};
pub use route::{Route, routes};
pub use router::{ConnectionInfo, answer, router};
pub use upload::{ExpireError, discard_stale_uploads, expire_uploads};
pub use virtual_repository::VirtualRepositories;
