// SPDX-License-Identifier: Apache-2.0
//! `/caller-identity`.

use http::StatusCode;
use hythe_wire::{CallerIdentity, InRegistry};

use super::{Handled, json};
use crate::context::Context;

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { .. } = context.query()?;
    let identity = context.plane.caller_identity(&context.caller)?;
    let identity = CallerIdentity {
        registry_id: identity.account,
        arn: identity.arn,
        user_name: identity.user.map(|user| user.to_string()),
    };
    json(StatusCode::OK, &identity, None)
}
