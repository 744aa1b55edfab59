// SPDX-License-Identifier: Apache-2.0
//! The repositories of an account that the caller may see (`_catalog`).

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header;
use hythe_access::{Caller, GateError, Granted, authorize_each, kinds};
use hythe_catalog::CatalogError;
use hythe_model::{AccountId, RepositoryName, RepositoryPath};
use serde::Serialize;

use crate::Registry;
use crate::account::split_account;
use crate::auth::Visitor;
use crate::input::{Input, InputError};
use crate::oci_error::OciError;
use crate::paging::{Page, PageRequest, next_link};
use crate::response::Answer;

/// What a token must be asked for to list repositories.
const SCOPE: &str = "registry:catalog:*";
/// Names are read in portions of at least and at most this many: for the first page the least that can do, and many
/// from then on.
const MIN_PORTION_ITEMS: usize = 100;
const MAX_PORTION_ITEMS: usize = 1001;

/// Why repositories were not listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListRepositoriesError {
    #[error(transparent)]
    Gate(#[from] GateError),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

#[derive(Serialize)]
struct RepositoryList {
    repositories: Vec<String>,
}

/// Answers a GET for the catalog.
pub(crate) async fn list(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    visitor.require_credentials(Some(SCOPE))?;
    let request = PageRequest::from_input(&input)?;
    let account = visitor.site.account(&input.name);
    // Names are written as the path is, so that they can be pulled from the same host.
    let prefix = if input.name.is_empty() {
        String::new()
    } else {
        format!("{}/", input.name)
    };
    let after = request
        .after
        .as_deref()
        .map(|last| split_account(last).1.parse::<RepositoryName>());
    let after = after.transpose().map_err(InputError::Name)?;
    let page = list_repositories(&visitor.registry, &visitor.caller, &account, after, request.limit).await?;

    let repositories: Vec<String> = page
        .items
        .iter()
        .map(|granted| format!("{prefix}{}", granted.resource().name))
        .collect();
    let link = repositories.last().filter(|_| page.has_more).map(|last| {
        let limit = request.limit.to_string();
        next_link(
            &format!("/v2/{prefix}_catalog"),
            &[("n", limit.as_str()), ("last", last.as_str())],
        )
    });
    let answer = Answer::json("application/json", &RepositoryList { repositories });
    Ok(link
        .into_iter()
        .fold(answer, |answer, link| answer.with(header::LINK, link))
        .into_response())
}

/// The repositories after `after` that the caller may describe. The gate is asked about each, so that a page is
/// full however many repositories lie between those that the caller may see, and no other name is shown. An account
/// has a limited number of repositories, and so has the work for a page.
#[tracing::instrument(name = "catalog.list", level = "debug", skip_all, fields(account.id = %account))]
async fn list_repositories(
    registry: &Registry,
    caller: &Arc<Caller>,
    account: &AccountId,
    mut after: Option<RepositoryName>,
    limit: usize,
) -> Result<Page<Granted<kinds::DescribeRepositories>>, ListRepositoriesError> {
    let mut page = Page {
        items: Vec::new(),
        has_more: false,
    };
    // One more than the page wants says whether there is another page.
    let mut portion = limit.saturating_add(1).clamp(MIN_PORTION_ITEMS, MAX_PORTION_ITEMS);
    if limit == 0 {
        return Ok(page);
    }
    loop {
        let names = registry
            .catalog()
            .repository_names(account, after.as_ref(), portion)
            .await?;
        let is_last = names.len() < portion;
        portion = MAX_PORTION_ITEMS;
        after = names.last().cloned();
        let path = |name| RepositoryPath {
            account: account.clone(),
            name,
        };
        let paths = names.into_iter().map(path).collect();
        let granted = authorize_each::<kinds::DescribeRepositories>(registry.gate(), caller, paths).await?;
        page.items.extend(granted.into_iter().flatten());
        if page.items.len() > limit {
            page.items.truncate(limit);
            page.has_more = true;
            return Ok(page);
        }
        if is_last {
            break;
        }
    }
    Ok(page)
}
