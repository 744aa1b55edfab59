// SPDX-License-Identifier: Apache-2.0
//! `/repositories/{repositoryName}/resource-tags`.

use http::StatusCode;
use hythe_access::{RequestContext, kinds};
use hythe_model::AccountId;
use hythe_operations::{RepositoryRecord, ResourceTagsError};
use hythe_wire::{InRegistry, PutResourceTags, ResourceTagList};
use schemars::JsonSchema;

use super::repository::{tag_list, tags};
use super::{Handled, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

/// How often a replacement without an expected version is tried anew when others change the repository at the same time.
const MAX_ATTEMPTS: usize = 5;
/// The most keys in one request. A repository has at most 50 tags.
const MAX_TAG_KEYS: usize = 200;

/// Parameters of the removal of resource tags.
#[derive(Debug, Default, JsonSchema)]
#[schemars(rename_all = "camelCase")]
pub(crate) struct UntagResource {
    /// The account whose registry is meant; the caller's own by default.
    registry_id: Option<AccountId>,
    /// The keys of the tags to remove; the parameter is repeated for each.
    #[schemars(length(min = 1, max = 200))]
    tag_keys: Vec<String>,
}

pub(crate) async fn list(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::ListTagsForResource>(context.repository(registry_id)?)
        .await?;
    answer(&context.plane.resource_tags(&granted).await?)
}

pub(crate) async fn replace(context: Context, Json(body): Json<PutResourceTags>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let tagging = context
        .authorize_tags::<kinds::TagResource>(repository.clone(), &body.tags)
        .await?;
    let (tags, version) = (tags(body.tags)?, context.if_match()?);
    let mut attempts = 1..=MAX_ATTEMPTS;
    loop {
        let replaced = context.plane.replaced_resource_tags(&tagging, &tags).await?;
        let named = RequestContext {
            tag_keys: replaced.removed,
            ..RequestContext::default()
        };
        let untagging = context
            .authorize_with::<kinds::UntagResource>(repository.clone(), &named)
            .await?;
        if version.is_some_and(|version| version != replaced.version) {
            return Err(ResourceTagsError::VersionMismatch.into());
        }
        // What was permitted is the removal of the tags that were there, and of no others.
        let done = context
            .plane
            .replace_resource_tags((&tagging, &untagging), tags.clone(), Some(replaced.version))
            .await;
        match done {
            Err(ResourceTagsError::VersionMismatch) if version.is_none() && attempts.next().is_some() => {}
            done => return answer(&done?),
        }
    }
}

pub(crate) async fn merge(context: Context, Json(body): Json<PutResourceTags>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize_tags::<kinds::TagResource>(context.repository(registry_id)?, &body.tags)
        .await?;
    answer(
        &context
            .plane
            .merge_resource_tags(&granted, tags(body.tags)?, context.if_match()?)
            .await?,
    )
}

pub(crate) async fn remove(context: Context) -> Handled {
    let query = UntagResource::parse(context.query()?)?;
    let named = RequestContext {
        tag_keys: query.tag_keys.clone(),
        ..RequestContext::default()
    };
    let granted = context
        .authorize_with::<kinds::UntagResource>(context.repository(query.registry_id)?, &named)
        .await?;
    answer(
        &context
            .plane
            .remove_resource_tags(&granted, query.tag_keys, context.if_match()?)
            .await?,
    )
}

impl UntagResource {
    fn parse(pairs: Vec<(String, String)>) -> Result<Self, Problem> {
        let mut query = Self::default();
        for (name, value) in pairs {
            match name.as_str() {
                "registryId" if query.registry_id.is_none() => {
                    query.registry_id = Some(value.parse().map_err(|error| Problem::invalid("registryId", error))?);
                }
                "tagKeys" => query.tag_keys.push(value),
                _ => {
                    let reason = format!("unknown or repeated parameter `{name}`, expected `registryId` or `tagKeys`");
                    return Err(Problem::invalid("query", reason));
                }
            }
        }
        if (1..=MAX_TAG_KEYS).contains(&query.tag_keys.len()) {
            Ok(query)
        } else {
            Err(Problem::invalid(
                "tagKeys",
                format!("it must be given 1 to {MAX_TAG_KEYS} times"),
            ))
        }
    }
}

fn answer(record: &RepositoryRecord) -> Handled {
    json(
        StatusCode::OK,
        &ResourceTagList {
            tags: tag_list(&record.tags),
        },
        Some(record.version),
    )
}
