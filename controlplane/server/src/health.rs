// SPDX-License-Identifier: Apache-2.0
//! `/livez`, `/readyz` and `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use hythe_blobs::BlobStore;
use hythe_meta::Store;
use hythe_operations::AccessGate;
use serde_json::json;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Time that a part has to say that it is well.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How old the answer of the parts may be: whoever asks often does not make the disk work each time.
const MAX_AGE: Duration = Duration::from_secs(1);

/// What the parts said, and when; the lock is held while they are asked, so that they are asked once at a time.
pub type Checked = Arc<Mutex<Option<(Instant, Parts)>>>;

/// Why a part is not ready; `None` if it is.
#[derive(Clone, Debug)]
pub struct Parts {
    database: Option<String>,
    blobs: Option<String>,
}

/// What the health routes look at.
#[derive(Clone, Debug)]
pub struct Health {
    /// The metadata database.
    pub store: Store,
    /// The blob store.
    pub blobs: Arc<dyn BlobStore>,
    /// Cancelled when the server is stopping: no longer ready, still alive.
    pub stop: CancellationToken,
    /// What `/metrics` shows.
    pub metrics: Arc<Metrics>,
    /// What counts those who fail to log in or ask too often.
    pub gate: Arc<AccessGate>,
    /// What was found out last.
    pub checked: Checked,
}

/// The routes.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(health)
}

async fn check(health: &Health) -> Parts {
    let mut checked = health.checked.lock().await;
    if let Some((at, parts)) = &*checked
        && at.elapsed() < MAX_AGE
    {
        return parts.clone();
    }
    let (database, blobs) = tokio::join!(
        tokio::time::timeout(CHECK_TIMEOUT, health.store.check()),
        tokio::time::timeout(CHECK_TIMEOUT, health.blobs.check()),
    );
    let database = match database {
        Ok(outcome) => outcome.err().map(|error| error.to_string()),
        Err(_) => Some("does not answer in time".into()),
    };
    let blobs = match blobs {
        Ok(outcome) => outcome.err().map(|error| error.to_string()),
        Err(_) => Some("does not answer in time".into()),
    };
    let parts = Parts { database, blobs };
    *checked = Some((Instant::now(), parts.clone()));
    parts
}

async fn ready(State(health): State<Health>) -> Response {
    let Parts { database, blobs } = check(&health).await;
    let say = |error: Option<String>| error.unwrap_or_else(|| "ok".into());
    let is_stopping = health.stop.is_cancelled();
    let is_ready = database.is_none() && blobs.is_none() && !is_stopping;
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body = json!({ "ready": is_ready, "stopping": is_stopping, "database": say(database), "blobs": say(blobs) });
    (status, Json(body)).into_response()
}

async fn metrics(State(health): State<Health>) -> Response {
    health.metrics.set_abuse(&health.gate.abuse_counts());
    health.metrics.set_images(&health.store.image_counts());
    match health
        .metrics
        .encode(health.store.queue_depth(), health.store.cache_stats())
    {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(error = %error, "cannot write the metrics");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
