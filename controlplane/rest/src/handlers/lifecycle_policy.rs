// SPDX-License-Identifier: Apache-2.0
//! `/repositories/{repositoryName}/lifecycle-policy`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::RepositoryPath;
use hythe_operations::LifecyclePolicyRecord;
use hythe_wire::{InRegistry, LifecyclePolicy, PutLifecyclePolicy};

use super::{Handled, json};
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn get(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::GetLifecyclePolicy>(repository.clone())
        .await?;
    let found = context.plane.lifecycle_policy(&granted).await?;
    let version = found.document.version;
    json(StatusCode::OK, &shape(repository, found), Some(version))
}

pub(crate) async fn put(context: Context, Json(body): Json<PutLifecyclePolicy>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::PutLifecyclePolicy>(repository.clone())
        .await?;
    let put = context
        .plane
        .put_lifecycle_policy(&granted, &body.lifecycle_policy_text, context.if_match()?)
        .await?;
    let version = put.document.version;
    json(StatusCode::OK, &shape(repository, put), Some(version))
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::DeleteLifecyclePolicy>(repository.clone())
        .await?;
    let deleted = context
        .plane
        .delete_lifecycle_policy(&granted, context.if_match()?)
        .await?;
    json(StatusCode::OK, &shape(repository, deleted), None)
}

fn shape(repository: RepositoryPath, record: LifecyclePolicyRecord) -> LifecyclePolicy {
    LifecyclePolicy {
        registry_id: repository.account,
        repository_name: repository.name,
        lifecycle_policy_text: record.document.text,
        last_evaluated_at: record.last_evaluated_at,
    }
}
