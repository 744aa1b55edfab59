// SPDX-License-Identifier: Apache-2.0
//! `/pull-through-cache-rules`, and `/repositories/{repositoryName}/upstream-refreshes`.

use http::StatusCode;
use hythe_access::{Secret, kinds};
use hythe_model::RepositoryPrefix;
use hythe_operations::{CacheRuleChange, CacheRuleRecord, NewCacheRule, UpstreamCredential};
use hythe_wire::{
    CreatePullThroughCacheRule, InRegistry, ListQuery, MirrorStatus, PullThroughCacheCredential, PullThroughCacheRule,
    PullThroughCacheRulePage, PullThroughCacheRuleValidation, PullThroughCacheUser, RefreshPullThroughCache,
    RefreshedPullThroughCache, UpdatePullThroughCacheRule, path,
};

use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context
        .authorize::<kinds::DescribePullThroughCacheRules>(account.clone())
        .await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context.plane.cache_rules(&granted, page.after()?, page.limit).await?;
    let answer = PullThroughCacheRulePage {
        pull_through_cache_rules: found.items.into_iter().map(shape).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn create(context: Context, Json(body): Json<CreatePullThroughCacheRule>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::CreatePullThroughCacheRule>(context.account(registry_id))
        .await?;
    let new = NewCacheRule {
        prefix: body.ecr_repository_prefix,
        upstream: body.upstream_registry_url,
        upstream_registry: body.upstream_registry,
        upstream_prefix: body.upstream_repository_prefix,
        credential: body.credential.map(credential),
        tag_freshness_seconds: body.tag_freshness_seconds,
        mirror: body.mirror,
    };
    let rule = context.plane.create_cache_rule(&granted, new).await?;
    let version = rule.version;
    let answer = shape(rule);
    created(
        &path::pull_through_cache_rule(&answer.ecr_repository_prefix),
        &answer,
        Some(version),
    )
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DescribePullThroughCacheRules>(context.account(registry_id))
        .await?;
    let rule = context.plane.cache_rule(&granted, &prefix(&context)?).await?;
    let version = rule.version;
    json(StatusCode::OK, &shape(rule), Some(version))
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdatePullThroughCacheRule>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::UpdatePullThroughCacheRule>(context.account(registry_id))
        .await?;
    let new_credential = match (body.credential, body.remove_credential) {
        (Some(_), true) => {
            let reason = "it cannot be removed and set at once";
            return Err(Problem::invalid_member("/removeCredential", reason));
        }
        (Some(given), false) => Some(Some(credential(given))),
        (None, true) => Some(None),
        (None, false) => None,
    };
    let mirror = match (body.mirror, body.remove_mirror) {
        (Some(_), true) => {
            let reason = "it cannot be removed and set at once";
            return Err(Problem::invalid_member("/removeMirror", reason));
        }
        (Some(settings), false) => Some(Some(settings)),
        (None, true) => Some(None),
        (None, false) => None,
    };
    let change = CacheRuleChange {
        credential: new_credential,
        tag_freshness_seconds: body.tag_freshness_seconds,
        mirror,
    };
    let rule = context
        .plane
        .update_cache_rule(&granted, &prefix(&context)?, change, context.if_match()?)
        .await?;
    let version = rule.version;
    json(StatusCode::OK, &shape(rule), Some(version))
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeletePullThroughCacheRule>(context.account(registry_id))
        .await?;
    let rule = context
        .plane
        .delete_cache_rule(&granted, &prefix(&context)?, context.if_match()?)
        .await?;
    json(StatusCode::OK, &shape(rule), None)
}

pub(crate) async fn validate(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::ValidatePullThroughCacheRule>(context.account(registry_id))
        .await?;
    let (rule, failure) = context.plane.validate_cache_rule(&granted, &prefix(&context)?).await?;
    let answer = PullThroughCacheRuleValidation {
        registry_id: rule.account,
        ecr_repository_prefix: rule.prefix,
        upstream_registry_url: rule.upstream,
        upstream_repository_prefix: rule.upstream_prefix,
        is_valid: failure.is_none(),
        failure,
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn refresh(context: Context, Json(body): Json<RefreshPullThroughCache>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let repository = context.repository(registry_id)?;
    let granted = context
        .authorize::<kinds::BatchImportUpstreamImage>(repository.clone())
        .await?;
    let refreshed_tags = context
        .plane
        .refresh_upstream(&granted, body.image_tag.as_ref())
        .await?;
    let answer = RefreshedPullThroughCache {
        registry_id: repository.account,
        repository_name: repository.name,
        refreshed_tags,
    };
    json(StatusCode::OK, &answer, None)
}

fn prefix(context: &Context) -> Result<RepositoryPrefix, Problem> {
    context.path("prefix")
}

fn credential(given: PullThroughCacheCredential) -> UpstreamCredential {
    UpstreamCredential {
        username: given.username,
        access_token: Secret::new(given.access_token.expose()),
    }
}

fn shape(rule: CacheRuleRecord) -> PullThroughCacheRule {
    let mirror_status = rule.mirror.as_ref().map(|mirror| MirrorStatus {
        next_run_at: mirror.due_at,
        succeeded_at: mirror.succeeded_at,
    });
    PullThroughCacheRule {
        registry_id: rule.account,
        ecr_repository_prefix: rule.prefix,
        upstream_registry_url: rule.upstream,
        upstream_registry: rule.upstream_registry,
        upstream_repository_prefix: rule.upstream_prefix,
        credential: rule.credential.map(|credential| PullThroughCacheUser {
            username: credential.username,
        }),
        tag_freshness_seconds: rule.tag_freshness_seconds,
        mirror: rule.mirror.map(|mirror| mirror.settings),
        mirror_status,
        created_at: rule.created_at,
        updated_at: rule.updated_at,
    }
}
