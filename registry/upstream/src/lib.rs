// SPDX-License-Identifier: Apache-2.0
//! Other registries, from the side of a client: upstreams of a pull-through cache, and destinations of replication with the
//! control planes beside them.
//!
//! Whoever may make a rule names the host, and need not be who operates the server. Invariants:
//! - A connection goes only to an address that [`Reach`] allows. The address is checked where the connection is made,
//!   after the name was resolved, and again on every redirect; no proxy of the environment is used.
//! - Plain HTTP goes to networks that the operator allowed, and nowhere else.
//! - Credentials go to the host that they are for and to its token server, which is checked ([`Remote`]); never along with a
//!   redirect to another host, and never from `https` to `http`.
//! - Manifests have the digest that they are asked by, or that the answer says. Blobs are streams: whoever reads one
//!   compares its digest before anybody else sees it as whole.
//! - Everything that is awaited or kept has a bound: heads, idle times, rates, redirects, manifests, tokens.
//!
//! Absent on purpose: retries and back-off. Whoever asks knows whether the answer still matters.

mod blob;
mod challenge;
mod control;
mod error;
mod list;
mod manifest;
mod network;
mod outgoing;
mod pull_path;
mod push;
mod rate_limit;
mod reach;
mod referrers;
mod remote;
mod token;

pub use blob::RemoteBlob;
pub use control::{ControlAnswer, RemoteControl};
pub use error::UpstreamError;
pub use list::MAX_LISTED_TAGS;
pub use manifest::{RemoteHead, RemoteManifest};
pub use network::Network;
pub use outgoing::{Outgoing, certificates};
pub use pull_path::{MAX_PULL_STEPS, PULL_PATH_HEADER, PullPath, PullPathError, PullStep};
pub use push::{RemoteUpload, TakenManifest};
pub use rate_limit::RateLimit;
pub use reach::Reach;
pub use remote::{Access, Credential, Remote};
