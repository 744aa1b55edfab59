// SPDX-License-Identifier: Apache-2.0
//! `/authorization-tokens`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use hythe_access::{ScopeEntry, kinds};
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
    let entries = body.scope.map(|entries| {
        entries
            .into_iter()
            .map(|entry| ScopeEntry {
                repositories: entry.repositories,
                actions: entry.actions,
                account: Some(entry.registry_id.unwrap_or_else(|| granted.resource().clone())),
            })
            .collect()
    });
    let scope = entries
        .map(|entries| {
            parse_scope(entries)
                .map_err(|(pointer, reason)| Problem::invalid_member(&format!("/scope{pointer}"), reason))
        })
        .transpose()?;
    let request = TokenRequest {
        scope,
        duration_seconds: body.duration_seconds,
        is_renewable: body.renewable.unwrap_or_default(),
    };
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
