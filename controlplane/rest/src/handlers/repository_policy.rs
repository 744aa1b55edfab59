// SPDX-License-Identifier: Apache-2.0
//! `/repositories/{repositoryName}/policy`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::RepositoryPath;
use hythe_operations::{PolicyDocument, PolicyGrammar};
use hythe_wire::{InRegistry, RepositoryPolicy, SetRepositoryPolicy};

use super::policy::warnings;
use super::{Handled, json};
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn get(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::GetRepositoryPolicy>(repository.clone())
        .await?;
    let found = context.plane.repository_policy(&granted).await?;
    let version = found.version;
    json(StatusCode::OK, &shape(repository, found), Some(version))
}

pub(crate) async fn set(context: Context, Json(body): Json<SetRepositoryPolicy>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::SetRepositoryPolicy>(repository.clone())
        .await?;
    let set = context
        .plane
        .set_repository_policy(&granted, &body.policy_text, body.force, context.if_match()?)
        .await?;
    let version = set.version;
    let answer = RepositoryPolicy {
        warnings: warnings(&set.text, PolicyGrammar::Repository),
        ..shape(repository, set)
    };
    json(StatusCode::OK, &answer, Some(version))
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::DeleteRepositoryPolicy>(repository.clone())
        .await?;
    let deleted = context
        .plane
        .delete_repository_policy(&granted, context.if_match()?)
        .await?;
    json(StatusCode::OK, &shape(repository, deleted), None)
}

fn shape(repository: RepositoryPath, document: PolicyDocument) -> RepositoryPolicy {
    RepositoryPolicy {
        registry_id: repository.account,
        repository_name: repository.name,
        policy_text: document.text,
        warnings: Vec::new(),
    }
}
