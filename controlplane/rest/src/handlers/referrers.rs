// SPDX-License-Identifier: Apache-2.0
//! `/repositories/{repositoryName}/referrers/{imageDigest}`.

use http::StatusCode;
use hythe_access::kinds;
use hythe_wire::{ListReferrers, Referrer, ReferrerPage};

use super::{Handled, json};
use crate::Problem;
use crate::context::Context;

/// The longest artifact type, in characters (ECR, `ListImageReferrers`).
const MAX_ARTIFACT_TYPE_CHARS: usize = 255;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListReferrers = context.query()?;
    let repository = context.repository(query.registry_id)?;
    let kind = query.artifact_type.as_deref();
    if kind.is_some_and(|kind| !(1..=MAX_ARTIFACT_TYPE_CHARS).contains(&kind.chars().count())) {
        return Err(Problem::invalid(
            "artifactType",
            format!("it must have 1 to {MAX_ARTIFACT_TYPE_CHARS} characters"),
        ));
    }
    let granted = context.authorize::<kinds::BatchGetImage>(repository.clone()).await?;
    // Who may not gets what is known.
    let import = context
        .authorize::<kinds::BatchImportUpstreamImage>(repository.clone())
        .await;
    let import = import.ok();
    let filters = [kind.unwrap_or_default()];
    let page = context.page(
        query.max_results,
        query.next_token.as_deref(),
        &repository.account,
        &filters,
    )?;
    let found = context
        .plane
        .referrers(
            &granted,
            import.as_ref(),
            &context.digest()?,
            kind,
            page.after()?,
            page.limit,
        )
        .await?;
    let referrers = found.items.into_iter().map(|referrer| Referrer {
        digest: referrer.digest,
        media_type: referrer.media_type,
        artifact_type: referrer.artifact_type,
        size: referrer.size,
        annotations: referrer.annotations,
    });
    let next_token = page.token(context.plane.gate(), found.next);
    json(
        StatusCode::OK,
        &ReferrerPage {
            referrers: referrers.collect(),
            next_token,
        },
        None,
    )
}
