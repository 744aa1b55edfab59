// SPDX-License-Identifier: Apache-2.0
//! `/garbage-collection`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_operations::{CollectionRun, CollectionTotals};
use hythe_wire::{
    GarbageCollection, GarbageCollectionRun, GarbageCollectionRunStatus, GarbageCollectionTotals, InRegistry, path,
};

use super::{Handled, created, json};
use crate::context::Context;

pub(crate) async fn get(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::GetGarbageCollection>(context.account(registry_id))
        .await?;
    let found = context.plane.garbage_collection(&granted).await?;
    let (settings, backlog) = (found.settings, found.backlog);
    let state = GarbageCollection {
        enabled: settings.is_enabled,
        grace_minutes: u64::try_from(settings.grace.as_mins()).unwrap_or(0),
        max_blobs_per_second: settings.max_blobs_per_second,
        due_links: backlog.due,
        waiting_links: backlog.waiting,
        deleting_blobs: backlog.deleting,
        oldest_due_at: backlog.oldest_due,
        remaining_seconds: found.remaining.and_then(|left| u64::try_from(left.as_secs()).ok()),
        totals: totals(found.totals),
        runs: found.runs.into_iter().map(shape).collect(),
    };
    json(StatusCode::OK, &state, None)
}

pub(crate) async fn run(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::RunGarbageCollection>(context.account(registry_id))
        .await?;
    let run = context.plane.run_garbage_collection(&granted).await?;
    context.note_resource(format!("garbage-collection-run/{}", run.id));
    created(&path::garbage_collection_run(&run.id), &shape(run), None)
}

pub(crate) async fn get_run(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::GetGarbageCollection>(context.account(registry_id))
        .await?;
    let run = context
        .plane
        .garbage_collection_run(&granted, context.path_text("runId")?)
        .await?;
    json(StatusCode::OK, &shape(run), None)
}

fn shape(run: CollectionRun) -> GarbageCollectionRun {
    GarbageCollectionRun {
        run_id: run.id,
        status: match run.ended_at {
            None => GarbageCollectionRunStatus::InProgress,
            Some(_) => GarbageCollectionRunStatus::Complete,
        },
        requested_at: run.requested_at,
        requested_by: run.requested_by,
        ended_at: run.ended_at,
        due_links: run.due,
        done: totals(run.done),
    }
}

fn totals(totals: CollectionTotals) -> GarbageCollectionTotals {
    GarbageCollectionTotals {
        reviewed_links: totals.reviewed,
        kept_links: totals.kept,
        removed_links: totals.links,
        deleted_blobs: totals.blobs,
        deleted_bytes: totals.bytes,
        failures: totals.failures,
    }
}
