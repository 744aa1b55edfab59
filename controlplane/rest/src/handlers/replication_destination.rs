// SPDX-License-Identifier: Apache-2.0
//! `/replication-destinations`.

use http::StatusCode;
use hythe_access::{Secret, kinds};
use hythe_model::Region;
use hythe_operations::{DestinationChange, DestinationCredential, DestinationKind, DestinationRecord};
use hythe_wire::{
    CreateReplicationDestination, InRegistry, ListQuery, ReplicationCredential, ReplicationDestination,
    ReplicationDestinationKind, ReplicationDestinationPage, UpdateReplicationDestination, path,
};

use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context.authorize::<kinds::DescribeRegistry>(account.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context
        .plane
        .replication_destinations(&granted, page.after()?, page.limit)
        .await?;
    let answer = ReplicationDestinationPage {
        replication_destinations: found.items.into_iter().map(shape).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn create(context: Context, Json(body): Json<CreateReplicationDestination>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::PutReplicationConfiguration>(context.account(registry_id))
        .await?;
    let kind = match body.kind {
        ReplicationDestinationKind::Hythe => DestinationKind::Hythe,
        ReplicationDestinationKind::Oci => DestinationKind::Oci,
    };
    let change = DestinationChange {
        endpoint: Some(body.endpoint),
        control_endpoint: body.control_endpoint,
        description: body.description,
        credential: body.credential.map(|it| Some(credential(it))),
        repository_prefix: body.repository_prefix,
        bytes_per_second: body.bandwidth_bytes_per_second.map(Some),
    };
    let destination = context
        .plane
        .create_replication_destination(&granted, body.destination_name, kind, change)
        .await?;
    let version = destination.version;
    let answer = shape(destination);
    created(
        &path::replication_destination(&answer.destination_name),
        &answer,
        Some(version),
    )
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DescribeRegistry>(context.account(registry_id))
        .await?;
    let destination = context
        .plane
        .replication_destination(&granted, &name(&context)?)
        .await?;
    let version = destination.version;
    json(StatusCode::OK, &shape(destination), Some(version))
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateReplicationDestination>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::PutReplicationConfiguration>(context.account(registry_id))
        .await?;
    let change = DestinationChange {
        endpoint: body.endpoint,
        control_endpoint: body.control_endpoint,
        description: body.description,
        credential: body.credential.map(|it| it.map(credential)),
        repository_prefix: body.repository_prefix,
        bytes_per_second: body.bandwidth_bytes_per_second,
    };
    let destination = context
        .plane
        .update_replication_destination(&granted, &name(&context)?, change, context.if_match()?)
        .await?;
    let version = destination.version;
    json(StatusCode::OK, &shape(destination), Some(version))
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::PutReplicationConfiguration>(context.account(registry_id))
        .await?;
    let destination = context
        .plane
        .delete_replication_destination(&granted, &name(&context)?, context.if_match()?)
        .await?;
    json(StatusCode::OK, &shape(destination), None)
}

fn name(context: &Context) -> Result<Region, Problem> {
    context.path("destinationName")
}

fn credential(credential: ReplicationCredential) -> DestinationCredential {
    DestinationCredential {
        username: credential.username,
        password: Secret::new(credential.password.expose()),
    }
}

fn shape(destination: DestinationRecord) -> ReplicationDestination {
    let settings = destination.settings;
    ReplicationDestination {
        registry_id: destination.account,
        destination_name: destination.name,
        kind: match settings.kind {
            DestinationKind::Hythe => ReplicationDestinationKind::Hythe,
            DestinationKind::Oci => ReplicationDestinationKind::Oci,
        },
        endpoint: settings.endpoint,
        control_endpoint: settings.control_endpoint,
        description: settings.description,
        username: settings.username,
        repository_prefix: settings.repository_prefix,
        bandwidth_bytes_per_second: settings.bytes_per_second,
        consecutive_failures: destination.failures,
        created_at: destination.created_at,
        updated_at: destination.updated_at,
    }
}
