// SPDX-License-Identifier: Apache-2.0
//! `/registry/replication/backfills`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::RegistryPlace;
use hythe_operations::{BackfillImage, BackfillRecord, BackfillResult, BackfillStatus};
use hythe_wire::{
    InRegistry, ListQuery, ListReplicationBackfillResults, ReplicationBackfill, ReplicationBackfillPage,
    ReplicationBackfillProgress, ReplicationBackfillResult, ReplicationBackfillResultStatus,
    ReplicationBackfillResults, ReplicationBackfillStatus, ReplicationTarget, StartReplicationBackfill, path,
};

use super::{Handled, created, json};
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn start(context: Context, Json(body): Json<StartReplicationBackfill>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context
        .authorize::<kinds::StartReplicationBackfill>(account.clone())
        .await?;
    let place = RegistryPlace {
        region: body.destination.region,
        account: body.destination.registry_id.unwrap_or(account),
    };
    let backfill = context.plane.start_replication_backfill(&granted, place).await?;
    context.note_resource(format!("replication-backfill/{}", backfill.id));
    created(&path::replication_backfill(&backfill.id), &shape(backfill), None)
}

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context
        .authorize::<kinds::ListReplicationBackfills>(account.clone())
        .await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context
        .plane
        .replication_backfills(&granted, page.after.as_deref(), page.limit)
        .await?;
    let answer = ReplicationBackfillPage {
        backfills: found.items.into_iter().map(shape).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn describe(context: Context) -> Handled {
    let query: ListReplicationBackfillResults = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context
        .authorize::<kinds::DescribeReplicationBackfillResults>(account.clone())
        .await?;
    let id = context.path_text("backfillId")?;
    let filter = format!("{id} {:?}", query.result_status);
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[&filter])?;
    // Neither a name nor a tag nor a digest has a space.
    let after = page.after.as_deref().and_then(|after| after.split_once(' '));
    let after = after.map(|(repository, reference)| (repository.to_owned(), reference.to_owned()));
    let found = context
        .plane
        .replication_backfill(&granted, id, query.result_status.map(wanted), after, page.limit)
        .await?;
    let next = found
        .images
        .next
        .map(|(repository, reference)| format!("{repository} {reference}"));
    let answer = ReplicationBackfillResults {
        backfill: shape(found.backfill),
        results: found.images.items.into_iter().map(result).collect(),
        next_token: page.token(context.plane.gate(), next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn stop(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::StopReplicationBackfill>(context.account(registry_id))
        .await?;
    let id = context.path_text("backfillId")?;
    context.note_resource(format!("replication-backfill/{id}"));
    let backfill = context.plane.stop_replication_backfill(&granted, id).await?;
    json(StatusCode::OK, &shape(backfill), None)
}

fn shape(backfill: BackfillRecord) -> ReplicationBackfill {
    ReplicationBackfill {
        registry_id: backfill.account,
        replication_backfill_id: backfill.id,
        destination: ReplicationTarget {
            region: backfill.place.region,
            registry_id: Some(backfill.place.account),
        },
        status: match backfill.status {
            BackfillStatus::Preparing => ReplicationBackfillStatus::Preparing,
            BackfillStatus::InProgress => ReplicationBackfillStatus::InProgress,
            BackfillStatus::Complete => ReplicationBackfillStatus::Complete,
            BackfillStatus::Failed => ReplicationBackfillStatus::Failed,
            BackfillStatus::Stopping => ReplicationBackfillStatus::Stopping,
            BackfillStatus::Stopped => ReplicationBackfillStatus::Stopped,
        },
        progress: ReplicationBackfillProgress {
            total_replication_count: backfill.queued,
            completed_replication_count: backfill.completed,
            failed_replication_count: backfill.failed,
            skipped_replication_count: backfill.skipped,
            is_total_final: backfill.is_walked,
        },
        failure_reason: backfill.failure,
        started_by: backfill.started_by,
        started_at: backfill.started_at,
        updated_at: backfill.updated_at,
        ended_at: backfill.ended_at,
    }
}

fn wanted(status: ReplicationBackfillResultStatus) -> BackfillResult {
    match status {
        ReplicationBackfillResultStatus::InProgress => BackfillResult::InProgress,
        ReplicationBackfillResultStatus::Complete => BackfillResult::Complete,
        ReplicationBackfillResultStatus::Failed => BackfillResult::Failed,
        ReplicationBackfillResultStatus::Skipped => BackfillResult::Skipped,
    }
}

fn result(image: BackfillImage) -> ReplicationBackfillResult {
    let (failure_code, failure_reason) = match image.failure {
        Some(failure) => (Some(failure.code), Some(failure.reason)),
        None => (None, None),
    };
    ReplicationBackfillResult {
        repository_name: image.repository,
        reference: image.reference,
        image_digest: image.digest,
        status: match image.result {
            BackfillResult::InProgress => ReplicationBackfillResultStatus::InProgress,
            BackfillResult::Complete => ReplicationBackfillResultStatus::Complete,
            BackfillResult::Failed => ReplicationBackfillResultStatus::Failed,
            BackfillResult::Skipped => ReplicationBackfillResultStatus::Skipped,
        },
        failure_code,
        failure_reason,
    }
}
