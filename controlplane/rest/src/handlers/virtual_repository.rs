// SPDX-License-Identifier: Apache-2.0
//! `/virtual-repositories`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::RepositoryPrefix;
use hythe_operations::{VirtualRepositoryChange, VirtualRepositoryRecord};
use hythe_wire::{
    CreateVirtualRepository, InRegistry, ListQuery, UpdateVirtualRepository, VirtualRepository, VirtualRepositoryPage,
    path,
};

use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context
        .authorize::<kinds::DescribeVirtualRepositories>(account.clone())
        .await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context
        .plane
        .virtual_repositories(&granted, page.after()?, page.limit)
        .await?;
    let answer = VirtualRepositoryPage {
        virtual_repositories: found.items.into_iter().map(shape).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn create(context: Context, Json(body): Json<CreateVirtualRepository>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::CreateVirtualRepository>(context.account(registry_id))
        .await?;
    let record = context
        .plane
        .create_virtual_repository(&granted, body.virtual_repository_name, body.sources, body.description)
        .await?;
    let version = record.version;
    let answer = shape(record);
    let location = path::virtual_repository(&answer.virtual_repository_name);
    created(&location, &answer, Some(version))
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DescribeVirtualRepositories>(context.account(registry_id))
        .await?;
    let record = context.plane.virtual_repository(&granted, &name(&context)?).await?;
    let version = record.version;
    json(StatusCode::OK, &shape(record), Some(version))
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateVirtualRepository>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::UpdateVirtualRepository>(context.account(registry_id))
        .await?;
    let change = VirtualRepositoryChange {
        sources: body.sources,
        description: body.description,
    };
    let record = context
        .plane
        .update_virtual_repository(&granted, &name(&context)?, change, context.if_match()?)
        .await?;
    let version = record.version;
    json(StatusCode::OK, &shape(record), Some(version))
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeleteVirtualRepository>(context.account(registry_id))
        .await?;
    let record = context
        .plane
        .delete_virtual_repository(&granted, &name(&context)?, context.if_match()?)
        .await?;
    json(StatusCode::OK, &shape(record), None)
}

fn name(context: &Context) -> Result<RepositoryPrefix, Problem> {
    context.path("virtualRepositoryName")
}

fn shape(record: VirtualRepositoryRecord) -> VirtualRepository {
    VirtualRepository {
        registry_id: record.account,
        virtual_repository_name: record.repository.name,
        description: record.description,
        sources: record.repository.sources,
        created_at: record.created_at,
        updated_at: record.updated_at,
    }
}
