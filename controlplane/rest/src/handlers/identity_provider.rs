// SPDX-License-Identifier: Apache-2.0
//! `/identity-providers`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::{IssuerUrl, ProviderName};
use hythe_operations::{IdentityProviderChange, IdentityProviderRecord, SigningAlgorithm};
use hythe_wire::{
    CreateIdentityProvider, IdentityProvider, IdentityProviderPage, InRegistry, ListQuery, UpdateIdentityProvider, path,
};

use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context
        .authorize::<kinds::ListOpenIDConnectProviders>(account.clone())
        .await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context
        .plane
        .identity_providers(&granted, page.after()?, page.limit)
        .await?;
    let answer = IdentityProviderPage {
        identity_providers: found.items.into_iter().map(shape).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn create(context: Context, Json(body): Json<CreateIdentityProvider>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let url: IssuerUrl = body
        .url
        .parse()
        .map_err(|error| Problem::invalid_member("/url", error))?;
    context.concerns(arn(&account, &url.name()));
    let granted = context
        .authorize::<kinds::CreateOpenIDConnectProvider>(account.clone())
        .await?;
    let change = IdentityProviderChange {
        client_ids: Some(body.client_id_list),
        algorithms: body.signing_algorithms.as_deref().map(algorithms),
        ca_bundle: body.ca_bundle,
        jwks: body.jwks,
        description: body.description,
    };
    let provider = context.plane.create_identity_provider(&granted, url, change).await?;
    let version = provider.version;
    let answer = shape(provider);
    created(&path::identity_provider(&answer.provider_name), &answer, Some(version))
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::ListOpenIDConnectProviders>(context.account(registry_id))
        .await?;
    let name = name(&context, granted.resource())?;
    let provider = context.plane.identity_provider(&granted, &name).await?;
    let version = provider.version;
    json(StatusCode::OK, &shape(provider), Some(version))
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateIdentityProvider>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::UpdateOpenIDConnectProvider>(context.account(registry_id))
        .await?;
    let name = name(&context, granted.resource())?;
    let change = IdentityProviderChange {
        client_ids: body.client_id_list,
        algorithms: body.signing_algorithms.as_deref().map(algorithms),
        ca_bundle: body.ca_bundle,
        jwks: body.jwks,
        description: body.description,
    };
    let provider = context
        .plane
        .update_identity_provider(&granted, &name, change, context.if_match()?)
        .await?;
    let version = provider.version;
    json(StatusCode::OK, &shape(provider), Some(version))
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeleteOpenIDConnectProvider>(context.account(registry_id))
        .await?;
    let name = name(&context, granted.resource())?;
    let provider = context.plane.delete_identity_provider(&granted, &name).await?;
    json(StatusCode::OK, &shape(provider), None)
}

/// The provider in the path, which the audit log names from here on.
fn name(context: &Context, account: &hythe_model::AccountId) -> Result<ProviderName, Problem> {
    let name = context.path("providerName")?;
    context.note_resource(arn(account, &name));
    Ok(name)
}

fn arn(account: &hythe_model::AccountId, name: &ProviderName) -> String {
    format!("arn:aws:iam::{account}:oidc-provider/{name}")
}

fn algorithms(names: &[hythe_wire::SigningAlgorithm]) -> Vec<SigningAlgorithm> {
    use hythe_wire::SigningAlgorithm as Wire;
    let algorithm = |name: &Wire| match name {
        Wire::RS256 => SigningAlgorithm::RS256,
        Wire::RS384 => SigningAlgorithm::RS384,
        Wire::RS512 => SigningAlgorithm::RS512,
        Wire::PS256 => SigningAlgorithm::PS256,
        Wire::PS384 => SigningAlgorithm::PS384,
        Wire::PS512 => SigningAlgorithm::PS512,
        Wire::ES256 => SigningAlgorithm::ES256,
        Wire::ES384 => SigningAlgorithm::ES384,
        Wire::EdDSA => SigningAlgorithm::EdDSA,
    };
    names.iter().map(algorithm).collect()
}

fn shape(provider: IdentityProviderRecord) -> IdentityProvider {
    let arn = provider.arn();
    let settings = provider.settings;
    // A name that this version does not know was written by a later one, and is of no use here.
    let known = hythe_wire::SigningAlgorithm::ALL.into_iter();
    let signing_algorithms = known
        .filter(|known| settings.algorithms.iter().any(|name| name == known.as_str()))
        .collect();
    IdentityProvider {
        provider_name: provider.url.name().to_string(),
        arn,
        url: provider.url.to_string(),
        client_id_list: settings.client_ids,
        signing_algorithms,
        ca_bundle: settings.ca_bundle,
        jwks: settings.jwks,
        description: settings.description,
        created_at: provider.created_at,
        updated_at: provider.updated_at,
    }
}
