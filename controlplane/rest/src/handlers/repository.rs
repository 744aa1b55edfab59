// SPDX-License-Identifier: Apache-2.0
//! `/repositories`.

use axum::response::Response;
use http::StatusCode;
use hythe_access::kinds;
use hythe_model::{Encryption, RepositoryPath, ResourceTags, TagMutability, TagMutabilityMode};
use hythe_operations::{ControlPlane, NewRepositorySettings, RepositoryRecord, RepositoryUpdate};
use hythe_wire::{
    CreateRepository, DeleteRepository, EncryptionConfiguration, ImageScanningConfiguration,
    ImageTagMutabilityExclusionFilter, InRegistry, ListRepositories, Repository, RepositoryPage, RepositoryUsage,
    ResourceTag, UpdateRepository, path,
};

use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

/// The longest prefix, in bytes: that of a name.
const MAX_PREFIX_BYTES: usize = 256;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListRepositories = context.query()?;
    let account = context.account(query.registry_id);
    let prefix = query.prefix.as_deref();
    if prefix.is_some_and(|prefix| prefix.len() > MAX_PREFIX_BYTES) {
        return Err(Problem::invalid(
            "prefix",
            format!("it must have at most {MAX_PREFIX_BYTES} characters"),
        ));
    }
    let page = context.page(
        query.max_results,
        query.next_token.as_deref(),
        &account,
        &[prefix.unwrap_or_default()],
    )?;
    let plane = &context.plane;
    let found = plane
        .repositories(&context.caller, &account, prefix, page.after()?, page.limit)
        .await?;
    let repositories = found.items.iter().map(|record| shape(plane, record)).collect();
    json(
        StatusCode::OK,
        &RepositoryPage {
            repositories,
            next_token: page.token(plane.gate(), found.next),
        },
        None,
    )
}

pub(crate) async fn create(context: Context, Json(body): Json<CreateRepository>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = RepositoryPath {
        account: context.account(registry_id),
        name: body.repository_name.clone(),
    };
    let granted = context
        .authorize_tags::<kinds::CreateRepository>(repository.clone(), body.tags.as_deref().unwrap_or_default())
        .await?;
    let request = serde_json::to_vec(&body).map_err(|error| Problem::internal(&error))?;
    let named = body.tags.unwrap_or_default();
    let tags = if named.is_empty() {
        None
    } else {
        let tagging = context.authorize_tags::<kinds::TagResource>(repository, &named).await?;
        Some((tagging, tags(named)?))
    };
    let encryption = body.encryption_configuration.unwrap_or_default();
    let filters = body.image_tag_mutability_exclusion_filters.unwrap_or_default();
    let settings = NewRepositorySettings {
        tag_mutability: mutability(body.image_tag_mutability.unwrap_or_default(), filters)?,
        scan_on_push: body.image_scanning_configuration.unwrap_or_default().scan_on_push,
        encryption: Encryption {
            kind: encryption.encryption_type,
            kms_key: encryption.kms_key,
        },
        tags,
        allow_sparse_indexes: body.allow_sparse_indexes.unwrap_or_default(),
        idempotency: context.idempotency_key()?.map(|key| (key.to_owned(), request)),
    };
    let record = context.plane.create_repository(&granted, settings).await?;
    created(
        &path::repository(&record.path.name),
        &shape(&context.plane, &record),
        Some(record.version),
    )
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DescribeRepositories>(context.repository(registry_id)?)
        .await?;
    answer(&context, &context.plane.repository(&granted).await?)
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateRepository>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let mut update = RepositoryUpdate::default();
    match (body.image_tag_mutability, body.image_tag_mutability_exclusion_filters) {
        (Some(mode), filters) => {
            let granted = context
                .authorize::<kinds::PutImageTagMutability>(repository.clone())
                .await?;
            update.tag_mutability = Some((granted, mutability(mode, filters.unwrap_or_default())?));
        }
        (None, Some(_)) => {
            let reason = "exclusion filters need imageTagMutability beside them";
            return Err(Problem::invalid_member(FILTERS, reason));
        }
        (None, None) => {}
    }
    if let Some(scanning) = body.image_scanning_configuration {
        let granted = context
            .authorize::<kinds::PutImageScanningConfiguration>(repository.clone())
            .await?;
        update.scan_on_push = Some((granted, scanning.scan_on_push));
    }
    if let Some(is_allowed) = body.allow_sparse_indexes {
        let granted = context
            .authorize::<kinds::PutImageTagMutability>(repository.clone())
            .await?;
        update.allow_sparse_indexes = Some((granted, is_allowed));
    }
    if update.is_empty() {
        // Nothing to change, and nothing to be told to whom may not even see it.
        context.authorize::<kinds::DescribeRepositories>(repository).await?;
    }
    answer(
        &context,
        &context.plane.update_repository(update, context.if_match()?).await?,
    )
}

pub(crate) async fn delete(context: Context) -> Handled {
    let query: DeleteRepository = context.query()?;
    let granted = context
        .authorize::<kinds::DeleteRepository>(context.repository(query.registry_id)?)
        .await?;
    let deleted = context
        .plane
        .delete_repository(&granted, query.force, context.if_match()?)
        .await?;
    json(StatusCode::OK, &shape(&context.plane, &deleted), None)
}

pub(crate) async fn usage(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DescribeImages>(context.repository(registry_id)?)
        .await?;
    let usage = context.plane.repository_usage(&granted).await?;
    let usage = RepositoryUsage {
        image_count: usage.images,
        tag_count: usage.tags,
        size_in_bytes: usage.bytes,
        restorable_image_count: usage.deleted_images,
    };
    json(StatusCode::OK, &usage, None)
}

fn answer(context: &Context, record: &RepositoryRecord) -> Result<Response, Problem> {
    json(StatusCode::OK, &shape(&context.plane, record), Some(record.version))
}

pub(super) const FILTERS: &str = "/imageTagMutabilityExclusionFilters";

pub(super) fn mutability(
    mode: TagMutabilityMode,
    filters: Vec<ImageTagMutabilityExclusionFilter>,
) -> Result<TagMutability, Problem> {
    let filters = filters.into_iter().map(|filter| filter.filter);
    TagMutability::new(mode, filters).map_err(|error| Problem::invalid_member(FILTERS, error.rule()))
}

pub(super) fn tags(tags: Vec<ResourceTag>) -> Result<ResourceTags, Problem> {
    Ok(ResourceTags::new(tags.into_iter().map(|tag| (tag.key, tag.value)))?)
}

pub(super) fn tag_list(tags: &ResourceTags) -> Vec<ResourceTag> {
    tags.iter()
        .map(|(key, value)| ResourceTag {
            key: key.to_owned(),
            value: value.to_owned(),
        })
        .collect()
}

fn shape(plane: &ControlPlane, record: &RepositoryRecord) -> Repository {
    Repository {
        repository_arn: plane.arn(&record.path).to_string(),
        registry_id: record.path.account.clone(),
        repository_name: record.path.name.clone(),
        repository_uri: plane.settings().repository_uri(&record.path),
        created_at: record.created_at,
        image_tag_mutability: record.tag_mutability.mode(),
        image_tag_mutability_exclusion_filters: record.tag_mutability.filters().cloned().map(Into::into).collect(),
        image_scanning_configuration: ImageScanningConfiguration {
            scan_on_push: record.scan_on_push,
        },
        allow_sparse_indexes: record.allow_sparse_indexes,
        encryption_configuration: EncryptionConfiguration {
            encryption_type: record.encryption.kind,
            kms_key: record.encryption.kms_key.clone(),
        },
        tags: tag_list(&record.tags),
    }
}
