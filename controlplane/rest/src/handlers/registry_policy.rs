// SPDX-License-Identifier: Apache-2.0
//! `/registry/policy`, and its statements.

use http::StatusCode;
use hythe_access::kinds;
use hythe_model::AccountId;
use hythe_operations::{PolicyDocument, PolicyGrammar, PolicyStatement};
use hythe_wire::{
    InRegistry, PutRegistryPolicy, PutRegistryPolicyStatement, RegistryPolicy, RegistryPolicyStatement,
    RegistryPolicyStatementList,
};

use super::policy::warnings;
use super::{Handled, json};
use crate::body::Json;
use crate::context::Context;

pub(crate) async fn get(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context.authorize::<kinds::GetRegistryPolicy>(account.clone()).await?;
    let found = context.plane.registry_policy(&granted).await?;
    let version = found.version;
    json(StatusCode::OK, &shape(account, found), Some(version))
}

pub(crate) async fn put(context: Context, Json(body): Json<PutRegistryPolicy>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context.authorize::<kinds::PutRegistryPolicy>(account.clone()).await?;
    let put = context
        .plane
        .put_registry_policy(&granted, &body.policy_text, body.force, context.if_match()?)
        .await?;
    let version = put.version;
    let answer = RegistryPolicy {
        warnings: warnings(&put.text, PolicyGrammar::Registry),
        ..shape(account, put)
    };
    json(StatusCode::OK, &answer, Some(version))
}

pub(crate) async fn delete(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context
        .authorize::<kinds::DeleteRegistryPolicy>(account.clone())
        .await?;
    let deleted = context
        .plane
        .delete_registry_policy(&granted, context.if_match()?)
        .await?;
    json(StatusCode::OK, &shape(account, deleted), None)
}

pub(crate) async fn list_statements(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context.authorize::<kinds::GetRegistryPolicy>(account.clone()).await?;
    let found = context.plane.registry_policy_statements(&granted).await?;
    let statements = found
        .into_iter()
        .map(|statement| shape_statement(account.clone(), statement))
        .collect();
    let answer = RegistryPolicyStatementList {
        registry_id: account.clone(),
        statements,
    };
    json(StatusCode::OK, &answer, None)
}

pub(crate) async fn get_statement(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context.authorize::<kinds::GetRegistryPolicy>(account.clone()).await?;
    let found = context
        .plane
        .registry_policy_statement(&granted, context.path_text("sid")?)
        .await?;
    let version = found.version();
    json(StatusCode::OK, &shape_statement(account, found), Some(version))
}

pub(crate) async fn put_statement(context: Context, Json(body): Json<PutRegistryPolicyStatement>) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context.authorize::<kinds::PutRegistryPolicy>(account.clone()).await?;
    let (sid, version) = (context.path_text("sid")?, context.if_match()?);
    let put = context
        .plane
        .put_registry_policy_statement(&granted, sid, &body.statement, body.force, version)
        .await?;
    let version = put.version();
    // Places are those in the statement, as it was sent.
    let document = format!(r#"{{"Version":"2012-10-17","Statement":{}}}"#, put.text);
    let mut warnings = warnings(&document, PolicyGrammar::Registry);
    for warning in &mut warnings {
        warning.pointer = warning.pointer.replacen("/Statement", "", 1);
    }
    let answer = RegistryPolicyStatement {
        warnings,
        ..shape_statement(account, put)
    };
    json(StatusCode::OK, &answer, Some(version))
}

pub(crate) async fn delete_statement(context: Context) -> Handled {
    let InRegistry { registry_id } = context.query()?;
    let account = context.account(registry_id);
    let granted = context.authorize::<kinds::PutRegistryPolicy>(account.clone()).await?;
    let (sid, version) = (context.path_text("sid")?, context.if_match()?);
    let deleted = context
        .plane
        .delete_registry_policy_statement(&granted, sid, version)
        .await?;
    json(StatusCode::OK, &shape_statement(account, deleted), None)
}

fn shape(account: AccountId, document: PolicyDocument) -> RegistryPolicy {
    RegistryPolicy {
        registry_id: account,
        policy_text: document.text,
        warnings: Vec::new(),
    }
}

fn shape_statement(account: AccountId, statement: PolicyStatement) -> RegistryPolicyStatement {
    RegistryPolicyStatement {
        registry_id: account,
        sid: statement.sid,
        statement: statement.text,
        warnings: Vec::new(),
    }
}
