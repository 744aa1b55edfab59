// SPDX-License-Identifier: Apache-2.0
//! `/repositories/{repositoryName}/image-deletions` and `/deleted-images`.

use std::collections::BTreeSet;

use http::StatusCode;
use hythe_access::{RequestContext, kinds};
use hythe_model::{Digest, RepositoryPath, Tag};
use hythe_operations::{DeletedImageRecord, ImageIdentifier, ImageNotDeleted, MAX_IMAGES_PER_DELETION, TagNotRestored};
use hythe_wire::{
    DeleteImages, DeletionReason, ImageDeletions, ImageFailure, ImageFailureCode, InRegistry, ListQuery,
    RestorableImage, RestorableImagePage, RestoreImage, RestoredImage, TagFailure,
};

use super::{Handled, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn delete_images(context: Context, Json(body): Json<DeleteImages>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let parsed: Vec<_> = body.image_ids.iter().map(parse).collect();
    // Each tag is asked for by itself, so that a denial of one counts.
    let tags: BTreeSet<Option<&Tag>> = parsed
        .iter()
        .map(|parsed| match parsed {
            Ok(ImageIdentifier::Tag(tag) | ImageIdentifier::TagOfImage(tag, _)) => Some(tag),
            Ok(ImageIdentifier::Digest(_)) | Err(_) => None,
        })
        .take(MAX_IMAGES_PER_DELETION)
        .chain(body.image_ids.is_empty().then_some(None))
        .collect();
    let mut granted = None;
    for tag in tags {
        let asked = tag.map_or_else(RequestContext::default, |tag| {
            RequestContext::of_image_tag(tag.to_string())
        });
        let right = context.authorize_with::<kinds::BatchDeleteImage>(repository.clone(), &asked);
        granted = Some(right.await?);
    }
    if !(1..=MAX_IMAGES_PER_DELETION).contains(&parsed.len()) {
        let reason = format!("it must have 1 to {MAX_IMAGES_PER_DELETION} entries");
        return Err(Problem::invalid_member("/imageIds", reason));
    }
    let Some(granted) = granted else {
        return Err(Problem::invalid_member("/imageIds", "it must have entries"));
    };
    let images: Vec<_> = parsed
        .iter()
        .filter_map(|parsed| parsed.as_ref().ok().cloned())
        .collect();
    let mut deletions = context.plane.delete_images(&granted, &images).await?.into_iter();
    let mut answer = ImageDeletions::default();
    for (image_id, parsed) in body.image_ids.into_iter().zip(parsed) {
        let failure = match parsed {
            Err(failure) => failure,
            Ok(_) => match deletions.next() {
                Some(Ok(deleted)) => {
                    let digest = deleted.digest.to_string();
                    let entry = |tag: Option<&Tag>| hythe_wire::ImageIdentifier {
                        image_digest: Some(digest.clone()),
                        image_tag: tag.map(ToString::to_string),
                    };
                    if deleted.tags.is_empty() {
                        answer.image_ids.push(entry(None));
                    }
                    answer.image_ids.extend(deleted.tags.iter().map(|tag| entry(Some(tag))));
                    continue;
                }
                Some(Err(failure)) => (code(&failure), failure.to_string()),
                None => continue,
            },
        };
        answer.failures.push(ImageFailure {
            image_id,
            failure_code: failure.0,
            failure_reason: failure.1,
        });
    }
    json(StatusCode::OK, &answer, None)
}

fn code(failure: &ImageNotDeleted) -> ImageFailureCode {
    match failure {
        ImageNotDeleted::Unknown => ImageFailureCode::ImageNotFound,
        ImageNotDeleted::TagDoesNotMatchDigest(_) => ImageFailureCode::ImageTagDoesNotMatchDigest,
        ImageNotDeleted::ReferencedByIndex(_) => ImageFailureCode::ImageReferencedByManifestList,
    }
}

fn parse(image: &hythe_wire::ImageIdentifier) -> Result<ImageIdentifier, (ImageFailureCode, String)> {
    let digest = image.image_digest.as_deref().map(str::parse::<Digest>).transpose();
    let digest = digest.map_err(|error| (ImageFailureCode::InvalidImageDigest, error.to_string()))?;
    let tag = image.image_tag.as_deref().map(str::parse::<Tag>).transpose();
    let tag = tag.map_err(|error| (ImageFailureCode::InvalidImageTag, error.to_string()))?;
    match (tag, digest) {
        (Some(tag), Some(digest)) => Ok(ImageIdentifier::TagOfImage(tag, digest)),
        (Some(tag), None) => Ok(ImageIdentifier::Tag(tag)),
        (None, Some(digest)) => Ok(ImageIdentifier::Digest(digest)),
        (None, None) => {
            let reason = "an entry must have an imageDigest, an imageTag or both";
            Err((ImageFailureCode::MissingDigestAndTag, reason.to_owned()))
        }
    }
}

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let repository = context.repository(query.registry_id)?;
    let granted = context
        .authorize::<kinds::ListDeletedImages>(repository.clone())
        .await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &repository.account, &[])?;
    let found = context
        .plane
        .deleted_images(&granted, page.after()?, page.limit)
        .await?;
    let deleted_images = found
        .items
        .into_iter()
        .map(|record| shape(&repository, record))
        .collect();
    let next_token = page.token(context.plane.gate(), found.next);
    json(
        StatusCode::OK,
        &RestorableImagePage {
            deleted_images,
            next_token,
        },
        None,
    )
}

