// SPDX-License-Identifier: Apache-2.0
//! `/groups`.

use http::StatusCode;
use hythe_access::{GroupName, kinds};
use hythe_model::AccountId;
use hythe_operations::{AttachmentChange, GroupRecord, GroupUpdate, NewGroup, PolicyRef};
use hythe_wire::{CreateGroup, Group, GroupPage, InRegistry, ListQuery, UpdateGroup, path};

use super::principal::{attaching, description, names, replacing};
use super::{Handled, created, json};
use crate::Problem;
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListQuery = context.query()?;
    let account = context.account(query.registry_id);
    let granted = context.authorize::<kinds::ListGroups>(account.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &account, &[])?;
    let found = context.plane.groups(&granted, page.after()?, page.limit).await?;
    json(
        StatusCode::OK,
        &GroupPage {
            groups: found.items.into_iter().map(shape).collect(),
            next_token: page.token(context.plane.gate(), found.next),
        },
        None,
    )
}

pub(crate) async fn create(context: Context, Json(body): Json<CreateGroup>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let name: GroupName = body
        .group_name
        .parse()
        .map_err(|error| Problem::invalid_member("/groupName", error))?;
    context.concerns(arn(&account, &name));
    let granted = context.authorize::<kinds::CreateGroup>(account.clone()).await?;
    let attaching = attaching(&context, &account, &body.policies).await?;
    let new = NewGroup {
        name,
        description: description("/description", body.description)?,
        policies: attaching,
    };
    let group = context.plane.create_group(&granted, new).await?;
    let version = group.version;
    created(&path::group(group.name.as_str()), &shape(group), Some(version))
}

pub(crate) async fn describe(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::ListGroups>(context.account(registry_id))
        .await?;
    answer(context.plane.group(&granted, &context.path("groupName")?).await?)
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateGroup>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let mut update = GroupUpdate::default();
    // A request that changes nothing is nobody's: it takes the same permission as one that does.
    if body.description.is_some() || body.policies.is_none() {
        let granted = context.authorize::<kinds::UpdateGroup>(account.clone()).await?;
        let text = body
            .description
            .map(|text| description("/description", text))
            .transpose()?;
        update.description = text.map(|text| (granted, text));
    }
    update.policies = replacing(&context, &account, body.policies.as_deref()).await?;
    let (name, version) = (context.path("groupName")?, context.if_match()?);
    answer(context.plane.update_group(&name, update, version).await?)
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::DeleteGroup>(context.account(registry_id))
        .await?;
    let (name, version) = (context.path("groupName")?, context.if_match()?);
    let group = context.plane.delete_group(&granted, &name, version).await?;
    json(StatusCode::OK, &shape(group), None)
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
    let granted = context.authorize::<kinds::AttachGroupPolicy>(account.clone()).await?;
    let update = GroupUpdate {
        policies: Some((granted, change(context.policy(&account)?))),
        ..GroupUpdate::default()
    };
    let (name, version) = (context.path("groupName")?, context.if_match()?);
    answer(context.plane.update_group(&name, update, version).await?)
}

pub(crate) async fn add_member(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::AddUserToGroup>(context.account(registry_id))
        .await?;
    let (group, user) = (context.path("groupName")?, context.path("userName")?);
    answer(context.plane.add_group_member(&granted, &group, &user).await?)
}

pub(crate) async fn remove_member(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let granted = context
        .authorize::<kinds::RemoveUserFromGroup>(context.account(registry_id))
        .await?;
    let (group, user) = (context.path("groupName")?, context.path("userName")?);
    answer(context.plane.remove_group_member(&granted, &group, &user).await?)
}

fn answer(group: GroupRecord) -> Handled {
    let version = group.version;
    json(StatusCode::OK, &shape(group), Some(version))
}

fn arn(account: &AccountId, name: &GroupName) -> String {
    format!("arn:aws:iam::{account}:group/{name}")
}

fn shape(group: GroupRecord) -> Group {
    Group {
        arn: arn(&group.account, &group.name),
        group_name: group.name.to_string(),
        description: group.description,
        policies: names(&group.policies),
        members: group.members.as_deref().map(names),
        created_at: group.created_at,
    }
}
