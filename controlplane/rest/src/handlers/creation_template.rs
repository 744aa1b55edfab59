// SPDX-License-Identifier: Apache-2.0
//! `/repository-creation-templates`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::{Encryption, RepositoryPrefix};
use hythe_operations::{CreationTemplateChange, CreationTemplateRecord};
use hythe_wire::{
    CreateRepositoryCreationTemplate, EncryptionConfiguration, InRegistry, ListQuery, RepositoryCreationTemplate,
    RepositoryCreationTemplatePage, UpdateRepositoryCreationTemplate, path,
};

use super::repository::{FILTERS, mutability, tag_list, tags};
use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context
        .authorize::<kinds::DescribeRepositoryCreationTemplates>(account.clone())
        .await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context
        .plane
        .creation_templates(&granted, page.after()?, page.limit)
        .await?;
    let answer = RepositoryCreationTemplatePage {
        repository_creation_templates: found.items.into_iter().map(shape).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn create(context: Context, Json(body): Json<CreateRepositoryCreationTemplate>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::CreateRepositoryCreationTemplate>(context.account(registry_id))
        .await?;
    let change = UpdateRepositoryCreationTemplate {
        applied_for: Some(body.applied_for),
        description: body.description,
        image_tag_mutability: body.image_tag_mutability,
        image_tag_mutability_exclusion_filters: body.image_tag_mutability_exclusion_filters,
        allow_sparse_indexes: body.allow_sparse_indexes,
        encryption_configuration: body.encryption_configuration,
        resource_tags: body.resource_tags,
        repository_policy: body.repository_policy,
        lifecycle_policy: body.lifecycle_policy,
    };
    let template = context
        .plane
        .create_creation_template(&granted, body.prefix, change_of(change)?)
        .await?;
    let version = template.version;
    let answer = shape(template);
    created(
        &path::repository_creation_template(&answer.prefix),
        &answer,
        Some(version),
    )
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DescribeRepositoryCreationTemplates>(context.account(registry_id))
        .await?;
    let template = context.plane.creation_template(&granted, &prefix(&context)?).await?;
    let version = template.version;
    json(StatusCode::OK, &shape(template), Some(version))
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateRepositoryCreationTemplate>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::UpdateRepositoryCreationTemplate>(context.account(registry_id))
        .await?;
    let template = context
        .plane
        .update_creation_template(&granted, &prefix(&context)?, change_of(body)?, context.if_match()?)
        .await?;
    let version = template.version;
    json(StatusCode::OK, &shape(template), Some(version))
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeleteRepositoryCreationTemplate>(context.account(registry_id))
        .await?;
    let template = context
        .plane
        .delete_creation_template(&granted, &prefix(&context)?, context.if_match()?)
        .await?;
    json(StatusCode::OK, &shape(template), None)
}

fn prefix(context: &Context) -> Result<RepositoryPrefix, Problem> {
    context.path("prefix")
}

fn change_of(body: UpdateRepositoryCreationTemplate) -> Result<CreationTemplateChange, Problem> {
    let tag_mutability = match (body.image_tag_mutability, body.image_tag_mutability_exclusion_filters) {
        (Some(mode), filters) => Some(mutability(mode, filters.unwrap_or_default())?),
        (None, Some(_)) => {
            let reason = "exclusion filters need imageTagMutability beside them";
            return Err(Problem::invalid_member(FILTERS, reason));
        }
        (None, None) => None,
    };
    let encryption = body.encryption_configuration.map(|encryption| Encryption {
        kind: encryption.encryption_type,
        kms_key: encryption.kms_key,
    });
    Ok(CreationTemplateChange {
        description: body.description,
        applied_for: body.applied_for,
        tag_mutability,
        allow_sparse_indexes: body.allow_sparse_indexes,
        encryption,
        tags: body.resource_tags.map(tags).transpose()?,
        repository_policy: body.repository_policy,
        lifecycle_policy: body.lifecycle_policy,
    })
}

fn shape(template: CreationTemplateRecord) -> RepositoryCreationTemplate {
    let settings = template.settings;
    let filters = settings.tag_mutability.filters().cloned().map(Into::into).collect();
    RepositoryCreationTemplate {
        registry_id: template.account,
        prefix: template.prefix,
        description: settings.description,
        applied_for: settings.applied_for,
        image_tag_mutability: settings.tag_mutability.mode(),
        image_tag_mutability_exclusion_filters: filters,
        allow_sparse_indexes: settings.allow_sparse_indexes,
        encryption_configuration: EncryptionConfiguration {
            encryption_type: settings.encryption.kind,
            kms_key: settings.encryption.kms_key,
        },
        resource_tags: tag_list(&settings.tags),
        repository_policy: settings.repository_policy,
        lifecycle_policy: settings.lifecycle_policy,
        created_at: template.created_at,
        updated_at: template.updated_at,
    }
}
