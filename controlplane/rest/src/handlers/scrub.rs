// SPDX-License-Identifier: Apache-2.0
//! `/scrubs`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_operations::{ScrubFinding, ScrubRecord, ScrubRequest};
use hythe_wire::{
    InRegistry, ListQuery, Scrub, ScrubCounts, ScrubFindingDetail, ScrubPage, ScrubReport, StartScrub, path,
};

use super::{Handled, created, json};
use crate::body::Json;
use crate::context::Context;

/// Of how many blobs the bytes are hashed unless it is said, in percent.
const DEFAULT_SAMPLE_PERCENT: u32 = 100;

pub(crate) async fn start(context: Context, Json(body): Json<StartScrub>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::StartScrub>(context.account(registry_id))
        .await?;
    let request = ScrubRequest {
        sample_percent: body.sample.unwrap_or(DEFAULT_SAMPLE_PERCENT),
        quarantine: body.quarantine,
    };
    let scrub = context.plane.start_scrub(&granted, request).await?;
    context.note_resource(format!("scrub/{}", scrub.id));
    created(&path::scrub(&scrub.id), &shape(scrub), None)
}

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id.clone());
    let granted = context.authorize::<kinds::GetScrub>(account.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context
        .plane
        .scrubs(&granted, page.after.as_deref(), page.limit)
        .await?;
    let answer = ScrubPage {
        scrubs: found.items.into_iter().map(shape).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn describe(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id.clone());
    let granted = context.authorize::<kinds::GetScrub>(account.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let id = context.path_text("scrubId")?;
    let found = context.plane.scrub(&granted, id, page.after()?, page.limit).await?;
    let answer = ScrubReport {
        scrub: shape(found.scrub),
        findings: found.findings.items.into_iter().map(finding).collect(),
        next_token: page.token(context.plane.gate(), found.findings.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn cancel(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::StartScrub>(context.account(registry_id))
        .await?;
    let id = context.path_text("scrubId")?;
    context.note_resource(format!("scrub/{id}"));
    let scrub = context.plane.cancel_scrub(&granted, id).await?;
    json(StatusCode::OK, &shape(scrub), None)
}

fn shape(scrub: ScrubRecord) -> Scrub {
    let counts = scrub.progress.counts;
    Scrub {
        scrub_id: scrub.id,
        status: scrub.status.to_string(),
        phase: scrub.progress.phase.to_string(),
        sample: scrub.sample_percent,
        quarantine: scrub.quarantine,
        started_by: scrub.started_by,
        started_at: scrub.started_at,
        updated_at: scrub.updated_at,
        ended_at: scrub.ended_at,
        failure_reason: scrub.failure,
        checked: ScrubCounts {
            blobs: counts.blobs,
            bytes: counts.bytes,
            files: counts.files,
            images: counts.images,
            references: counts.references,
            tags: counts.tags,
        },
        finding_count: scrub.findings,
        quarantined_count: scrub.quarantined,
    }
}

fn finding(found: ScrubFinding) -> ScrubFindingDetail {
    ScrubFindingDetail {
        kind: found.finding.kind,
        digest: found.finding.digest,
        repository: found.finding.repository,
        detail: found.finding.detail,
        is_quarantined: found.finding.is_quarantined,
        found_at: found.found_at,
    }
}
