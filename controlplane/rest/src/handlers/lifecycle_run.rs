// SPDX-License-Identifier: Apache-2.0
//! `/repositories/{repositoryName}/lifecycle-policy/runs`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::{RepositoryPath, from_millis};
use hythe_operations::{
    LifecycleReasons, LifecycleResult, LifecycleRunImage as Image, LifecycleRunRecord, LifecycleRunStatus as Status,
};
use hythe_wire::{
    InRegistry, LifecycleRun, LifecycleRunDetail, LifecycleRunImage, LifecycleRunPage, LifecycleRunResult,
    LifecycleRunStatus, LifecycleRunTrigger, ListQuery,
};

use super::lifecycle_preview::action;
use super::{Handled, json};
use crate::context::Context;

pub(crate) async fn start(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::StartLifecycleRun>(repository.clone())
        .await?;
    let started = context.plane.start_lifecycle_run(&granted).await?;
    json(StatusCode::ACCEPTED, &shape(repository, started), None)
}

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let repository = context.repository(query.registry_id)?;
    let granted = context
        .authorize::<kinds::ListLifecycleRuns>(repository.clone())
        .await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &repository.account, &[])?;
    let found = context
        .plane
        .lifecycle_runs(&granted, page.after.as_deref(), page.limit)
        .await?;
    let runs = found.items.into_iter().map(|run| LifecycleRun {
        // Each has one, of up to 30,720 characters.
        lifecycle_policy_text: None,
        ..shape(repository.clone(), run)
    });
    let answer = LifecycleRunPage {
        runs: runs.collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn describe(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let repository = context.repository(query.registry_id)?;
    let granted = context
        .authorize::<kinds::ListLifecycleRuns>(repository.clone())
        .await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &repository.account, &[])?;
    let run_id = context.path_text("runId")?;
    let found = context
        .plane
        .lifecycle_run(&granted, run_id, page.after()?.as_ref(), page.limit)
        .await?;
    let reasons = LifecycleReasons::of(&found.run.document);
    let images = found.images.items.into_iter();
    let answer = LifecycleRunDetail {
        images: images.map(|image| shape_image(&reasons, image)).collect(),
        next_token: page.token(context.plane.gate(), found.images.next),
        run: shape(repository, found.run),
    };
    json(StatusCode::OK, &answer, None)
}

fn shape(repository: RepositoryPath, run: LifecycleRunRecord) -> LifecycleRun {
    let status = match run.status {
        Status::Pending => LifecycleRunStatus::Pending,
        Status::Running => LifecycleRunStatus::Running,
        Status::Complete => LifecycleRunStatus::Complete,
        Status::Superseded => LifecycleRunStatus::Superseded,
        Status::Failed | Status::Expired => LifecycleRunStatus::Failed,
    };
    LifecycleRun {
        registry_id: repository.account,
        repository_name: repository.name,
        run_id: run.id,
        trigger: match run.requested_by {
            Some(_) => LifecycleRunTrigger::Request,
            None => LifecycleRunTrigger::Schedule,
        },
        requested_by: run.requested_by,
        status,
        created_at: run.created_at,
        evaluated_at: run.evaluated_at,
        finished_at: run.finished_at,
        evaluated_image_count: run.totals.images,
        expired_image_count: run.totals.expired,
        expired_image_bytes: run.totals.expired_bytes,
        transitioned_image_count: run.totals.archived,
        failed_image_count: run.totals.failed,
        lifecycle_policy_text: Some(run.document),
        failure_reason: run.failure,
    }
}

fn shape_image(reasons: &LifecycleReasons, image: Image) -> LifecycleRunImage {
    let (result, failure) = match image.result {
        LifecycleResult::Done => (LifecycleRunResult::Done, None),
        LifecycleResult::Failed { code, reason } => (LifecycleRunResult::Failed, Some((code, reason))),
        LifecycleResult::Skipped => (LifecycleRunResult::Skipped, None),
    };
    let (failure_code, failure_reason) = failure.unzip();
    LifecycleRunImage {
        image_digest: image.digest,
        image_tags: image.tags,
        image_pushed_at: from_millis(image.pushed_ms),
        image_size_in_bytes: image.bytes,
        action: action(image.outcome),
        rule_priority: image.rule,
        reason: reasons.taken(image.rule),
        result,
        failure_code,
        failure_reason,
    }
}
