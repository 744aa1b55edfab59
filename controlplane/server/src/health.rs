// SPDX-License-Identifier: Apache-2.0
//! `/livez`, `/readyz` and `/metrics`.

use std::fmt::Display;
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
use tokio::time::error::Elapsed;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Time that a part has to say that it is well.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);

/// How old the answer of the parts may be: whoever asks often does not make the disk work each time.
const MAX_AGE: Duration = Duration::from_secs(1);

/// What the parts said, and when; the lock is held while they are asked, so that they are asked once at a time.
pub type Checked = Arc<Mutex<Option<(Instant, Parts)>>>;

/// How the parts are.
#[derive(Clone, Debug)]
pub struct Parts {
    database: Part,
    blobs: Part,
}

/// How a part is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Well,
    /// Its error is for the log: it names addresses and folders, and everybody may ask.
    Failing(String),
    Silent,
}

impl Part {
    fn of<E: Display>(outcome: Result<Result<(), E>, Elapsed>) -> Self {
        match outcome {
            Ok(Ok(())) => Self::Well,
            Ok(Err(error)) => Self::Failing(error.to_string()),
            Err(_) => Self::Silent,
        }
    }

    /// A word that stays the same, for whoever asks.
    fn code(&self) -> &'static str {
        match self {
            Self::Well => "ok",
            Self::Failing(_) => "failing",
            Self::Silent => "timeout",
        }
    }

    /// Tells the log what has changed since `before`.
    fn log(&self, part: &'static str, before: Option<&Self>) {
        match self {
            _ if before == Some(self) => {}
            Self::Well if before.is_some() => tracing::info!(part, "a part of the server is well again"),
            Self::Well => {}
            Self::Failing(error) => tracing::error!(part, error, "a part of the server is not ready"),
            Self::Silent => tracing::error!(part, "a part of the server does not answer in time"),
        }
    }
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
    let (database, blobs) = (Part::of(database), Part::of(blobs));
    let before = checked.as_ref().map(|(_, before)| before);
    database.log("database", before.map(|before| &before.database));
    blobs.log("blobs", before.map(|before| &before.blobs));
    let parts = Parts { database, blobs };
    *checked = Some((Instant::now(), parts.clone()));
    parts
}

async fn ready(State(health): State<Health>) -> Response {
    let Parts { database, blobs } = check(&health).await;
    let is_stopping = health.stop.is_cancelled();
    let is_ready = database == Part::Well && blobs == Part::Well && !is_stopping;
    let status = if is_ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let body =
        json!({ "ready": is_ready, "stopping": is_stopping, "database": database.code(), "blobs": blobs.code() });
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_asks_is_told_a_word_and_never_the_cause() {
        let failing = Part::of(Ok(Err("cannot open /secret/meta.db")));
        let never = tokio::time::timeout(CHECK_TIMEOUT, std::future::pending::<Result<(), String>>());
        let codes = [Part::of(Ok(Ok::<_, String>(()))), failing, Part::of(never.await)].map(|part| part.code());
        assert_eq!(codes, ["ok", "failing", "timeout"]);
    }
}
