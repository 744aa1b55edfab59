// SPDX-License-Identifier: Apache-2.0
//! A typed client of Hythe: of the control plane's REST API ([`Client`]), and of the registry as far as pushing and
//! pulling an image goes ([`registry`]). The command line and the Terraform provider stand on it.
//!
//! Invariants:
//! - Which server, and as whom, is decided in one place: [`Settings::resolve`].
//! - A request is sent again only if it certainly took no effect.
//! - Every answer, retry and pause has a bound; dropping a future cancels what it does.
//! - Secrets are in no `Debug` and no error text, and follow no redirect to another host.
//!
//! Absent on purpose: printing, and the wall clock.

mod calls;
mod client;
mod credentials;
mod endpoint;
mod environment;
mod error;
pub mod oidc;
mod profile;
pub mod registry;
mod retry;
mod settings;
mod transport;
mod web_identity;

pub use calls::AuditTail;
pub use client::{Client, ETag, IdempotencyKey, Versioned};
pub use credentials::Credentials;
pub use endpoint::{Endpoint, EndpointError};
pub use environment::Environment;
pub use error::ClientError;
pub use hythe_wire as wire;
pub use profile::{ConfigFile, Profile, write_private};
pub use retry::RetryPolicy;
pub use settings::{Arguments, DEFAULT_REQUEST_TIMEOUT, Settings, SettingsError, SettingsSource};
pub use transport::Transport;
pub use web_identity::{DEFAULT_SESSION_NAME, TokenSource, WebIdentity};
