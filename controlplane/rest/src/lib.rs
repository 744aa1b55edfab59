// SPDX-License-Identifier: Apache-2.0
//! The REST door to the control plane: `/api/v1`, and its OpenAPI document.
//!
//! One table ([`operations`]) says which operations there are: name, method, path, IAM actions, request, answer and
//! errors. Routing, metrics, audit, the OpenAPI document and the tests of authorization are made from it.
//!
//! Invariants:
//! - A handler calls an operation of `hythe-operations`, which takes a `Granted`; it decides nothing itself.
//! - Every failure goes through [`Problem`]: the one mapping from errors to status, code and text. Whatever the input,
//!   the answer is one that the operation's row declares, and never a panic.
//! - Whether something exists is told only to those who may know.
//! - Bodies, pages and waits have bounds: [`MAX_BODY_BYTES`], [`BODY_TIMEOUT`], [`MAX_CONCURRENT_REQUESTS`], `maxResults`.
//!
//! Absent on purpose: the listener, TLS, timeouts of connections, `/livez`, `/readyz` and `/metrics`; the server has them.

mod audit;
mod body;
mod context;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handlers;
mod metrics;
mod observe;
mod openapi;
mod operation;
mod page;
mod problem;
mod router;
mod table;

pub use body::{BODY_TIMEOUT, MAX_BODY_BYTES};
pub use context::Connection;
pub use metrics::Metrics;
pub use openapi::openapi;
pub use operation::{Access, Answer, OperationInfo, Preconditions};
pub use problem::Problem;
pub use router::{MAX_CONCURRENT_REQUESTS, router};
pub use table::operations;
