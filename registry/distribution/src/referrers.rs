// SPDX-License-Identifier: Apache-2.0
//! The images that refer to another (OCI Distribution Specification 1.1, "Listing Referrers").

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::header;
use hythe_access::{Granted, Trail, kinds};
use hythe_catalog::{CatalogError, Referrer, referrers_with};
use hythe_model::{Digest, MediaType};
use serde::Serialize;

use crate::account::Named;
use crate::auth::Visitor;
use crate::cache::{self, Note};
use crate::input::{Input, InputError};
use crate::oci_error::OciError;
use crate::paging::{Page, PageRequest, next_link};
use crate::response::{Answer, OCI_FILTERS_APPLIED};

/// Referrers are read in portions of this many: annotations may make each as large as a manifest.
const PORTION_ITEMS: usize = 16;
/// A page ends when its annotations have this many bytes (the specification wants answers of at most 4 MiB).
pub(crate) const MAX_PAGE_BYTES: usize = 3 * 1024 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Index<'a> {
    schema_version: u8,
    media_type: &'static str,
    manifests: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a MediaType,
    digest: &'a Digest,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: &'a BTreeMap<String, String>,
}

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Wish {
    pub(crate) subject: Digest,
    pub(crate) filter: Option<String>,
    pub(crate) after: Option<Digest>,
    pub(crate) limit: usize,
    /// Whether the client wants the upstream to be asked (`Cache-Control: no-cache`).
    is_fresh_wanted: bool,
}

impl Wish {
    pub(crate) fn from_input(input: &Input) -> Result<Self, InputError> {
        let subject = input.digest()?;
        Trail::note(|facts| {
            facts.event = Some("ListImageReferrers");
            facts.digest = Some(subject);
        });
        let request = PageRequest::from_input(input)?;
        let after = request.after.as_deref().map(str::parse::<Digest>).transpose();
        Ok(Self {
            subject,
            filter: input.parameter("artifactType").filter(|text| !text.is_empty()),
            after: after.map_err(InputError::Digest)?,
            limit: request.limit,
            is_fresh_wanted: cache::wants_fresh(&input.headers),
        })
    }

    /// The answer with this page; `note`: how what another registry has came about, if it is one repository that comes from
    /// there.
    pub(crate) fn shape(&self, named: &Named, page: &Page<Referrer>, note: Option<Note>) -> Response {
        let manifests = page.items.iter().map(describe).collect();
        let index = Index {
            schema_version: 2,
            media_type: MediaType::OCI_INDEX,
            manifests,
        };
        let mut answer = Answer::json(MediaType::OCI_INDEX, &index);
        if let Some(note) = note {
            answer = note.tell(answer);
        }
        if self.filter.is_some() {
            answer = answer.with(OCI_FILTERS_APPLIED, "artifactType");
        }
        if let (true, Some(last)) = (page.has_more, page.items.last()) {
            let (limit, last) = (self.limit.to_string(), last.digest.to_string());
            let mut parameters = vec![("n", limit.as_str()), ("last", last.as_str())];
            parameters.extend(self.filter.as_deref().map(|filter| ("artifactType", filter)));
            let path = named.location(format_args!("referrers/{}", self.subject));
            answer = answer.with(header::LINK, next_link(&path, &parameters));
        }
        answer.into_response()
    }
}

/// Answers a GET for the referrers of a subject. Neither it nor the repository needs to exist: "the registry MUST NOT
/// return a `404 Not Found` to a referrers API request", since clients take that for a registry without this API.
pub(crate) async fn list(visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    let named = visitor.repository(&input.name)?;
    let wish = Wish::from_input(&input)?;
    let granted = visitor.permit::<kinds::BatchGetImage>(&named).await?;
    let (page, note) = list_referrers(visitor, &granted, &named, &wish).await?;
    Ok(wish.shape(&named, &page, note))
}

#[tracing::instrument(name = "referrers.list", level = "debug", skip_all, fields(
    account.id = %granted.resource().account, repository.name = %granted.resource().name, manifest.digest = %wish.subject))]
pub(crate) async fn list_referrers(
    visitor: &Visitor,
    granted: &Granted<kinds::BatchGetImage>,
    named: &Named,
    wish: &Wish,
) -> Result<(Page<Referrer>, Option<Note>), CatalogError> {
    let (repository, subject, filter) = (granted.resource(), &wish.subject, wish.filter.as_deref());
    let listed = cache::listed(visitor, granted, named, subject, wish.is_fresh_wanted).await?;
    let (elsewhere, note) = match listed {
        Some(listed) => (listed.referrers, Some(listed.note)),
        None => (Vec::new(), None),
    };
    let catalog = visitor.registry.catalog();
    let mut after = wish.after;
    let mut page = Page {
        items: Vec::new(),
        has_more: false,
    };
    let mut page_bytes: usize = 0;
    loop {
        let portion = referrers_with(
            catalog,
            repository,
            subject,
            &elsewhere,
            filter,
            after.as_ref(),
            PORTION_ITEMS,
        );
        let portion = portion.await?;
        let is_last = portion.len() < PORTION_ITEMS;
        for referrer in portion {
            page_bytes += weight(&referrer);
            let is_full = page.items.len() >= wish.limit || (page_bytes > MAX_PAGE_BYTES && !page.items.is_empty());
            if is_full {
                page.has_more = true;
                return Ok((page, note));
            }
            after = Some(referrer.digest);
            page.items.push(referrer);
        }
        if is_last {
            break;
        }
    }
    Ok((page, note))
}

/// About how many bytes a referrer takes in the answer.
pub(crate) fn weight(referrer: &Referrer) -> usize {
    let annotations = referrer
        .annotations
        .iter()
        .map(|(key, value)| key.len() + value.len() + 8);
    256 + annotations.sum::<usize>() + referrer.artifact_type.as_ref().map_or(0, String::len)
}

fn describe(referrer: &Referrer) -> Descriptor<'_> {
    Descriptor {
        media_type: &referrer.media_type,
        digest: &referrer.digest,
        size: referrer.size,
        artifact_type: referrer.artifact_type.as_deref(),
        annotations: &referrer.annotations,
    }
}
