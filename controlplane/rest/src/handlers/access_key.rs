// SPDX-License-Identifier: Apache-2.0
//! `/users/{userName}/access-keys`.

use http::StatusCode;
use hythe_access::{UserName, kinds};
use hythe_operations::AccessKeyRecord;
use hythe_wire::{
    AccessKey, AccessKeyPage, AccessKeyStatus, CreatedAccessKey, InRegistry, Secret, UpdateAccessKey, path,
};

use super::{Handled, created, json};
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::ListAccessKeys>(context.account(registry_id))
        .await?;
    let keys = context.plane.access_keys(&granted, &context.path("userName")?).await?;
    json(
        StatusCode::OK,
        &AccessKeyPage {
            access_keys: keys.into_iter().map(shape).collect(),
            next_token: None,
        },
        None,
    )
}

pub(crate) async fn create(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::CreateAccessKey>(context.account(registry_id))
        .await?;
    let user: UserName = context.path("userName")?;
    let key = context.plane.create_access_key(&granted, &user).await?;
    let location = path::access_key(user.as_str(), &key.record.id);
    context.note_resource(format!(
        "arn:aws:iam::{}:user/{user}/{}",
        key.record.account, key.record.id
    ));
    let answer = CreatedAccessKey {
        access_key: shape(key.record),
        secret_access_key: Secret::new(key.secret.expose()),
    };
    created(&location, &answer, None)
}

pub(crate) async fn update(context: Context, crate::body::Json(body): crate::body::Json<UpdateAccessKey>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::UpdateAccessKey>(context.account(registry_id))
        .await?;
    let (user, id) = (context.path("userName")?, context.path_text("accessKeyId")?);
    let is_active = match body.status {
        AccessKeyStatus::Active => true,
        AccessKeyStatus::Inactive => false,
    };
    let key = context
        .plane
        .set_access_key_active(&granted, &user, id, is_active)
        .await?;
    json(StatusCode::OK, &shape(key), None)
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeleteAccessKey>(context.account(registry_id))
        .await?;
    let (user, id) = (context.path("userName")?, context.path_text("accessKeyId")?);
    json(
        StatusCode::OK,
        &shape(context.plane.delete_access_key(&granted, &user, id).await?),
        None,
    )
}

fn shape(key: AccessKeyRecord) -> AccessKey {
    AccessKey {
        access_key_id: key.id,
        status: if key.is_active {
            AccessKeyStatus::Active
        } else {
            AccessKeyStatus::Inactive
        },
        created_at: key.created_at,
        last_used_at: key.last_used_at,
    }
}
