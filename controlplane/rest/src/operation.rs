// SPDX-License-Identifier: Apache-2.0
//! What a row of the table of operations says.

use axum::routing::MethodRouter;
use http::{Method, StatusCode};
use hythe_access::Action;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::router::Shared;

/// Makes the schema of a type.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// The schema of `T`.
pub(crate) fn schema<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// One operation of the API.
#[derive(Debug)]
pub struct OperationInfo {
    /// Its name, unique: `operationId` in the OpenAPI document, `operation` in logs and metrics.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub summary: &'static str,
    /// The method.
    pub method: Method,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// What the caller has to be or to be permitted.
    pub access: Access,
    /// Whether it changes something, and so goes into the audit log.
    pub is_change: bool,
    /// Which headers of a conditional or repeated request it honours.
    pub preconditions: Preconditions,
    /// What a good answer looks like.
    pub answer: Answer,
    /// The codes of the errors that are its own; [`OperationInfo::COMMON_ERRORS`] come on top.
    pub errors: &'static [&'static str],
    pub(crate) query: SchemaOf,
    pub(crate) body: Option<SchemaOf>,
    pub(crate) route: fn() -> MethodRouter<Shared>,
}

/// What a caller has to be or to be permitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Open,
    /// No credentials; what the body holds proves who may.
    Proof,
    /// Whoever it is: the operation tells callers only about themselves and their own tokens.
    Authenticated,
    /// Whoever it is; the answer holds only what this action is allowed on.
    Filtered(Action),
    /// All actions that the request asks for out of these; at least one.
    Actions(&'static [Action]),
}

impl Access {
    /// The action that stands for a request where requests are counted.
    pub(crate) fn first_action(self) -> Action {
        match self {
            Self::Filtered(action) => action,
            Self::Actions(actions) => actions.first().copied().unwrap_or(Action::DescribeRegistry),
            Self::Proof => Action::AssumeRoleWithWebIdentity,
            Self::Open | Self::Authenticated => Action::DescribeRegistry,
        }
    }
}

/// Which headers of a conditional or repeated request an operation honours. It refuses the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preconditions {
    /// Neither.
    None,
    /// `If-Match`.
    IfMatch,
    /// `Idempotency-Key`.
    IdempotencyKey,
}

/// What a good answer looks like.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    pub(crate) form: Form,
}

/// The form of a good answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form {
    /// JSON.
    Json(SchemaOf),
    /// Bytes with a media type of their own.
    Bytes,
}

impl OperationInfo {
    /// The codes that every operation may answer with.
    pub const COMMON_ERRORS: &[&str] = &[
        hythe_wire::code::INVALID_PARAMETER,
        hythe_wire::code::INTERNAL,
        hythe_wire::code::SERVICE_UNAVAILABLE,
        hythe_wire::code::THROTTLING,
    ];

    /// All codes that the operation may answer with, sorted.
    #[must_use]
    pub fn all_errors(&self) -> Vec<&'static str> {
        use hythe_wire::code;
        let mut codes = [Self::COMMON_ERRORS, self.errors].concat();
        if !matches!(self.access, Access::Open | Access::Proof) {
            codes.extend([
                code::MISSING_AUTHENTICATION,
                code::UNRECOGNIZED_CLIENT,
                code::EXPIRED_TOKEN,
            ]);
        }
        if !matches!(self.access, Access::Open | Access::Filtered(_)) {
            codes.push(code::ACCESS_DENIED);
        }
        if self.body.is_some() {
            codes.extend([
                code::VALIDATION,
                code::REQUEST_TOO_LARGE,
                code::REQUEST_TIMEOUT,
                code::UNSUPPORTED_MEDIA_TYPE,
            ]);
        }
        match self.preconditions {
            Preconditions::None => {}
            Preconditions::IfMatch => codes.push(code::PRECONDITION_FAILED),
            Preconditions::IdempotencyKey => codes.push(code::IDEMPOTENCY_MISMATCH),
        }
        codes.sort_unstable();
        codes.dedup();
        codes
    }
}
