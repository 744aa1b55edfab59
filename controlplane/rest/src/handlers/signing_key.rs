// SPDX-License-Identifier: Apache-2.0
//! `/token-signing-keys`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_operations::{SigningKeyDetail, SigningKeyStatus};
use hythe_wire::{InRegistry, SigningKey, SigningKeyList, path};

use super::{Handled, created, json};
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::ListSigningKeys>(context.account(registry_id))
        .await?;
    let keys = context.plane.signing_keys(&granted)?;
    json(
        StatusCode::OK,
        &SigningKeyList {
            signing_keys: keys.into_iter().map(shape).collect(),
        },
        None,
    )
}

pub(crate) async fn rotate(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::RotateSigningKey>(context.account(registry_id))
        .await?;
    let key = context.plane.rotate_signing_key(&granted).await?;
    context.note_resource(format!("token-signing-key/{}", key.id));
    created(&path::signing_keys(), &shape(key), None)
}

fn shape(key: SigningKeyDetail) -> SigningKey {
    SigningKey {
        key_id: key.id,
        status: match key.status {
            SigningKeyStatus::Pending => hythe_wire::SigningKeyStatus::Pending,
            SigningKeyStatus::Active => hythe_wire::SigningKeyStatus::Active,
            SigningKeyStatus::Verifying => hythe_wire::SigningKeyStatus::Verifying,
        },
        created_at: key.created_at,
        active_from: key.active_from,
        verifies_until: key.verifies_until,
    }
}
