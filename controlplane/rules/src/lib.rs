// SPDX-License-Identifier: Apache-2.0
//! What decides: pure evaluators, without clocks, randomness and I/O.
//!
//! [`decide`] is the one place on both planes that says whether a request is allowed. Policies are parsed
//! when they are stored ([`Policy`]), so that nothing which cannot be understood is ever evaluated.
//!
//! Invariants:
//! - [`decide`] is total: every request against every set of policies has an answer, without a panic.
//! - A matching `Deny` anywhere wins over everything else.
//! - What is not understood is refused when it is stored; it is never skipped when it is evaluated.
//!
//! Absent on purpose, until the issue that brings them: `Condition`, policy variables (`${…}`),
//! `NotPrincipal`, and the principals `Service` and `Federated`. Documents with them are refused.

mod evaluate;
mod managed;
mod pattern;
mod policy;

pub use evaluate::{Decision, Missing, Policies, PolicyKind, Request, StatementRef, decide, is_allowed_by_managed};
pub use managed::ManagedPolicy;
pub use policy::{Effect, MAX_POLICY_BYTES, Policy, PolicyError, Statement};
