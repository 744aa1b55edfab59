// SPDX-License-Identifier: Apache-2.0
//! The private parsers of this crate, for the fuzz targets in `tests/fuzz-targets` and for nobody else.
#![allow(missing_docs, reason = "not a part of the interface: see each parser")]

use std::ops::Range;

use axum::body::Body;
use http::{HeaderMap, Uri};
use hythe_access::{Credentials, ScopeEntry};
use hythe_model::Digest;

use crate::RegistryConfig;
use crate::input::Input;
use crate::paging::PageRequest;
use crate::range::{ContentRange, Wanted};

/// `Err` if no byte of the ranges is there; none if the header is passed over.
#[expect(clippy::result_unit_err, reason = "three outcomes, without a type of their own")]
pub fn ranges(header: &str, size: u64) -> Result<Vec<Range<u64>>, ()> {
    match crate::range::wanted(Some(header), size) {
        Wanted::Whole => Ok(Vec::new()),
        Wanted::Part(range) => Ok(vec![range]),
        Wanted::Parts(ranges) => Ok(ranges),
        Wanted::Unsatisfiable => Err(()),
    }
}

/// Start and length.
#[must_use]
pub fn content_range(header: &str) -> Option<(u64, u64)> {
    let range = ContentRange::parse(header).ok()?;
    Some((range.start, range.length))
}

/// Limit and the item before the page.
#[must_use]
pub fn page(query: &str) -> Option<(usize, Option<String>)> {
    let input = Input {
        name: String::new(),
        argument: String::new(),
        query: query.to_owned(),
        headers: HeaderMap::new(),
        body: Body::empty(),
    };
    let page = PageRequest::from_input(&input).ok()?;
    Some((page.limit, page.after))
}

#[must_use]
pub fn next_link(path: &str, parameters: &[(&str, &str)]) -> String {
    crate::paging::next_link(path, parameters)
}

#[must_use]
pub fn query_pairs(query: &str) -> Vec<(String, String)> {
    crate::input::pairs(query).collect()
}

/// The shape's name, the repository as it was written, and the argument.
#[must_use]
pub fn path(path: &str) -> Option<(String, String, String)> {
    let path = crate::route::parse(path)?;
    Some((format!("{:?}", path.shape), path.name, path.argument))
}

#[must_use]
pub fn credentials(headers: &HeaderMap) -> Option<Credentials> {
    crate::auth::credentials(headers)
}

#[must_use]
pub fn is_cached(headers: &HeaderMap, digest: &Digest) -> bool {
    crate::response::is_cached(headers, digest)
}

#[must_use]
pub fn token_scope(scope: &str) -> Option<ScopeEntry> {
    crate::token::entry(scope, None)
}

/// The URL of the site, and the account of a request that names none.
#[must_use]
pub fn site(config: &RegistryConfig, headers: &HeaderMap, uri: &Uri) -> (String, String) {
    let site = crate::account::Site::new(config, headers, uri, true);
    let account = site.account("").to_string();
    (site.url, account)
}
