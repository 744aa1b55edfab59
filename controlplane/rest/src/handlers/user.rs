// SPDX-License-Identifier: Apache-2.0
//! `/users`.

use std::collections::BTreeSet;

use http::StatusCode;
use hythe_access::{Principal, UserName, kinds};
use hythe_operations::{ManagedPolicy, UserRecord};
use hythe_wire::{CreateUser, InRegistry, ListQuery, UpdateUser, User, UserPage, path};

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
    let granted = context.authorize::<kinds::CreateUser>(account.clone()).await?;
    let name: UserName = body
        .user_name
        .parse()
        .map_err(|error| Problem::invalid_member("/userName", error))?;
    let policies = match policies(&body.policies) {
        policies if policies.is_empty() => None,
        policies => Some((
            context.authorize::<kinds::AttachUserPolicy>(account.clone()).await?,
            policies,
        )),
    };
    context.note_resource(Principal::User(account, name.clone()).to_string());
    let user = context.plane.create_user(&granted, name, policies).await?;
    let version = user.version;
    created(&path::user(user.name.as_str()), &shape(user), Some(version))
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::ListUsers>(context.account(registry_id))
        .await?;
    let user = context.plane.user(&granted, &context.path("userName")?).await?;
    let version = user.version;
    json(StatusCode::OK, &shape(user), Some(version))
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateUser>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::AttachUserPolicy>(context.account(registry_id))
        .await?;
    let wanted = body.policies.ok_or_else(|| {
        Problem::invalid_member(
            "/policies",
            "the request changes nothing: give the policies of the user",
        )
    })?;
    let (name, version) = (context.path("userName")?, context.if_match()?);
    let user = context
        .plane
        .set_user_policies(&granted, &name, policies(&wanted), version)
        .await?;
    let version = user.version;
    json(StatusCode::OK, &shape(user), Some(version))
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeleteUser>(context.account(registry_id))
        .await?;
    let user = context.plane.delete_user(&granted, &context.path("userName")?).await?;
    json(StatusCode::OK, &shape(user), None)
}

fn policies(names: &[hythe_wire::ManagedPolicy]) -> BTreeSet<ManagedPolicy> {
    let policy = |name: &hythe_wire::ManagedPolicy| match name {
        hythe_wire::ManagedPolicy::ReadOnly => ManagedPolicy::ReadOnly,
        hythe_wire::ManagedPolicy::PowerUser => ManagedPolicy::PowerUser,
        hythe_wire::ManagedPolicy::PullOnly => ManagedPolicy::PullOnly,
        hythe_wire::ManagedPolicy::FullAccess => ManagedPolicy::FullAccess,
    };
    names.iter().map(policy).collect()
}

fn shape(user: UserRecord) -> User {
    User {
        arn: Principal::User(user.account, user.name.clone()).to_string(),
        user_name: user.name.to_string(),
        policies: user.policies,
        created_at: user.created_at,
    }
}
