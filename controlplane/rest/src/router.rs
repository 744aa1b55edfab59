// SPDX-License-Identifier: Apache-2.0
//! The router, made from the table of operations.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use hythe_operations::ControlPlane;
use hythe_wire::{code, path::PREFIX};
use tokio::sync::Semaphore;

use crate::audit::record;
use crate::observe::{identify, observe};
use crate::table::operations;
use crate::{Metrics, Problem};

/// The most requests that are answered at once; others get 503. Each may hold a body of
/// [`MAX_BODY_BYTES`](crate::MAX_BODY_BYTES) that is still arriving.
pub const MAX_CONCURRENT_REQUESTS: usize = 512;

/// What all handlers share.
#[derive(Clone, Debug)]
pub(crate) struct Shared {
    pub(crate) plane: ControlPlane,
    pub(crate) metrics: Metrics,
    pub(crate) places: Arc<Semaphore>,
}

/// The routes of `/api/v1`, to be merged into the router of the control listener.
pub fn router(plane: ControlPlane, metrics: Metrics) -> Router {
    let shared = Shared {
        plane,
        metrics,
        places: Arc::new(Semaphore::new(MAX_CONCURRENT_REQUESTS)),
    };
    let mut routes = Router::new();
    for info in operations() {
        let layer = from_fn_with_state((info, shared.clone()), observe);
        routes = routes.route(info.path.trim_start_matches(PREFIX), (info.route)().route_layer(layer));
    }
    let routes = routes
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown_path)
        .layer(from_fn_with_state(shared.clone(), record))
        .layer(from_fn_with_state(shared.clone(), identify))
        .with_state(shared);
    Router::new().nest(PREFIX, routes)
}

async fn unknown_path() -> Problem {
    let detail = "there is nothing at this path: the OpenAPI document lists what there is";
    Problem::new(code::RESOURCE_NOT_FOUND, detail)
}

/// The router adds `Allow`.
async fn method_not_allowed() -> Problem {
    let detail = "this method is not possible at this path: the header `Allow` lists those that are";
    Problem::new(code::METHOD_NOT_ALLOWED, detail)
}
