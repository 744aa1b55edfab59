// SPDX-License-Identifier: Apache-2.0
//! What surrounds every request: its id, its span, its audit event, its metrics; and panics become problems.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures::FutureExt as _;
use http::{HeaderName, HeaderValue, Method};
use hythe_access::AuditLog as _;
use jiff::Timestamp;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::router::Shared;
use crate::{OperationInfo, Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken over from a client, in characters.
const MAX_REQUEST_ID_CHARS: usize = 128;
/// The target of audit events.
const AUDIT: &str = "hythe::audit";

/// When a request began, and its id.
#[derive(Clone, Debug)]
pub(crate) struct Identified {
    pub(crate) began_at: Timestamp,
    pub(crate) id: String,
}

/// What became known of a request while it was handled.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trail(Arc<Mutex<Facts>>);

#[derive(Debug, Default)]
struct Facts {
    principal: Option<String>,
    access_key_id: Option<String>,
    resource: Option<String>,
}

impl Trail {
    pub(crate) fn set_caller(&self, caller: &hythe_access::Caller) {
        let mut facts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        facts.principal = Some(caller.principal.to_string());
        facts.access_key_id.clone_from(&caller.lineage.access_key_id);
    }

    pub(crate) fn set_resource(&self, resource: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).resource = Some(resource);
    }
}

/// The outermost layer: gives the request an id, and turns problems and panics into answers with it.
pub(crate) async fn identify(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let began_at = shared.plane.now();
    let new_id = || match shared.plane.audit() {
        Some(queue) => queue.next_request(began_at).to_string(),
        None => Uuid::new_v4().simple().to_string(),
    };
    answer(began_at, new_id, request, next).await
}

async fn answer(began_at: Timestamp, new_id: impl FnOnce() -> String, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let is_good =
        |id: &&str| (1..=MAX_REQUEST_ID_CHARS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
    let id = given.filter(is_good).map_or_else(new_id, str::to_owned);
    let is_head = request.method() == Method::HEAD;
    let identified = Identified {
        began_at,
        id: id.clone(),
    };
    request.extensions_mut().insert(identified);
    let span = tracing::info_span!("control.request", request.id = %id, operation = tracing::field::Empty);
    let outcome = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span.clone())
        .await;
    let mut response = outcome.unwrap_or_else(|_| span.in_scope(|| Problem::internal(&Panicked).into_response()));
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let bare = response;
        response = problem.render(Some(&id));
        // What a layer in between has added (`Allow`) stays.
        for (name, value) in bare.headers() {
            if !response.headers().contains_key(name) && name != http::header::CONTENT_LENGTH {
                response.headers_mut().insert(name.clone(), value.clone());
            }
        }
        response.extensions_mut().insert(problem);
    }
    if is_head {
        *response.body_mut() = Body::empty();
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

#[derive(Debug)]
struct Panicked;

impl std::fmt::Display for Panicked {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the handler panicked")
    }
}

impl std::error::Error for Panicked {}

/// The layer around each operation.
pub(crate) async fn observe(
    State((info, shared)): State<(&'static OperationInfo, Shared)>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let trail = Trail::default();
    tracing::Span::current().record("operation", info.name);
    let id = request
        .extensions()
        .get::<Identified>()
        .map(|request| request.id.clone())
        .unwrap_or_default();
    crate::audit::note_operation(info);
    request.extensions_mut().insert(info);
    request.extensions_mut().insert(trail.clone());
    // A panic has to be seen here, or it would be missing from the audit log.
    let outcome = match shared.places.try_acquire() {
        Ok(_place) => AssertUnwindSafe(next.run(request)).catch_unwind().await,
        Err(_) => Ok(Problem::busy().into_response()),
    };
    let response = outcome.unwrap_or_else(|_| Problem::internal(&Panicked).into_response());
    let (status, took) = (response.status(), started.elapsed());
    shared.metrics.count(info.name, status, took);
    let code = response.extensions().get::<Problem>().map_or("", Problem::code);
    let facts = trail.0.lock().unwrap_or_else(PoisonError::into_inner);
    let (principal, resource) = (
        facts.principal.as_deref().unwrap_or("*"),
        facts.resource.as_deref().unwrap_or_default(),
    );
    if info.is_change {
        tracing::info!(
            target: AUDIT,
            operation = info.name,
            user.arn = principal,
            user.access_key_id = facts.access_key_id.as_deref().unwrap_or_default(),
            resource,
            http.status = status.as_u16(),
            error.code = code,
            request.id = id,
            "{} by {principal}: {}", info.name, if status.is_success() { "done" } else { "refused" }
        );
    }
    tracing::debug!(
        http.status = status.as_u16(),
        error.code = code,
        took_millis = took.as_millis(),
        "request handled"
    );
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::get;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_problem_that_says_nothing_of_it() {
        async fn break_down() -> &'static str {
            panic!("the inner secret") // on purpose
        }
        let layer = |request: Request, next: Next| answer(Timestamp::UNIX_EPOCH, || "made".to_owned(), request, next);
        let router = Router::new().route("/", get(break_down)).layer(from_fn(layer));
        let request = Request::get("/").header(REQUEST_ID, "r1").body(Body::empty()).unwrap();
        let response = router.oneshot(request).await.unwrap();
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()[REQUEST_ID].to_str().unwrap()
            ),
            (500, "r1")
        );
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let problem: hythe_wire::Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (problem.code.as_str(), problem.request_id.as_deref()),
            ("ServerException", Some("r1"))
        );
        assert!(!problem.detail.contains("secret"));
    }
}
