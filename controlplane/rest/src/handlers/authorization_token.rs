// SPDX-License-Identifier: Apache-2.0
//! `/authorization-tokens`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use hythe_access::{ScopeEntry, UserName, kinds};
use hythe_model::AccountId;
use hythe_operations::{CreatedToken, TokenRequest, parse_scope};
use hythe_wire::{
    AuthorizationToken, CreateAuthorizationToken, InRegistry, RenewAuthorizationToken, RenewedAuthorizationToken,
    RevokedAuthorizationToken, Secret, TOKEN_USER_NAME, path,
};

use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn create(context: Context, Json(body): Json<CreateAuthorizationToken>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::GetAuthorizationToken>(context.account(registry_id))
        .await?;
    let request = token_request(body, granted.resource())?;
    let token = context.plane.create_token(&granted, request).await?;
    context.note_resource(format!("authorization-token/{}", token.id));
    let answer = shape(token, context.plane.settings().proxy_endpoint(granted.resource()));
    created(&path::authorization_token(&answer.token_id), &answer, None)
}

pub(crate) async fn renew(context: Context, Json(body): Json<RenewAuthorizationToken>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::GetAuthorizationToken>(context.account(registry_id))
        .await?;
    let id = token_id(&context)?;
    let expires_at = context.plane.renew_token(&granted, id, body.duration_seconds).await?;
    json(
        StatusCode::OK,
        &RenewedAuthorizationToken {
            token_id: id.to_owned(),
            expires_at,
        },
        None,
    )
}

pub(crate) async fn revoke(context: Context) -> Handled {
    let InRegistry { .. } = context.query()?;
    let id = token_id(&context)?;
    context.plane.revoke_token(&context.caller, id).await?;
    json(
        StatusCode::OK,
        &RevokedAuthorizationToken {
            token_id: id.to_owned(),
        },
        None,
    )
}

pub(crate) async fn create_for_user(context: Context, Json(body): Json<CreateAuthorizationToken>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::CreateUserToken>(context.account(registry_id))
        .await?;
    let user: UserName = context.path("userName")?;
    let request = token_request(body, granted.resource())?;
    let token = context.plane.create_user_token(&granted, &user, request).await?;
    note_token_of(&context, granted.resource(), &user, &token.id);
    let answer = shape(token, context.plane.settings().proxy_endpoint(granted.resource()));
    let location = path::user_authorization_token(user.as_str(), &answer.token_id);
    created(&location, &answer, None)
}

pub(crate) async fn renew_for_user(context: Context, Json(body): Json<RenewAuthorizationToken>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::CreateUserToken>(context.account(registry_id))
        .await?;
    let (user, id): (UserName, _) = (context.path("userName")?, token_id(&context)?);
    note_token_of(&context, granted.resource(), &user, id);
    let expires_at = context
        .plane
        .renew_user_token(&granted, &user, id, body.duration_seconds)
        .await?;
    let token_id = id.to_owned();
    json(
        StatusCode::OK,
        &RenewedAuthorizationToken { token_id, expires_at },
        None,
    )
}

pub(crate) async fn revoke_for_user(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::CreateUserToken>(context.account(registry_id))
        .await?;
    let (user, id): (UserName, _) = (context.path("userName")?, token_id(&context)?);
    note_token_of(&context, granted.resource(), &user, id);
    context.plane.revoke_user_token(&granted, &user, id).await?;
    let token_id = id.to_owned();
    json(StatusCode::OK, &RevokedAuthorizationToken { token_id }, None)
}

/// Whose token a request of somebody else is about; who that is, the record of the audit log says anyway.
fn note_token_of(context: &Context, account: &AccountId, user: &UserName, id: &str) {
    context.note_resource(format!("arn:aws:iam::{account}:user/{user}/authorization-token/{id}"));
}

/// What is asked for, of the registry of `account` where nothing else is said.
fn token_request(body: CreateAuthorizationToken, account: &AccountId) -> Result<TokenRequest, Problem> {
    let entries = body.scope.map(|entries| {
        entries
            .into_iter()
            .map(|entry| ScopeEntry {
                repositories: entry.repositories,
                actions: entry.actions,
                account: Some(entry.registry_id.unwrap_or_else(|| account.clone())),
            })
            .collect()
    });
    let scope = entries
        .map(|entries| {
            parse_scope(entries)
                .map_err(|(pointer, reason)| Problem::invalid_member(&format!("/scope{pointer}"), reason))
        })
        .transpose()?;
    Ok(TokenRequest {
        scope,
        duration_seconds: body.duration_seconds,
        is_renewable: body.renewable.unwrap_or_default(),
    })
}

/// A token, for the registry at `proxy_endpoint`.
pub(super) fn shape(token: CreatedToken, proxy_endpoint: String) -> AuthorizationToken {
    let password = token.token.expose();
    AuthorizationToken {
        authorization_token: Secret::new(STANDARD.encode(format!("{TOKEN_USER_NAME}:{password}"))),
        user_name: TOKEN_USER_NAME.into(),
        password: Secret::new(password),
        proxy_endpoint,
        issued_at: token.issued_at,
        expires_at: token.expires_at,
        token_id: token.id,
    }
}

fn token_id(context: &Context) -> Result<&str, Problem> {
    /// Far longer than any id, and short enough for a log.
    const MAX_ID_CHARS: usize = 128;
    let id = context.path_text("tokenId")?;
    if id.len() > MAX_ID_CHARS || !id.bytes().all(|byte| byte.is_ascii_graphic()) {
        let reason = format!("it must have at most {MAX_ID_CHARS} visible ASCII characters");
        return Err(Problem::invalid("tokenId", reason));
    }
    context.note_resource(format!("authorization-token/{id}"));
    Ok(id)
}