pub(crate) async fn restore(context: Context, Json(body): Json<RestoreImage>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::RestoreImage>(context.repository(registry_id)?)
        .await?;
    let restored = context
        .plane
        .restore_image(&granted, &context.digest()?, body.image_tags.as_deref())
        .await?;
    let mut answer = RestoredImage {
        image_digest: restored.digest,
        is_restored: restored.is_restored,
        image_tags: Vec::new(),
        failures: Vec::new(),
        restored_children: restored.children,
    };
    for (image_tag, outcome) in restored.tags {
        match outcome {
            Ok(()) => answer.image_tags.push(image_tag),
            Err(failure) => answer.failures.push(TagFailure {
                image_tag,
                failure_reason: failure.to_string(),
                image_digest: match failure {
                    TagNotRestored::Taken(digest) => Some(digest),
                    TagNotRestored::NotItsTag | TagNotRestored::TooMany => None,
                },
            }),
        }
    }
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn purge(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context.authorize::<kinds::PurgeImage>(repository.clone()).await?;
    let purged = context.plane.purge_image(&granted, &context.digest()?).await?;
    json(StatusCode::OK, &shape(&repository, purged), None)
}

fn shape(repository: &RepositoryPath, record: DeletedImageRecord) -> RestorableImage {
    let (deletion_reason, lifecycle_rule_priority) = match record.reason {
        hythe_operations::DeletionReason::Request => (DeletionReason::Request, None),
        hythe_operations::DeletionReason::Lifecycle { rule_priority, .. } => {
            (DeletionReason::Lifecycle, Some(rule_priority))
        }
        hythe_operations::DeletionReason::SubjectDeleted(_) => (DeletionReason::SubjectDeleted, None),
    };
    RestorableImage {
        registry_id: repository.account.clone(),
        repository_name: repository.name.clone(),
        image_digest: record.digest,
        image_tags: record.tags,
        image_size_in_bytes: record.image_bytes,
        image_pushed_at: record.pushed_at,
        image_manifest_media_type: record.media_type,
        artifact_media_type: record.artifact_type,
        subject_manifest_digest: record.subject,
        deleted_at: record.deleted_at,
        deleted_by: record.deleted_by,
        deletion_reason,
        lifecycle_rule_priority,
        restorable_until: record.purge_at,
    }
}
