// SPDX-License-Identifier: Apache-2.0
//! The audit log: taking the records of requests in, and giving them out.

mod events;
mod queue;
mod verification;
pub(crate) mod waiting;

pub use events::{AuditEventsError, AuditQuery};
pub use queue::{AuditMetrics, AuditQueue, DEFAULT_MAX_WAITING_BYTES, WhenFull};
pub use verification::AuditExpectation;
