// SPDX-License-Identifier: Apache-2.0
//! `/web-identity-sessions`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hythe_access::{Principal, RolePath, SessionName};
use hythe_operations::WebIdentityRequest;
use hythe_wire::{
    AssumedRoleUser, AuthorizationToken, CreateWebIdentitySession, RoleSession, Secret, TOKEN_USER_NAME, path,
};

use super::{Handled, created};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn create(context: Context, Json(body): Json<CreateWebIdentitySession>) -> Handled {
    let role: RolePath = body
        .role_arn
        .parse()
        .map_err(|error| Problem::invalid_member("/roleArn", error))?;
    let session: SessionName = body
        .role_session_name
        .parse()
        .map_err(|error| Problem::invalid_member("/roleSessionName", error))?;
    context.note_resource(role.to_string());
    let account = role.account.clone();
    let request = WebIdentityRequest {
        role,
        session,
        token: hythe_access::Secret::new(body.web_identity_token.expose()),
        duration_seconds: body.duration_seconds,
        policy: body.policy,
    };
    let opened = context
        .plane
        .open_web_identity_session(&context.caller, request)
        .await?;
    crate::audit::note(vec![
        ("identityProvider".into(), opened.provider_arn.into()),
        ("subject".into(), opened.subject.into()),
        ("audience".into(), opened.audience.into()),
    ]);
    let password = opened.token.token.expose();
    let answer = RoleSession {
        token: AuthorizationToken {
            authorization_token: Secret::new(STANDARD.encode(format!("{TOKEN_USER_NAME}:{password}"))),
            user_name: TOKEN_USER_NAME.into(),
            password: Secret::new(password),
            proxy_endpoint: context.plane.settings().proxy_endpoint(&account),
            issued_at: opened.token.issued_at,
            expires_at: opened.token.expires_at,
            token_id: opened.token.id,
        },
        assumed_role_user: AssumedRoleUser {
            arn: Principal::Role(opened.principal).to_string(),
        },
    };
    created(&path::authorization_token(&answer.token.token_id), &answer, None)
}
