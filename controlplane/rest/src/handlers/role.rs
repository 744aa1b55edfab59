// SPDX-License-Identifier: Apache-2.0
//! `/roles`.

use http::StatusCode;
use hythe_access::{RoleName, RolePath, kinds};
use hythe_operations::{
    AttachmentChange, NewRole, PolicyGrammar, PolicyRef, RoleRecord, RoleSettings, RoleUpdate, SessionSeconds,
    TagReplacement, TrustPolicy,
};
use hythe_wire::{CreateRole, InRegistry, ListQuery, Role, RolePage, UpdateRole, path};

use super::policy::warnings;
use super::principal::{
    attaching, bounding, description, names, rebounding, replacing, resource_tags, tagging, untagging,
};
use super::repository::tag_list;
use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context.authorize::<kinds::ListRoles>(account.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context.plane.roles(&granted, page.after()?, page.limit).await?;
    json(
        StatusCode::OK,
        &RolePage {
            roles: found.items.into_iter().map(shape).collect(),
            next_token: page.token(context.plane.gate(), found.next),
        },
        None,
    )
}

pub(crate) async fn create(context: Context, Json(body): Json<CreateRole>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let name: RoleName = body
        .role_name
        .parse()
        .map_err(|error| Problem::invalid_member("/roleName", error))?;
    let path = RolePath {
        account: account.clone(),
        name: name.clone(),
    };
    context.concerns(path.to_string());
    let granted = context
        .authorize_tags::<kinds::CreateRole>(account.clone(), &body.resource_tags)
        .await?;
    let attaching = attaching(&context, &account, &body.policies).await?;
    let tagging = tagging(&context, &account, body.resource_tags).await?;
    let bounding = bounding(&context, &account, body.permissions_boundary.as_deref()).await?;
    let new = NewRole {
        name,
        description: description("/description", body.description)?,
        trust_policy: trust_policy(body.assume_role_policy_document)?,
        max_session: body
            .max_session_duration
            .map(max_session)
            .transpose()?
            .unwrap_or_default(),
        tags: tagging,
        policies: attaching,
        boundary: bounding,
    };
    let role = context.plane.create_role(&granted, new).await?;
    let version = role.version;
    created(&path::role(role.name.clone().as_str()), &warned(role), Some(version))
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::ListRoles>(context.account(registry_id))
        .await?;
    answer(context.plane.role(&granted, &context.path("roleName")?).await?)
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateRole>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let mut update = RoleUpdate::default();
    let has_settings = body.description.is_some() || body.max_session_duration.is_some();
    // A request that changes nothing is nobody's: it takes the same permission as one that does.
    let is_empty = body.assume_role_policy_document.is_none()
        && body.policies.is_none()
        && body.permissions_boundary.is_none()
        && body.resource_tags.is_none();
    if has_settings || is_empty {
        let granted = context.authorize::<kinds::UpdateRole>(account.clone()).await?;
        let settings = RoleSettings {
            description: body
                .description
                .map(|text| description("/description", text))
                .transpose()?,
            max_session: body.max_session_duration.map(max_session).transpose()?,
        };
        update.settings = has_settings.then_some((granted, settings));
    }
    if let Some(text) = body.assume_role_policy_document {
        let granted = context
            .authorize::<kinds::UpdateAssumeRolePolicy>(account.clone())
            .await?;
        update.trust_policy = Some((granted, trust_policy(text)?));
    }
    update.policies = replacing(&context, &account, body.policies.as_deref()).await?;
    update.boundary = rebounding(&context, &account, body.permissions_boundary.as_ref()).await?;
    let (name, version) = (context.path("roleName")?, context.if_match()?);
    if let Some(tags) = body.resource_tags {
        let tagging = context.authorize_tags::<kinds::TagRole>(account.clone(), &tags).await?;
        let tags = resource_tags(tags)?;
        let replaced = context.plane.replaced_role_tags(&tagging, &name, &tags).await?;
        update.tags = Some(TagReplacement {
            tagging,
            untagging: untagging(&context, &account, replaced.removed).await?,
            tags,
            version: replaced.version,
        });
    }
    let sets_trust = update.trust_policy.is_some();
    let role = context.plane.update_role(&name, update, version).await?;
    let version = role.version;
    let answer = if sets_trust { warned(role) } else { shape(role) };
    json(StatusCode::OK, &answer, Some(version))
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeleteRole>(context.account(registry_id))
        .await?;
    let (name, version) = (context.path("roleName")?, context.if_match()?);
    let role = context.plane.delete_role(&granted, &name, version).await?;
    json(StatusCode::OK, &shape(role), None)
}

pub(crate) async fn attach(context: Context) -> Handled {
    change_policies(context, AttachmentChange::Attach).await
}

pub(crate) async fn detach(context: Context) -> Handled {
    change_policies(context, AttachmentChange::Detach).await
}

async fn change_policies(context: Context, change: fn(PolicyRef) -> AttachmentChange) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context.authorize::<kinds::AttachRolePolicy>(account.clone()).await?;
    let update = RoleUpdate {
        policies: Some((granted, change(context.policy(&account)?))),
        ..RoleUpdate::default()
    };
    let (name, version) = (context.path("roleName")?, context.if_match()?);
    answer(context.plane.update_role(&name, update, version).await?)
}

fn trust_policy(text: String) -> Result<TrustPolicy, Problem> {
    TrustPolicy::parse(text).map_err(|error| Problem::invalid_member("/assumeRolePolicyDocument", error))
}

fn max_session(seconds: u32) -> Result<SessionSeconds, Problem> {
    SessionSeconds::new(seconds).ok_or_else(|| {
        let reason = format!("it must be {} to {} seconds", SessionSeconds::MIN, SessionSeconds::MAX);
        Problem::invalid_member("/maxSessionDuration", reason)
    })
}

fn answer(role: RoleRecord) -> Handled {
    let version = role.version;
    json(StatusCode::OK, &shape(role), Some(version))
}

fn shape(role: RoleRecord) -> Role {
    let path = RolePath {
        account: role.account,
        name: role.name,
    };
    Role {
        arn: path.to_string(),
        role_name: path.name.to_string(),
        description: role.description,
        assume_role_policy_document: role.trust_policy,
        max_session_duration: role.max_session_seconds,
        permissions_boundary: role.boundary.as_ref().map(ToString::to_string),
        policies: names(&role.policies),
        resource_tags: tag_list(&role.tags),
        created_at: role.created_at,
        warnings: Vec::new(),
    }
}

/// In answer to who sets the trust policy.
fn warned(role: RoleRecord) -> Role {
    Role {
        warnings: warnings(&role.trust_policy, PolicyGrammar::Trust),
        ..shape(role)
    }
}
