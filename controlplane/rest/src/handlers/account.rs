// SPDX-License-Identifier: Apache-2.0
//! `/accounts`, for those who administer the deployment.

use http::StatusCode;
use hythe_access::{Principal, kinds};
use hythe_model::AccountId;
use hythe_operations::AccountRecord;
use hythe_wire::{
    AccessKeyPage, Account, AccountPage, AccountStatus, CloseAccount, CreateAccount, ListAccounts, NoParameters,
    UpdateAccount, path,
};

use super::access_key::{shape as key_shape, with_secret};
use super::{Handled, created, json};
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn list(context: Context) -> Handled {
    let query: ListAccounts = context.query()?;
    let default = context.default_account();
    let granted = context.authorize::<kinds::ListAccounts>(default.clone()).await?;
    let page = context.page(query.max_results, query.next_token.as_deref(), &default, &[])?;
    let found = context.plane.accounts(&granted, page.after()?, page.limit).await?;
    json(
        StatusCode::OK,
        &AccountPage {
            accounts: found.items.into_iter().map(shape).collect(),
            next_token: page.token(context.plane.gate(), found.next),
        },
        None,
    )
}

pub(crate) async fn create(context: Context, Json(body): Json<CreateAccount>) -> Handled {
    let NoParameters {} = context.query()?;
    let granted = context
        .authorize::<kinds::CreateAccount>(context.default_account())
        .await?;
    let account = context
        .plane
        .create_account(&granted, body.account_id, body.account_name)
        .await?;
    context.note_resource(Principal::Root(account.id.clone()).to_string());
    let version = account.version;
    created(&path::account(&account.id), &shape(account), Some(version))
}

pub(crate) async fn describe(context: Context) -> Handled {
    let NoParameters {} = context.query()?;
    let granted = context
        .authorize::<kinds::ListAccounts>(context.default_account())
        .await?;
    answer(context.plane.account(&granted, &context.path("accountId")?).await?)
}

pub(crate) async fn update(context: Context, Json(body): Json<UpdateAccount>) -> Handled {
    let NoParameters {} = context.query()?;
    let (id, version) = (context.path::<AccountId>("accountId")?, context.if_match()?);
    let default = context.default_account();
    if body.status == Some(AccountStatus::Closed) {
        let closing = context.authorize::<kinds::CloseAccount>(default.clone()).await?;
        let naming = match body.account_name {
            None => None,
            Some(name) => Some((context.authorize::<kinds::UpdateAccount>(default).await?, name)),
        };
        return answer(
            context
                .plane
                .close_account(&closing, &id, false, naming, version)
                .await?,
        );
    }
    let granted = context.authorize::<kinds::UpdateAccount>(default).await?;
    let open = body.status == Some(AccountStatus::Active);
    answer(
        context
            .plane
            .update_account(&granted, &id, body.account_name, open, version)
            .await?,
    )
}

pub(crate) async fn close(context: Context) -> Handled {
    let CloseAccount { force } = context.query()?;
    let granted = context
        .authorize::<kinds::CloseAccount>(context.default_account())
        .await?;
    let (id, version) = (context.path::<AccountId>("accountId")?, context.if_match()?);
    answer(context.plane.close_account(&granted, &id, force, None, version).await?)
}

pub(crate) async fn list_keys(context: Context) -> Handled {
    let NoParameters {} = context.query()?;
    let granted = context
        .authorize::<kinds::ListAccessKeys>(context.default_account())
        .await?;
    let keys = context
        .plane
        .administrator_keys(&granted, &context.path("accountId")?)
        .await?;
    json(
        StatusCode::OK,
        &AccessKeyPage {
            access_keys: keys.into_iter().map(key_shape).collect(),
            next_token: None,
        },
        None,
    )
}

pub(crate) async fn create_key(context: Context) -> Handled {
    let NoParameters {} = context.query()?;
    let granted = context
        .authorize::<kinds::CreateAccessKey>(context.default_account())
        .await?;
    let id: AccountId = context.path("accountId")?;
    let key = context.plane.create_administrator_key(&granted, &id).await?;
    let location = path::administrator_key(&id, &key.record.id);
    context.note_resource(format!("{}/{}", Principal::Root(id), key.record.id));
    created(&location, &with_secret(key), None)
}

pub(crate) async fn delete_key(context: Context) -> Handled {
    let NoParameters {} = context.query()?;
    let granted = context
        .authorize::<kinds::DeleteAccessKey>(context.default_account())
        .await?;
    let (id, key) = (
        context.path::<AccountId>("accountId")?,
        context.path_text("accessKeyId")?,
    );
    let deleted = context.plane.delete_administrator_key(&granted, &id, key).await?;
    json(StatusCode::OK, &key_shape(deleted), None)
}

fn answer(account: AccountRecord) -> Handled {
    let version = account.version;
    json(StatusCode::OK, &shape(account), Some(version))
}

fn shape(account: AccountRecord) -> Account {
    Account {
        arn: Principal::Root(account.id.clone()).to_string(),
        account_id: account.id,
        account_name: account.name,
        status: if account.is_closed {
            AccountStatus::Closed
        } else {
            AccountStatus::Active
        },
        created_at: account.created_at,
    }
}
