// SPDX-License-Identifier: Apache-2.0
//! The tags of a repository (OCI Distribution Specification 1.1, "Listing Tags").

use axum::response::{IntoResponse, Response};
use http::header;
use hythe_access::{Granted, kinds};
use hythe_catalog::CatalogError;
use hythe_model::{RepositoryPath, Tag};
use serde::Serialize;

use crate::Registry;
use crate::account::Named;
use crate::auth::Visitor;
use crate::input::Input;
use crate::oci_error::OciError;
use crate::paging::{Page, PageRequest, next_link};
use crate::response::Answer;

/// Why tags were not listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListTagsError {
    #[error("the repository `{0}` does not exist")]
    RepositoryUnknown(RepositoryPath),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

#[derive(Serialize)]
struct TagList<'a> {
    name: &'a str,
    tags: &'a [Tag],
}

/// Answers a GET for the tags.
pub(crate) async fn list(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let named = visitor.repository(&input.name)?;
    let request = PageRequest::from_input(&input)?;
    let granted = visitor.permit::<kinds::ListImages>(&named).await?;
    let page = list_tags(&visitor.registry, &granted, &request).await?;
    Ok(shape(&named, &request, &page))
}

/// The answer with this page.
pub(crate) fn shape(named: &Named, request: &PageRequest, page: &Page<Tag>) -> Response {
    let mut answer = Answer::json(
        "application/json",
        &TagList {
            name: &named.written,
            tags: &page.items,
        },
    );
    if let (true, Some(last)) = (page.has_more, page.items.last()) {
        let parameters = [("n", request.limit.to_string()), ("last", last.to_string())];
        let parameters = parameters.each_ref().map(|(name, value)| (*name, value.as_str()));
        answer = answer.with(header::LINK, next_link(&named.location("tags/list"), &parameters));
    }
    answer.into_response()
}

#[tracing::instrument(name = "tags.list", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name))]
pub(crate) async fn list_tags(
    registry: &Registry,
    granted: &Granted<kinds::ListImages>,
    request: &PageRequest,
) -> Result<Page<Tag>, ListTagsError> {
    let repository = granted.resource();
    // One more than asked for tells whether there is a next page.
    let tags = registry
        .catalog()
        .tags(repository, request.after.as_deref(), request.limit + 1)
        .await?;
    let mut items = tags.ok_or_else(|| ListTagsError::RepositoryUnknown(repository.clone()))?;
    let has_more = items.len() > request.limit;
    items.truncate(request.limit);
    Ok(Page { items, has_more })
}
