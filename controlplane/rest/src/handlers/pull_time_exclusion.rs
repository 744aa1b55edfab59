// SPDX-License-Identifier: Apache-2.0
//! `/registry/pull-time-exclusions`.

use http::StatusCode;
use hythe_access::{PrincipalArn, kinds};
use hythe_operations::PullTimeExclusion;
use hythe_wire::{
    InRegistry, ListQuery, PullTimeUpdateExclusion, PullTimeUpdateExclusionPage, RegisterPullTimeUpdateExclusion, path,
};

use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context
        .authorize::<kinds::ListPullTimeUpdateExclusions>(account.clone())
        .await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context
        .plane
        .pull_time_exclusions(&granted, page.after()?, page.limit)
        .await?;
    let answer = PullTimeUpdateExclusionPage {
        pull_time_update_exclusions: found.items.into_iter().map(shape).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn register(context: Context, Json(body): Json<RegisterPullTimeUpdateExclusion>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::RegisterPullTimeUpdateExclusion>(context.account(registry_id))
        .await?;
    let principal: PrincipalArn = body
        .principal_arn
        .parse()
        .map_err(|error| Problem::invalid_member("/principalArn", error))?;
    let registered = context.plane.register_pull_time_exclusion(&granted, &principal).await?;
    let location = path::pull_time_exclusion(&registered.principal_arn);
    created(&location, &shape(registered), None)
}

pub(crate) async fn deregister(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeregisterPullTimeUpdateExclusion>(context.account(registry_id))
        .await?;
    let principal: PrincipalArn = context.path("principalArn")?;
    let removed = context
        .plane
        .deregister_pull_time_exclusion(&granted, &principal)
        .await?;
    json(StatusCode::OK, &shape(removed), None)
}

fn shape(exclusion: PullTimeExclusion) -> PullTimeUpdateExclusion {
    PullTimeUpdateExclusion {
        principal_arn: exclusion.principal_arn,
        created_at: exclusion.created_at,
    }
}
