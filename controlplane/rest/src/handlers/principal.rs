// SPDX-License-Identifier: Apache-2.0
//! What the handlers of users, groups and roles have in common.

use hythe_access::{ActionKind, Granted, RequestContext, kinds};
use hythe_model::{AccountId, ResourceTags};
use hythe_operations::{AttachmentChange, MAX_DESCRIPTION_CHARS, PolicyRef};
use hythe_wire::ResourceTag;

use crate::Problem;
use crate::context::Context;

/// The most policies that one request may name; a principal may have fewer.
const MAX_POLICIES_IN_REQUEST: usize = 100;

/// A text for people out of the member `pointer`: no control characters but tabs and line ends.
pub(super) fn description(pointer: &str, text: String) -> Result<String, Problem> {
    let is_allowed = |c: char| !c.is_control() || matches!(c, '\t' | '\n' | '\r');
    if text.chars().count() <= MAX_DESCRIPTION_CHARS && text.chars().all(is_allowed) {
        return Ok(text);
    }
    let reason = format!("it must have at most {MAX_DESCRIPTION_CHARS} characters, none of them a control character");
    Err(Problem::invalid_member(pointer, reason))
}

/// The policies of a new principal with the permission to attach them, which `A` is; without policies it takes none.
pub(super) async fn attaching<A: ActionKind<Resource = AccountId>>(
    context: &Context,
    account: &AccountId,
    names: &[String],
) -> Result<Option<(Granted<A>, Vec<PolicyRef>)>, Problem> {
    let policies = policies(names, account)?;
    if policies.is_empty() {
        return Ok(None);
    }
    Ok(Some((context.authorize::<A>(account.clone()).await?, policies)))
}

/// The policies that take the place of all that a principal has, if the request names some, with the permission for it.
pub(super) async fn replacing<A: ActionKind<Resource = AccountId>>(
    context: &Context,
    account: &AccountId,
    names: Option<&[String]>,
) -> Result<Option<(Granted<A>, AttachmentChange)>, Problem> {
    let Some(names) = names else { return Ok(None) };
    let granted = context.authorize::<A>(account.clone()).await?;
    Ok(Some((granted, AttachmentChange::Replace(policies(names, account)?))))
}

/// The boundary of a new principal with the permission to set it.
pub(super) async fn bounding(
    context: &Context,
    account: &AccountId,
    name: Option<&str>,
) -> Result<Option<(Granted<kinds::PutPermissionsBoundary>, PolicyRef)>, Problem> {
    let Some(name) = name else { return Ok(None) };
    let boundary = boundary(name, account)?;
    Ok(Some((context.authorize(account.clone()).await?, boundary)))
}

/// The boundary that a principal shall have from now on, or none, if the request says so; with the permission to set it.
pub(super) async fn rebounding(
    context: &Context,
    account: &AccountId,
    change: Option<&Option<String>>,
) -> Result<Option<(Granted<kinds::PutPermissionsBoundary>, Option<PolicyRef>)>, Problem> {
    let Some(wanted) = change else { return Ok(None) };
    let granted = context.authorize(account.clone()).await?;
    let wanted = wanted.as_deref().map(|name| boundary(name, account)).transpose()?;
    Ok(Some((granted, wanted)))
}

/// The policies that the member `/policies` names.
fn policies(names: &[String], account: &AccountId) -> Result<Vec<PolicyRef>, Problem> {
    if names.len() > MAX_POLICIES_IN_REQUEST {
        let reason = format!("it must name at most {MAX_POLICIES_IN_REQUEST} policies");
        return Err(Problem::invalid_member("/policies", reason));
    }
    let policy = |(index, name): (usize, &String)| {
        PolicyRef::parse(name, account).map_err(|error| Problem::invalid_member(&format!("/policies/{index}"), error))
    };
    names.iter().enumerate().map(policy).collect()
}

/// The policy that the member `/permissionsBoundary` names.
fn boundary(name: &str, account: &AccountId) -> Result<PolicyRef, Problem> {
    PolicyRef::parse(name, account).map_err(|error| Problem::invalid_member("/permissionsBoundary", error))
}

/// The tags of the member `/resourceTags`.
pub(super) fn resource_tags(tags: Vec<ResourceTag>) -> Result<ResourceTags, Problem> {
    ResourceTags::new(tags.into_iter().map(|tag| (tag.key, tag.value)))
        .map_err(|error| Problem::from(error).at("/resourceTags"))
}

/// The tags of a new user or role with the permission to set them, which `A` is; without tags it takes none.
pub(super) async fn tagging<A: ActionKind<Resource = AccountId>>(
    context: &Context,
    account: &AccountId,
    tags: Vec<ResourceTag>,
) -> Result<Option<(Granted<A>, ResourceTags)>, Problem> {
    if tags.is_empty() {
        return Ok(None);
    }
    let granted = context.authorize_tags::<A>(account.clone(), &tags).await?;
    Ok(Some((granted, resource_tags(tags)?)))
}

/// The permission to remove tags with these keys.
pub(super) async fn untagging<A: ActionKind<Resource = AccountId>>(
    context: &Context,
    account: &AccountId,
    keys: Vec<String>,
) -> Result<Granted<A>, Problem> {
    let named = RequestContext {
        tag_keys: keys,
        ..RequestContext::default()
    };
    context.authorize_with::<A>(account.clone(), &named).await
}

/// The names, as answers have them.
pub(super) fn names<T: ToString>(things: &[T]) -> Vec<String> {
    things.iter().map(ToString::to_string).collect()
}
