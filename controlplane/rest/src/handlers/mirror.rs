// SPDX-License-Identifier: Apache-2.0
//! `/pull-through-cache-rules/{prefix}/mirror-runs`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_operations::{MirrorRunNote, MirrorRunRecord};
use hythe_wire::{InRegistry, ListQuery, MirrorRun, MirrorRunCounts, MirrorRunPage, MirrorRunReport, path};

use super::{Handled, created, json};
use crate::context::Context;

pub(crate) async fn start(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::StartMirrorRun>(context.account(registry_id))
        .await?;
    let prefix = context.path("prefix")?;
    let run = context.plane.start_mirror_run(&granted, &prefix).await?;
    context.note_resource(format!("mirror-run/{}", run.id));
    created(&path::mirror_run(&prefix, &run.id), &shape(run), None)
}

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context.authorize::<kinds::DescribeMirrorRuns>(account.clone()).await?;
    let prefix = context.path("prefix")?;
    let page = context.page(
        query.max_results,
        query.next_token.as_deref(),
        &account,
        &[context.path_text("prefix")?],
    )?;
    let found = context
        .plane
        .mirror_runs(&granted, &prefix, page.after.as_deref(), page.limit)
        .await?;
    let answer = MirrorRunPage {
        mirror_runs: found.items.into_iter().map(shape).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DescribeMirrorRuns>(context.account(registry_id))
        .await?;
    let (prefix, id) = (context.path("prefix")?, context.path_text("mirrorRunId")?);
    let report = context.plane.mirror_run(&granted, &prefix, id).await?;
    let answer = MirrorRunReport {
        mirror_run: shape(report.run),
        notes: report.notes.into_iter().map(note).collect(),
    };
    json(StatusCode::OK, &answer, None)
}

fn shape(run: MirrorRunRecord) -> MirrorRun {
    let counts = &run.progress.counts;
    let is_looking = run.ended_at.is_none() && !run.progress.repository.is_empty();
    MirrorRun {
        registry_id: run.account,
        ecr_repository_prefix: run.prefix,
        mirror_run_id: run.id,
        status: run.status.to_string(),
        cause: run.cause.to_string(),
        started_by: run.started_by,
        counts: MirrorRunCounts {
            repositories: counts.repositories,
            tags: counts.tags,
            created: counts.created,
            moved: counts.moved,
            unchanged: counts.unchanged,
            skipped: counts.skipped,
            failed: counts.failed,
            removed: counts.removed,
            referrers: counts.referrers,
        },
        waiting_images: run.waiting,
        current_repository: is_looking.then_some(run.progress.repository),
        failure_reason: run.failure,
        started_at: run.started_at,
        updated_at: run.updated_at,
        resumes_at: run.resumes_at,
        ended_at: run.ended_at,
    }
}

fn note(noted: MirrorRunNote) -> hythe_wire::MirrorRunNote {
    let note = noted.note;
    hythe_wire::MirrorRunNote {
        kind: note.kind.to_string(),
        repository_name: Some(note.repository).filter(|name| !name.is_empty()),
        reference: note.tag,
        code: note.code,
        reason: note.reason,
        noted_at: noted.noted_at,
    }
}
