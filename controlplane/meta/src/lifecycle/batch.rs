// SPDX-License-Identifier: Apache-2.0
//! A few images of a run: done, recorded and told to the audit log in one transaction.

use hythe_model::{Algorithm, Digest, Tag, millis};
use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::image::{self, LifecycleRow};
use super::policy;
use super::record::{LifecycleOutcome, LifecycleResult, LifecycleRunImage, LifecycleTotals};
use super::work::{ClaimedRun, renew};
use crate::image_delete::{Deletion, DeletionReason, ImageIdentifier, ImageNotDeleted, Place, listing_indexes};
use crate::session::{Session, values};
use crate::storage_class::{self, Transition};
use crate::writer::Durability;
use crate::{Store, StoreError, registry_setting};

/// Who is said to have deleted what a policy deletes.
const ACTOR: &str = "lifecycle";
/// The most tags of an image that a record of the audit log names (ECR, "Logging Amazon ECR actions with AWS
/// `CloudTrail`").
const MAX_TOLD_TAGS: usize = 100;
/// ECR's code for an image that an index lists.
const IN_INDEX: &str = "ImageReferencedByManifestList";
/// ECR's code for an image that cannot be archived.
const NOT_SUPPORTED: &str = "ImageStorageClassUpdateNotSupported";

/// One image that a rule takes.
#[derive(Clone, Debug)]
pub struct LifecycleItem {
    /// The image as it was evaluated; if it has changed since, it is left alone.
    pub image: LifecycleRow,
    /// What to do.
    pub outcome: LifecycleOutcome,
    /// The rule.
    pub rule: u32,
    /// Whether the rule counts from the last pull.
    pub counts_pulls: bool,
    /// Whether it is only recorded that the image stays, since an index lists it.
    pub is_protected: bool,
}

/// A few images that rules take, with what the record of the run and the audit log are told.
#[derive(Clone, Debug)]
pub struct LifecycleBatch {
    /// The images.
    pub items: Vec<LifecycleItem>,
    /// What the audit log is told of the policy.
    pub policy: Value,
    /// How many images were evaluated.
    pub images: u64,
    /// How many of them stay only because an index lists them.
    pub protected: u64,
    /// For which time.
    pub evaluated_at: Timestamp,
    /// When this is done.
    pub at: Timestamp,
    /// How long the job is this node's then.
    pub lease_until: Timestamp,
}

/// How a batch went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    /// What became of each image.
    Done(Vec<LifecycleRunImage>),
    /// The policy is another one by now; nothing was done.
    Superseded,
    /// The job is not this node's any more; nothing was done.
    Lost,
}

const NEXT_PAGE: &str = "SELECT COALESCE(MAX(page), -1) + 1 FROM lifecycle_run_page WHERE run_id = $1";
const PUT_PAGE: &str = "INSERT INTO lifecycle_run_page (run_id, page, images) VALUES ($1, $2, $3)";
const TOTALS: &str = "SELECT totals FROM lifecycle_run WHERE id = $1";
const PUT_TOTALS: &str = "UPDATE lifecycle_run SET totals = $2, evaluated_ms = $3, acted = $4 WHERE id = $1";

impl Store {
    /// Does what a policy asks for to a few images, unless the policy or the job has changed hands.
    pub async fn apply_lifecycle_batch(
        &self,
        run: &ClaimedRun,
        batch: LifecycleBatch,
    ) -> Result<BatchOutcome, StoreError> {
        let outcome = self
            .write(Durability::Full, (run.clone(), batch), |session, (run, batch)| {
                Box::pin(apply(session, run, batch))
            })
            .await?;
        if let BatchOutcome::Done(done) = &outcome {
            for image in done.iter().filter(|image| image.is_expired()) {
                self.counts().deleted(&reason(run, image.rule), 1);
            }
        }
        Ok(outcome)
    }
}

async fn apply(session: &mut Session, run: &ClaimedRun, batch: &LifecycleBatch) -> Result<BatchOutcome, StoreError> {
    if !renew(session, &run.id, run.lease, batch.lease_until).await? {
        return Ok(BatchOutcome::Lost);
    }
    let stored = policy::find(session, &run.repository_id).await?;
    if stored.map(|stored| stored.document.version) != run.policy_version {
        return Ok(BatchOutcome::Superseded);
    }
    let place = Place {
        path: &run.path,
        id: run.repository_id.clone(),
        retention: registry_setting::retention(session, &run.path.account).await?,
    };
    let mut done = Vec::with_capacity(batch.items.len());
    for item in &batch.items {
        let result = one(session, run, batch, &place, item).await?;
        done.push(LifecycleRunImage {
            digest: item.image.digest,
            tags: item.image.tags.clone(),
            pushed_ms: millis(item.image.pushed_at),
            bytes: item.image.image_bytes,
            outcome: item.outcome,
            rule: item.rule,
            result,
        });
    }
    record(session, run, batch, &done).await?;
    session.note_details(details(run, batch, &done));
    Ok(BatchOutcome::Done(done))
}

