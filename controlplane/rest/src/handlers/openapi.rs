// SPDX-License-Identifier: Apache-2.0
//! `/openapi.json`.

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, header};

/// It is the same for as long as the program runs.
static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| serde_json::to_vec(&crate::openapi()).unwrap_or_default().into());

pub(crate) async fn document() -> Response {
    let mut response = Response::new(Body::from(DOCUMENT.clone()));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
