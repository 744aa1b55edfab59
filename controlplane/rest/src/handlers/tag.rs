// SPDX-License-Identifier: Apache-2.0
//! `/repositories/{repositoryName}/tags`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::Reference;
use hythe_operations::{RollbackTagError, RollbackTo, TagDetail};
use hythe_wire::{
    DescribeTag, ImageTag, InRegistry, ListQuery, PutImageTag, RollBackTag, RolledBackTag, TagHistory, TagMove, TagPage,
};

use super::image::delete_what;
use super::{Handled, json};
use crate::Problem;
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
    let DescribeTag { registry_id, as_of } = context.query()?;
    let granted = context
        .authorize_tag::<kinds::ListImages>(context.repository(registry_id)?)
        .await?;
    let tag = context.tag()?;
    let detail = match as_of {
        None => context.plane.tag(&granted, &tag).await?,
        Some(at) => context.plane.tag_as_of(&granted, tag, at).await?,
    };
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

pub(crate) async fn roll_back(context: Context, Json(body): Json<RollBackTag>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let (repository, tag) = (context.repository(registry_id)?, context.tag()?);
    let granted = context.authorize_tag::<kinds::PutImage>(repository.clone()).await?;
    let to = match (body.sequence, body.as_of) {
        (None, None) => RollbackTo::Previous,
        (Some(sequence), None) => RollbackTo::Sequence(sequence),
        (None, Some(at)) => RollbackTo::Time(at),
        (Some(_), Some(_)) => {
            let reason = "it cannot be given together with sequence";
            return Err(Problem::invalid_member("/asOf", reason));
        }
    };
    let mut done = context.plane.roll_back_tag(&granted, None, &tag, to).await;
    if let Err(RollbackTagError::NeedsRestoration(_)) = done {
        let restoring = context.authorize::<kinds::RestoreImage>(repository).await?;
        done = context.plane.roll_back_tag(&granted, Some(&restoring), &tag, to).await;
    }
    let done = done?;
    let answer = RolledBackTag {
        image_tag: done.tag.tag,
        image_digest: done.tag.digest,
        moved_at: done.tag.moved_at,
        sequence: done.tag.version,
        previous_image_digest: done.from,
        is_image_restored: done.is_image_restored,
    };
    json(StatusCode::OK, &answer, None)
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
        sequence: change.sequence,
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
        sequence: detail.version,
    }
}
