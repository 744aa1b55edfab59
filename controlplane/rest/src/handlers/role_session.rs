// SPDX-License-Identifier: Apache-2.0
//! `/roles/{roleName}/sessions`.

use hythe_access::{RequestContext, RolePath, SessionName, kinds};
use hythe_operations::{OpenedSession, RoleSessionRequest};
use hythe_wire::{AssumedRoleUser, CreateRoleSession, InRegistry, RoleSession, path};

use super::authorization_token::shape;
use super::{Handled, created};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn create(context: Context, Json(body): Json<CreateRoleSession>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let role = RolePath {
        account: context.account(registry_id),
        name: context.path("roleName")?,
    };
    let session: SessionName = body
        .role_session_name
        .parse()
        .map_err(|error| Problem::invalid_member("/roleSessionName", error))?;
    let named = RequestContext {
        role_session_name: Some(session.clone()),
        ..RequestContext::default()
    };
    let granted = context
        .authorize_with::<kinds::AssumeRole>(role.clone(), &named)
        .await?;
    let request = RoleSessionRequest {
        session,
        duration_seconds: body.duration_seconds,
        policy: body.policy,
    };
    let opened = context.plane.assume_role(&granted, request).await?;
    let answer = answer(&context, &role, opened);
    created(&path::authorization_token(&answer.token.token_id), &answer, None)
}

/// What somebody gets who has taken on a role.
pub(super) fn answer(context: &Context, role: &RolePath, opened: OpenedSession) -> RoleSession {
    RoleSession {
        token: shape(opened.token, context.plane.settings().proxy_endpoint(&role.account)),
        assumed_role_user: AssumedRoleUser {
            arn: opened.principal.to_string(),
        },
    }
}
