// SPDX-License-Identifier: Apache-2.0
//! `/registry`.

use http::StatusCode;
use hythe_access::{RequestContext, kinds};
use hythe_model::AccountId;
use hythe_wire::{InRegistry, PutRegistrySettings, Registry, RegistrySettings};

use super::{Handled, json};
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DescribeRegistry>(context.account(registry_id))
        .await?;
    let registry = context.plane.registry(&granted);
    let registry = Registry {
        registry_id: registry.account,
        region: registry.region,
        registry_uri: registry.registry_uri,
        registry_arn: Some(registry.arn),
        endpoint: registry.endpoint,
        version: registry.version,
        capabilities: registry.capabilities,
    };
    json(StatusCode::OK, &registry, None)
}

pub(crate) async fn settings(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize_with::<kinds::GetAccountSetting>(context.account(registry_id), &naming_setting())
        .await?;
    shape(granted.resource(), context.plane.registry_settings(&granted).await?)
}

pub(crate) async fn put_settings(context: Context, Json(body): Json<PutRegistrySettings>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize_with::<kinds::PutAccountSetting>(context.account(registry_id), &naming_setting())
        .await?;
    let settings = context
        .plane
        .put_registry_settings(&granted, body.deleted_image_retention_days, context.if_match()?)
        .await?;
    shape(granted.resource(), settings)
}

/// The one setting there is, as conditions of policies call it.
fn naming_setting() -> RequestContext {
    RequestContext {
        account_setting: Some("DELETED_IMAGE_RETENTION_DAYS"),
        ..RequestContext::default()
    }
}

fn shape(account: &AccountId, settings: hythe_operations::RegistrySettings) -> Handled {
    let answer = RegistrySettings {
        registry_id: account.clone(),
        deleted_image_retention_days: settings.deleted_image_retention_days,
    };
    json(StatusCode::OK, &answer, Some(settings.version))
}
