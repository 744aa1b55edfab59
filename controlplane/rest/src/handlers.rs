// SPDX-License-Identifier: Apache-2.0
//! The handlers, one file per noun: each takes the request apart, calls one operation, and shapes the answer.

pub(crate) mod access_key;
pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod authorization_token;
pub(crate) mod cache_rule;
pub(crate) mod caller_identity;
pub(crate) mod creation_template;
pub(crate) mod deleted_image;
pub(crate) mod garbage_collection;
pub(crate) mod group;
pub(crate) mod identity_provider;
pub(crate) mod image;
pub(crate) mod lifecycle_policy;
pub(crate) mod lifecycle_preview;
pub(crate) mod lifecycle_run;
pub(crate) mod mirror;
pub(crate) mod openapi;
pub(crate) mod policy;
pub(crate) mod policy_simulation;
mod principal;
pub(crate) mod pull_time_exclusion;
pub(crate) mod referrers;
pub(crate) mod registry;
pub(crate) mod registry_policy;
pub(crate) mod replication;
pub(crate) mod replication_backfill;
pub(crate) mod replication_destination;
pub(crate) mod repository;
pub(crate) mod repository_policy;
pub(crate) mod resource_tags;
pub(crate) mod role;
pub(crate) mod role_session;
pub(crate) mod scrub;
pub(crate) mod signing_key;
pub(crate) mod tag;
pub(crate) mod user;
pub(crate) mod virtual_repository;
pub(crate) mod web_identity_session;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::Problem;

/// What a handler returns.
pub(crate) type Handled = Result<Response, Problem>;

/// A JSON answer; `version` becomes the entity tag.
fn json(status: StatusCode, answer: &impl Serialize, version: Option<i64>) -> Handled {
    let body = serde_json::to_vec(answer).map_err(|error| Problem::internal(&error))?;
    crate::audit::note_answer(&body);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Answers are about rights and states of the moment.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(tag) = version.and_then(|version| HeaderValue::from_str(&format!("\"{version}\"")).ok()) {
        headers.insert(header::ETAG, tag);
    }
    Ok(response)
}

/// A JSON answer about something new at `location`.
fn created(location: &str, answer: &impl Serialize, version: Option<i64>) -> Handled {
    let mut response = json(StatusCode::CREATED, answer, version)?;
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}
