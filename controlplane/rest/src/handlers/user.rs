// SPDX-License-Identifier: Apache-2.0
//! `/users`.

use http::StatusCode;
use hythe_access::{Principal, UserName, kinds};
use hythe_model::AccountId;
use hythe_operations::{AttachmentChange, NewUser, PolicyRef, TagReplacement, UserRecord, UserSettings, UserUpdate};
use hythe_wire::{CreateUser, InRegistry, ListQuery, UpdateUser, User, UserKind, UserPage, path};

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
    let granted = context.authorize::<kinds::ListUsers>(account.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context.plane.users(&granted, page.after()?, page.limit).await?;
    let users = found.items.into_iter().map(shape).collect();
    json(
        StatusCode::OK,
        &UserPage {
            users,
            next_token: page.token(context.plane.gate(), found.next),
        },
        None,
    )
}

pub(crate) async fn create(context: Context, Json(body): Json<CreateUser>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let name: UserName = body
        .user_name
        .parse()
        .map_err(|error| Problem::invalid_member("/userName", error))?;
    context.concerns(Principal::User(account.clone(), name.clone()).to_string());
    let granted = context
        .authorize_tags::<kinds::CreateUser>(account.clone(), &body.resource_tags)
        .await?;
    let attaching = attaching(&context, &account, &body.policies).await?;
    let tagging = tagging(&context, &account, body.resource_tags).await?;
    let bounding = bounding(&context, &account, body.permissions_boundary.as_deref()).await?;
    let new = NewUser {
        name,
        kind: match body.user_kind {
            UserKind::User => hythe_operations::UserKind::User,
            UserKind::ServiceAccount => hythe_operations::UserKind::ServiceAccount,
        },
        description: description("/description", body.description)?,
        tags: tagging,
        expires_at: body.expires_at,
        is_disabled: body.is_disabled,
        policies: attaching,
        boundary: bounding,
    };
    let user = context.plane.create_user(&granted, new).await?;
    let version = user.version;
    created(&path::user(user.name.as_str()), &shape(user), Some(version))
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::GetUser>(context.account(registry_id))
        .await?;
    let user = context.plane.user(&granted, &context.path("userName")?).await?;
    answer(user)
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateUser>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let mut update = UserUpdate::default();
    let has_settings = body.description.is_some() || body.expires_at.is_some() || body.is_disabled.is_some();
    // A request that changes nothing is nobody's: it takes the same permission as one that does.
    let is_empty = body.policies.is_none() && body.permissions_boundary.is_none() && body.resource_tags.is_none();
    if has_settings || is_empty {
        let granted = context.authorize::<kinds::UpdateUser>(account.clone()).await?;
        let settings = UserSettings {
            description: body
                .description
                .map(|text| description("/description", text))
                .transpose()?,
            expires_at: body.expires_at,
            is_disabled: body.is_disabled,
        };
        update.settings = has_settings.then_some((granted, settings));
    }
    update.policies = replacing(&context, &account, body.policies.as_deref()).await?;
    update.boundary = rebounding(&context, &account, body.permissions_boundary.as_ref()).await?;
    let (name, version) = (context.path("userName")?, context.if_match()?);
    if let Some(tags) = body.resource_tags {
        let tagging = context.authorize_tags::<kinds::TagUser>(account.clone(), &tags).await?;
        let tags = resource_tags(tags)?;
        let replaced = context.plane.replaced_user_tags(&tagging, &name, &tags).await?;
        update.tags = Some(TagReplacement {
            tagging,
            untagging: untagging(&context, &account, replaced.removed).await?,
            tags,
            version: replaced.version,
        });
    }
    answer(context.plane.update_user(&name, update, version).await?)
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeleteUser>(context.account(registry_id))
        .await?;
    let (name, version) = (context.path("userName")?, context.if_match()?);
    let user = context.plane.delete_user(&granted, &name, version).await?;
    json(StatusCode::OK, &shape(user), None)
}

pub(crate) async fn attach(context: Context) -> Handled {
    change_policies(context, AttachmentChange::Attach).await
}

pub(crate) async fn detach(context: Context) -> Handled {
    change_policies(context, AttachmentChange::Detach).await
}

async fn change_policies(context: Context, change: fn(PolicyRef) -> AttachmentChange) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account: AccountId = context.account(registry_id);
    let granted = context.authorize::<kinds::AttachUserPolicy>(account.clone()).await?;
    let policy = context.policy(&account)?;
    let update = UserUpdate {
        policies: Some((granted, change(policy))),
        ..UserUpdate::default()
    };
    answer(
        context
            .plane
            .update_user(&context.path("userName")?, update, context.if_match()?)
            .await?,
    )
}

fn answer(user: UserRecord) -> Handled {
    let version = user.version;
    json(StatusCode::OK, &shape(user), Some(version))
}

fn shape(user: UserRecord) -> User {
    User {
        arn: Principal::User(user.account, user.name.clone()).to_string(),
        user_name: user.name.to_string(),
        user_kind: match user.kind {
            hythe_operations::UserKind::User => UserKind::User,
            hythe_operations::UserKind::ServiceAccount => UserKind::ServiceAccount,
        },
        description: user.description,
        policies: names(&user.policies),
        permissions_boundary: user.boundary.as_ref().map(ToString::to_string),
        groups: names(&user.groups),
        resource_tags: tag_list(&user.tags),
        expires_at: user.expires_at,
        is_disabled: user.is_disabled,
        created_at: user.created_at,
    }
}
