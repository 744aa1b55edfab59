// SPDX-License-Identifier: Apache-2.0
//! `/repositories/{repositoryName}/images`.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use hythe_access::{Granted, kinds};
use hythe_model::{ImageStatus, MediaType, Reference, RepositoryPath};
use hythe_operations::ImageFilter;
use hythe_wire::{ImageStatusFilter, ImageStorageClass, InRegistry, ListImages, UpdateImageStorageClass};

use super::{Handled, json};
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListImages = context.query()?;
    let repository = context.repository(query.registry_id)?;
    let (tags, tag_filter) = match query.tag_status.unwrap_or_default() {
        hythe_wire::TagStatus::Any => (hythe_operations::TagStatus::Any, "ANY"),
        hythe_wire::TagStatus::Tagged => (hythe_operations::TagStatus::Tagged, "TAGGED"),
        hythe_wire::TagStatus::Untagged => (hythe_operations::TagStatus::Untagged, "UNTAGGED"),
    };
    let status = match query.image_status.unwrap_or_default() {
        ImageStatusFilter::Active => Some(ImageStatus::Active),
        ImageStatusFilter::Archived => Some(ImageStatus::Archived),
        ImageStatusFilter::Activating => Some(ImageStatus::Activating),
        ImageStatusFilter::Any => None,
    };
    let granted = context.authorize::<kinds::DescribeImages>(repository.clone()).await?;
    let page = context.page(
        query.max_results,
        query.next_token.as_deref(),
        &repository.account,
        &[tag_filter, status.map_or("ANY", ImageStatus::as_str)],
    )?;
    let filter = ImageFilter { tags, status };
    let found = context
        .plane
        .images(&granted, filter, page.after()?, page.limit)
        .await?;
    let images = found
        .items
        .into_iter()
        .map(|detail| shape(&repository, detail))
        .collect();
    let next_token = page.token(context.plane.gate(), found.next);
    json(StatusCode::OK, &hythe_wire::ImagePage { images, next_token }, None)
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context.authorize::<kinds::DescribeImages>(repository.clone()).await?;
    let detail = context
        .plane
        .image(&granted, &Reference::Digest(context.digest()?))
        .await?;
    json(StatusCode::OK, &shape(&repository, detail), None)
}

pub(crate) async fn manifest(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::BatchGetImage>(context.repository(registry_id)?)
        .await?;
    let record = context
        .plane
        .image_manifest(&granted, &Reference::Digest(context.digest()?))
        .await?;
    let media_type = HeaderValue::from_str(record.media_type.as_str())
        .unwrap_or_else(|_| HeaderValue::from_static(MediaType::OCTET_STREAM));
    let mut response = Response::new(Body::from(record.bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media_type);
    // The media type is the pusher's word.
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{}\"", record.digest)) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::BatchDeleteImage>(context.repository(registry_id)?)
        .await?;
    delete_what(&context, &granted, Reference::Digest(context.digest()?)).await
}

pub(crate) async fn update_storage_class(context: Context, Json(body): Json<UpdateImageStorageClass>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let (repository, digest) = (context.repository(registry_id)?, context.digest()?);
    let granted = context
        .authorize::<kinds::UpdateImageStorageClass>(repository.clone())
        .await?;
    let status = context
        .plane
        .update_storage_class(&granted, &digest, body.target_storage_class)
        .await?;
    let answer = ImageStorageClass {
        registry_id: repository.account,
        repository_name: repository.name,
        image_digest: digest,
        image_status: status,
    };
    json(StatusCode::OK, &answer, None)
}

/// Deletes an image, or a tag.
pub(super) async fn delete_what(
    context: &Context,
    granted: &Granted<kinds::BatchDeleteImage>,
    reference: Reference,
) -> Handled {
    let deleted = context.plane.delete_image(granted, &reference).await?;
    let answer = hythe_wire::DeletedImage {
        image_digest: deleted.digest,
        image_tags: deleted.tags,
        is_image_deleted: deleted.is_image_gone,
    };
    json(StatusCode::OK, &answer, None)
}

fn shape(repository: &RepositoryPath, detail: hythe_operations::ImageDetail) -> hythe_wire::ImageDetail {
    hythe_wire::ImageDetail {
        registry_id: repository.account.clone(),
        repository_name: repository.name.clone(),
        image_status: detail.status,
        storage_class: detail.storage_class(),
        last_recorded_pull_time: detail.last_pulled_at,
        last_archived_at: detail.archived_at,
        last_activated_at: detail.activated_at,
        image_digest: detail.digest,
        image_tags: detail.tags,
        image_size_in_bytes: detail.image_bytes,
        image_pushed_at: detail.pushed_at,
        image_manifest_media_type: detail.media_type,
        artifact_media_type: detail.artifact_type,
        subject_manifest_digest: detail.subject,
    }
}