async fn one(
    session: &mut Session,
    run: &ClaimedRun,
    batch: &LifecycleBatch,
    place: &Place<'_>,
    item: &LifecycleItem,
) -> Result<LifecycleResult, StoreError> {
    let digest = item.image.digest;
    let is_unchanged = image::find(session, &run.repository_id, &digest)
        .await?
        .is_some_and(|present| present.is_as_evaluated(&item.image, item.counts_pulls));
    if !is_unchanged {
        return Ok(LifecycleResult::Skipped);
    }
    if item.is_protected {
        return Ok(failed(IN_INDEX, "Requested image referenced by manifest list"));
    }
    if item.outcome == LifecycleOutcome::Archive {
        let moved = storage_class::archive(session, &run.path, &run.repository_id, &digest, batch.at).await?;
        return Ok(match moved {
            Transition::Done(_) => LifecycleResult::Done,
            Transition::Unchanged(_) | Transition::Unknown => LifecycleResult::Skipped,
            Transition::ReferencedByIndex(indexes) => {
                failed(IN_INDEX, &ImageNotDeleted::ReferencedByIndex(indexes).to_string())
            }
            Transition::Activating => failed(NOT_SUPPORTED, "the image is on its way out of the archive"),
        });
    }
    let deletion = Deletion {
        at: batch.at,
        by: ACTOR.to_owned(),
        reason: reason(run, item.rule),
    };
    let indexes = listing_indexes(session, &run.repository_id, &digest).await?;
    let image = ImageIdentifier::Digest(digest);
    Ok(
        match place.delete(session, &image, digest, &indexes, &deletion).await? {
            Ok(_) => LifecycleResult::Done,
            Err(ImageNotDeleted::Unknown | ImageNotDeleted::TagDoesNotMatchDigest(_)) => LifecycleResult::Skipped,
            Err(error @ ImageNotDeleted::ReferencedByIndex(_)) => failed(IN_INDEX, &error.to_string()),
        },
    )
}

/// Which rule of which text.
fn reason(run: &ClaimedRun, rule_priority: u32) -> DeletionReason {
    let hash = Digest::new(Algorithm::Sha256, &Sha256::digest(&run.document));
    DeletionReason::Lifecycle {
        rule_priority,
        policy_hash: hash.map(|hash| hash.to_string()),
    }
}

fn failed(code: &str, reason: &str) -> LifecycleResult {
    LifecycleResult::Failed {
        code: code.into(),
        reason: reason.into(),
    }
}

/// Adds the images to the record of the run, and to its numbers.
async fn record(
    session: &mut Session,
    run: &ClaimedRun,
    batch: &LifecycleBatch,
    done: &[LifecycleRunImage],
) -> Result<(), StoreError> {
    let id = &run.id;
    let page = session.fetch_one(NEXT_PAGE, values![id]).await?.int(0)?;
    session
        .execute(PUT_PAGE, values![id, page, serde_json::to_string(done)?])
        .await?;
    let mut totals: LifecycleTotals = serde_json::from_str(&session.fetch_one(TOTALS, values![id]).await?.text(0)?)?;
    (totals.images, totals.protected) = (batch.images, batch.protected);
    for image in done {
        match (&image.result, image.outcome) {
            (LifecycleResult::Done, LifecycleOutcome::Archive) => {
                totals.archived += 1;
                totals.archived_bytes += image.bytes;
            }
            (LifecycleResult::Done, _) => {
                totals.expired += 1;
                totals.expired_bytes += image.bytes;
            }
            (LifecycleResult::Failed { .. }, _) => totals.failed += 1,
            (LifecycleResult::Skipped, _) => {}
        }
    }
    let acted = totals.expired + totals.archived;
    let values = values![id, serde_json::to_string(&totals)?, batch.evaluated_at, acted];
    session.execute(PUT_TOTALS, values).await.map(drop)
}

/// An image in a record of the audit log, in ECR's form.
#[must_use]
pub fn lifecycle_event_image(digest: &Digest, tags: &[Tag], pushed_ms: i64) -> Value {
    let told: Vec<_> = tags.iter().take(MAX_TOLD_TAGS).map(Tag::as_str).collect();
    json!({
        "digest": digest,
        "tagStatus": if tags.is_empty() { "Untagged" } else { "Tagged" },
        "tagList": told,
        "pushedAt": pushed_ms,
    })
}

/// What the audit log is told, in ECR's form.
fn details(run: &ClaimedRun, batch: &LifecycleBatch, done: &[LifecycleRunImage]) -> Value {
    let (mut actions, mut failures) = (Vec::new(), Vec::new());
    for image in done {
        let told = lifecycle_event_image(&image.digest, &image.tags, image.pushed_ms);
        match &image.result {
            LifecycleResult::Done => actions.push(json!({ "lifecycleEventImage": told, "rulePriority": image.rule })),
            LifecycleResult::Failed { code, reason } => failures.push(json!({
                "lifecycleEventImage": told, "rulePriority": image.rule, "failureCode": code, "failureReason": reason,
            })),
            LifecycleResult::Skipped => {}
        }
    }
    json!({
        "repositoryName": run.path.name,
        "runId": run.id,
        "lifecycleEventPolicy": batch.policy,
        "lifecycleEventImageActions": actions,
        "lifecycleEventFailureDetails": failures,
    })
}
