// SPDX-License-Identifier: Apache-2.0
//! `/policies`.

use http::StatusCode;
use hythe_access::{PolicyName, kinds};
use hythe_operations::{NewPolicy, PolicyChange, PolicyDescription, PolicyGrammar, PolicyScope, UnknownAction};
use hythe_wire::{CreatePolicy, InRegistry, ListPolicies, Policy, PolicyPage, PolicyWarning, UpdatePolicy, path};

use super::repository::{tag_list, tags};
use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListPolicies = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context.authorize::<kinds::ListPolicies>(account.clone()).await?;
    let (scope, filter) = match query.scope.unwrap_or_default() {
        hythe_wire::PolicyScope::All => (PolicyScope::All, "All"),
        hythe_wire::PolicyScope::Managed => (PolicyScope::Managed, "AWS"),
        hythe_wire::PolicyScope::Local => (PolicyScope::Local, "Local"),
    };
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[filter])?;
    let found = context
        .plane
        .policies(&granted, scope, page.after()?, page.limit)
        .await?;
    let answer = PolicyPage {
        policies: found.items.into_iter().map(shape).collect(),
        next_token: page.token(context.plane.gate(), found.next),
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn create(context: Context, Json(body): Json<CreatePolicy>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let name: PolicyName = body
        .policy_name
        .parse()
        .map_err(|error| Problem::invalid_member("/policyName", error))?;
    context.concerns(format!("arn:aws:iam::{account}:policy/{name}"));
    let granted = context.authorize::<kinds::CreatePolicy>(account.clone()).await?;
    let new = NewPolicy {
        name,
        description: body.description,
        text: body.policy_document,
        tags: tags(body.resource_tags.unwrap_or_default()).map_err(|problem| problem.at("/resourceTags"))?,
    };
    let policy = context.plane.create_policy(&granted, new).await?;
    let version = policy.version;
    let answer = warned(policy);
    created(&path::policy(&answer.policy_name), &answer, version)
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::ListPolicies>(context.account(registry_id))
        .await?;
    answer(context.plane.policy(&granted, &context.path("policyName")?).await?)
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdatePolicy>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::CreatePolicyVersion>(context.account(registry_id))
        .await?;
    let resource_tags = body.resource_tags.map(tags).transpose();
    let change = PolicyChange {
        description: body.description,
        text: Some(body.policy_document),
        tags: resource_tags.map_err(|problem| problem.at("/resourceTags"))?,
    };
    let (name, version) = (context.path("policyName")?, context.if_match()?);
    let policy = context.plane.update_policy(&granted, &name, change, version).await?;
    let version = policy.version;
    json(StatusCode::OK, &warned(policy), version)
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeletePolicy>(context.account(registry_id))
        .await?;
    let (name, version) = (context.path("policyName")?, context.if_match()?);
    let deleted = context.plane.delete_policy(&granted, &name, version).await?;
    json(StatusCode::OK, &shape(deleted), None)
}

fn answer(policy: PolicyDescription) -> Handled {
    let version = policy.version;
    json(StatusCode::OK, &shape(policy), version)
}

fn warned(policy: PolicyDescription) -> Policy {
    let warnings = warnings(&policy.text, PolicyGrammar::Identity);
    Policy {
        warnings,
        ..shape(policy)
    }
}

fn shape(policy: PolicyDescription) -> Policy {
    Policy {
        policy_name: policy.name.to_string(),
        arn: policy.arn,
        description: policy.description,
        policy_document: policy.text,
        is_managed: policy.is_managed,
        attachment_count: policy.attachments,
        resource_tags: tag_list(&policy.tags),
        created_at: policy.created_at,
        updated_at: policy.updated_at,
        warnings: Vec::new(),
    }
}

/// What whoever sets a policy should know.
pub(super) fn warnings(text: &str, grammar: PolicyGrammar) -> Vec<PolicyWarning> {
    let unknown = hythe_operations::Policy::parse(text, grammar).map(|policy| policy.unknown_actions());
    let warning = |unknown: UnknownAction| PolicyWarning {
        message: unknown.to_string(),
        pointer: unknown.pointer,
    };
    unknown.unwrap_or_default().into_iter().map(warning).collect()
}
