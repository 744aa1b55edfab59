// SPDX-License-Identifier: Apache-2.0
//! `/registry`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_wire::{InRegistry, Registry};

use super::{Handled, json};
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
