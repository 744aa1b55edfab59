// SPDX-License-Identifier: Apache-2.0
//! `/repositories/{repositoryName}/lifecycle-policy/preview`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::{Reference, RepositoryPath, from_millis};
use hythe_operations::{
    LifecycleOutcome, LifecyclePreviewImage as Image, LifecycleReasons, LifecycleRunRecord, LifecycleRunStatus,
    LifecycleTotals, LifecycleVerdict, PreviewFilter, TagStatus,
};
use hythe_wire::{
    GetLifecyclePolicyPreview, InRegistry, LifecycleAction, LifecycleActionType, LifecyclePolicyPreview,
    LifecyclePreviewComparison, LifecyclePreviewImage, LifecyclePreviewOutcome, LifecyclePreviewStatus,
    LifecyclePreviewSummary, LifecycleRuleTotal, LifecycleStorageClass, StartLifecyclePolicyPreview,
    TransitioningImageTotal,
};

use super::{Handled, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn start(context: Context, Json(body): Json<StartLifecyclePolicyPreview>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::StartLifecyclePolicyPreview>(repository.clone())
        .await?;
    let started = context
        .plane
        .start_lifecycle_preview(&granted, body.lifecycle_policy_text.as_deref())
        .await?;
    json(StatusCode::ACCEPTED, &shape(repository, started), None)
}

pub(crate) async fn get(context: Context) -> Handled {
    let query: GetLifecyclePolicyPreview = context.query()?;
    let repository = context.repository(query.registry_id.clone())?;
    let granted = context
        .authorize::<kinds::GetLifecyclePolicyPreview>(repository.clone())
        .await?;
    // A token is good for the same question only.
    let mut asked = query.clone();
    (asked.next_token, asked.max_results) = (None, None);
    let asked = serde_json::to_string(&asked).map_err(|error| Problem::internal(&error))?;
    let token = query.next_token.as_deref();
    let page = context.page(query.max_results, token, &repository.account, &[&asked])?;
    let filter = filter(query)?;
    let found = context
        .plane
        .lifecycle_preview(&granted, &filter, page.after()?.as_ref(), page.limit)
        .await?;
    let reasons = LifecycleReasons::of(&found.run.document);
    let images = found.images.items.into_iter();
    let answer = LifecyclePolicyPreview {
        preview_results: images.map(|image| shape_image(&reasons, image)).collect(),
        next_token: page.token(context.plane.gate(), found.images.next),
        ..shape(repository, found.run)
    };
    json(StatusCode::OK, &answer, None)
}

fn filter(query: GetLifecyclePolicyPreview) -> Result<PreviewFilter, Problem> {
    let image = match (query.image_digest, query.image_tag) {
        (Some(_), Some(_)) => return Err(Problem::invalid("imageTag", "it cannot be given with imageDigest")),
        (Some(digest), None) => Some(Reference::Digest(digest)),
        (None, tag) => tag.map(Reference::Tag),
    };
    Ok(PreviewFilter {
        preview_id: query.preview_id,
        is_taken: match query.outcome.unwrap_or_default() {
            LifecyclePreviewOutcome::Taken => Some(true),
            LifecyclePreviewOutcome::Kept => Some(false),
            LifecyclePreviewOutcome::Any => None,
        },
        differs: query.compare.is_some(),
        image,
        tag_status: match query.tag_status.unwrap_or_default() {
            hythe_wire::TagStatus::Any => TagStatus::Any,
            hythe_wire::TagStatus::Tagged => TagStatus::Tagged,
            hythe_wire::TagStatus::Untagged => TagStatus::Untagged,
        },
    })
}

fn shape(repository: RepositoryPath, run: LifecycleRunRecord) -> LifecyclePolicyPreview {
    let status = match run.status {
        LifecycleRunStatus::Pending | LifecycleRunStatus::Running => LifecyclePreviewStatus::InProgress,
        LifecycleRunStatus::Complete => LifecyclePreviewStatus::Complete,
        LifecycleRunStatus::Superseded | LifecycleRunStatus::Failed => LifecyclePreviewStatus::Failed,
        LifecycleRunStatus::Expired => LifecyclePreviewStatus::Expired,
    };
    LifecyclePolicyPreview {
        registry_id: repository.account,
        repository_name: repository.name,
        preview_id: run.id,
        lifecycle_policy_text: run.document,
        status,
        created_at: run.created_at,
        evaluated_at: run.evaluated_at,
        failure_reason: run.failure.filter(|_| status == LifecyclePreviewStatus::Failed),
        preview_results: Vec::new(),
        summary: (status == LifecyclePreviewStatus::Complete).then(|| summary(run.totals)),
        next_token: None,
    }
}

fn summary(totals: LifecycleTotals) -> LifecyclePreviewSummary {
    let moved = TransitioningImageTotal {
        target_storage_class: LifecycleStorageClass::Archive,
        image_total_count: totals.archived,
    };
    LifecyclePreviewSummary {
        image_total_count: totals.images,
        expiring_image_total_count: totals.expired,
        expiring_image_total_bytes: totals.expired_bytes,
        following_image_total_count: totals.followers,
        following_image_total_bytes: totals.follower_bytes,
        freed_bytes: totals.freed_bytes,
        transitioning_image_total_counts: if totals.archived > 0 { vec![moved] } else { Vec::new() },
        transitioning_image_total_bytes: totals.archived_bytes,
        kept_image_total_count: totals
            .images
            .saturating_sub(totals.expired + totals.followers + totals.archived),
        protected_image_total_count: totals.protected,
        rules: totals
            .rules
            .into_iter()
            .map(|rule| LifecycleRuleTotal {
                rule_priority: rule.rule,
                taken_image_count: rule.taken,
                taken_image_bytes: rule.taken_bytes,
                kept_image_count: rule.kept,
            })
            .collect(),
        comparison: totals.compared.then_some(LifecyclePreviewComparison {
            newly_taken_image_count: totals.newly_taken,
            newly_taken_image_bytes: totals.newly_taken_bytes,
            no_longer_taken_image_count: totals.no_longer_taken,
            no_longer_taken_image_bytes: totals.no_longer_taken_bytes,
            changed_image_count: totals.changed,
        }),
    }
}

fn shape_image(reasons: &LifecycleReasons, image: Image) -> LifecyclePreviewImage {
    let taken_by = |verdict: &LifecycleVerdict| verdict.rule.filter(|_| verdict.outcome.is_action());
    LifecyclePreviewImage {
        image_digest: image.digest,
        image_tags: image.tags,
        image_pushed_at: from_millis(image.pushed_ms),
        image_size_in_bytes: image.bytes,
        storage_class: if image.is_archived {
            LifecycleStorageClass::Archive
        } else {
            LifecycleStorageClass::Standard
        },
        action: action(image.verdict.outcome),
        applied_rule_priority: taken_by(&image.verdict),
        claimed_by_rule_priority: image.verdict.claimed_by,
        reason: reasons.verdict(&image.verdict),
        stored_action: image.stored.map(|stored| action(stored.outcome)),
        stored_rule_priority: image.stored.and_then(|stored| taken_by(&stored).or(stored.claimed_by)),
    }
}

/// What becomes of an image.
pub(super) fn action(outcome: LifecycleOutcome) -> LifecycleAction {
    let (kind, target_storage_class) = match outcome {
        LifecycleOutcome::Expire => (LifecycleActionType::Expire, None),
        LifecycleOutcome::Archive => (LifecycleActionType::Transition, Some(LifecycleStorageClass::Archive)),
        LifecycleOutcome::Retain => (LifecycleActionType::Retain, None),
        LifecycleOutcome::Keep => (LifecycleActionType::Keep, None),
    };
    LifecycleAction {
        kind,
        target_storage_class,
    }
}
