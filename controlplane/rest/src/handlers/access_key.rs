// SPDX-License-Identifier: Apache-2.0
//! `/users/{userName}/access-keys`.

use http::StatusCode;
use hythe_access::{UserName, kinds};
use hythe_operations::AccessKeyRecord;
use hythe_wire::{
    AccessKey, AccessKeyPage, AccessKeyStatus, CreateAccessKey, CreatedAccessKey, InRegistry, ListQuery, Secret,
    UpdateAccessKey, path,
};

use super::{Handled, created, json};
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context.authorize::<kinds::ListAccessKeys>(account.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let user = context.path("userName")?;
    let found = context
        .plane
        .access_keys(&granted, &user, page.after()?, page.limit)
        .await?;
    json(
        StatusCode::OK,
        &AccessKeyPage {
            access_keys: found.items.into_iter().map(shape).collect(),
            next_token: page.token(context.plane.gate(), found.next),
        },
        None,
    )
}

pub(crate) async fn create(context: Context, Json(body): Json<CreateAccessKey>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::CreateAccessKey>(context.account(registry_id))
        .await?;
    let user: UserName = context.path("userName")?;
    let key = match body.secret_access_key {
        Some(secret) => {
            let secret = hythe_access::Secret::new(secret.expose());
            context.plane.create_access_key_with(&granted, &user, secret).await?
        }
        None => context.plane.create_access_key(&granted, &user).await?,
    };
    answer_new(&context, &user, key)
}

pub(crate) async fn rotate(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let creating = context.authorize::<kinds::CreateAccessKey>(account.clone()).await?;
    let updating = context.authorize::<kinds::UpdateAccessKey>(account).await?;
    let (user, id): (UserName, _) = (context.path("userName")?, context.path_text("accessKeyId")?);
    let key = context
        .plane
        .rotate_access_key((&creating, &updating), &user, id)
        .await?;
    answer_new(&context, &user, key)
}

fn answer_new(context: &Context, user: &UserName, key: hythe_operations::CreatedAccessKey) -> Handled {
    let location = path::access_key(user.as_str(), &key.record.id);
    context.note_resource(format!(
        "arn:aws:iam::{}:user/{user}/{}",
        key.record.account, key.record.id
    ));
    created(&location, &with_secret(key), None)
}

/// A new key with its secret, which is in this answer and in no other.
pub(super) fn with_secret(key: hythe_operations::CreatedAccessKey) -> CreatedAccessKey {
    CreatedAccessKey {
        access_key: shape(key.record),
        secret_access_key: Secret::new(key.secret.expose()),
    }
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateAccessKey>) -> Handled {
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

pub(super) fn shape(key: AccessKeyRecord) -> AccessKey {
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
