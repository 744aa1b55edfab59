// SPDX-License-Identifier: Apache-2.0
//! What decides: pure evaluators, without clocks, randomness and I/O.
//!
//! [`decide`] is the one place on both planes that says whether a request is allowed, and [`explain`] says why. Policies
//! are parsed when they are stored ([`Policy`]), so that nothing which cannot be understood is ever evaluated.
//! [`lifecycle`] says which images of a repository go and which stay, [`replication`] where they go besides,
//! [`mirror`] which come from elsewhere.
//!
//! Invariants:
//! - [`decide`] is total: every request against every set of policies has an answer, without a panic.
//! - A matching `Deny` anywhere wins over everything else.
//! - What is not understood is refused when it is stored; it is never skipped when it is evaluated.
//! - What is missing never opens anything: a variable without a value covers nothing.
//! - A statement about another action, principal or resource costs no allocation.
//!
//! Absent on purpose: organisation policies, users' paths, and the condition keys of services that this is not.

mod actions;
mod arn;
mod condition;
mod context;
mod evaluate;
mod explain;
mod finding;
mod glob;
mod json;
mod key;
pub mod lifecycle;
mod managed;
pub mod mirror;
mod policy;
mod principal;
pub mod replication;
mod statement;
mod value;

pub use hythe_access::Principal;

pub use context::{ConditionContext, Request, Requester};
pub use evaluate::{Decision, Missing, NamedPolicy, Policies, PolicyKind, StatementRef, decide};
pub use explain::{Explanation, NearMiss, explain};
pub use finding::{PolicyFinding, UnknownAction};
pub use managed::ManagedPolicy;
pub use policy::{MAX_POLICY_BYTES, MAX_STATEMENTS, Policy, PolicyError, PolicyGrammar};
pub use principal::PrincipalPattern;
pub use statement::{Effect, Statement};
