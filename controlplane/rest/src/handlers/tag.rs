// SPDX-License-Identifier: Apache-2.0
//! `/repositories/{repositoryName}/tags`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::Reference;
use hythe_operations::TagDetail;
use hythe_wire::{ImageTag, InRegistry, ListQuery, PutImageTag, TagHistory, TagMove, TagPage};

use super::image::delete_what;
use super::{Handled, json};
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let repository = context.repository(query.registry_id)?;
    let granted = context.authorize::<kinds::ListImages>(repository.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &repository.account, &[])?;
    let found = context.plane.tags(&granted, page.after()?, page.limit).await?;
    let tags = found.items.into_iter().map(shape).collect();
    json(
        StatusCode::OK,
        &TagPage {
            tags,
            next_token: page.token(context.plane.gate(), found.next),
        },
        None,
    )
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize_tag::<kinds::ListImages>(context.repository(registry_id)?)
        .await?;
    let detail = context.plane.tag(&granted, &context.tag()?).await?;
    json(StatusCode::OK, &shape(detail), None)
}

pub(crate) async fn put(context: Context, Json(body): Json<PutImageTag>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize_tag::<kinds::PutImage>(context.repository(registry_id)?)
        .await?;
    let detail = context
        .plane
        .set_tag(&granted, context.tag()?, body.image_digest)
        .await?;
    json(StatusCode::OK, &shape(detail), None)
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize_tag::<kinds::BatchDeleteImage>(context.repository(registry_id)?)
        .await?;
    delete_what(&context, &granted, Reference::Tag(context.tag()?)).await
}

pub(crate) async fn history(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let repository = context.repository(query.registry_id)?;
    let granted = context.authorize_tag::<kinds::ListImages>(repository.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &repository.account, &[])?;
    let found = context
        .plane
        .tag_history(&granted, &context.tag()?, page.after()?, page.limit)
        .await?;
    let moves = found.items.into_iter().map(|change| TagMove {
        moved_at: change.moved_at,
        from_digest: change.from,
        to_digest: change.to,
        moved_by: change.moved_by,
    });
    let next_token = page.token(context.plane.gate(), found.next);
    json(
        StatusCode::OK,
        &TagHistory {
            moves: moves.collect(),
            next_token,
        },
        None,
    )
}

fn shape(detail: TagDetail) -> ImageTag {
    ImageTag {
        image_tag: detail.tag,
        image_digest: detail.digest,
        moved_at: detail.moved_at,
    }
}
