// SPDX-License-Identifier: Apache-2.0
//! Who asks, what for, and the proof that it was allowed.
//!
//! The data plane states here what it needs of access control (the [`Gate`] trait); the control plane
//! implements it. Every operation of either plane takes a [`Granted`] of its own action, and only
//! [`authorize`] and its variants make one, so that a forgotten check does not compile.
//!
//! Invariants:
//! - A [`Granted`] names one action and one resource, and was made by a gate that said yes to both.
//! - An operation reads the resource it works on from its `Granted`, so it cannot work on another.
//! - Secrets of this crate ([`Secret`]) have no `Display`, and their `Debug` shows nothing.

mod action;
mod caller;
mod gate;
mod granted;
mod names;
mod parse;
mod pull;
mod scope;
mod secret;
mod throttled;
mod trail;

pub use action::{Action, ActionKind, ReplicaStep, kinds};
pub use caller::{Attributes, Caller, Lineage, Principal, RolePath, RoleSession};
pub use gate::{
    AuthenticationError, Credentials, Decision, Denial, Gate, GateError, Grounds, IssueError, IssuedToken,
    RequestContext, Resource,
};
pub use granted::{
    AccessError, Granted, authorize, authorize_each, authorize_origin, authorize_replica, authorize_shared,
    authorize_with,
};
pub use names::{GroupName, PolicyName, RoleName, SessionName, UserName};
pub use pull::{PrincipalArn, PullLog};
pub use scope::{ScopeEntry, TokenScope};
pub use secret::Secret;
pub use throttled::Throttled;
pub use trail::{Answer, Answered, Asked, AuditLog, CLIENT_GONE, Facts, MovedTag, RequestId, Trail, Who};
