// SPDX-License-Identifier: Apache-2.0
//! Turning away what reaches no handler: connections that are too many, with an answer that says when to try again as far as
//! that costs little, and requests whose headers are too large.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Response, StatusCode, header};
use rustls::ServerConfig;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

use crate::listener::Service;

/// Most connections that are being told that there are too many.
const MAX_REFUSALS: usize = 64;
/// Most of those that want TLS, each of which costs a signature.
const MAX_TLS_REFUSALS: usize = 8;
/// So long each of these places is kept at least: no more than 80 handshakes a second are made for nothing.
const TLS_REFUSAL_INTERVAL: Duration = Duration::from_millis(100);
/// Time that such a client has to shake hands and to read it.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);
/// What it is told to wait, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Tells clients that there are too many connections. Beyond its own bounds, connections are closed without an answer.
#[derive(Debug)]
pub(crate) struct Refusals {
    places: Arc<Semaphore>,
    tls: Option<Arc<ServerConfig>>,
}

impl Refusals {
    pub(crate) fn new(tls: Option<&Arc<ServerConfig>>) -> Self {
        let tls = tls.map(|config| {
            let mut config = ServerConfig::clone(config);
            // The answer is one of HTTP/1.1.
            config.alpn_protocols = vec![b"http/1.1".to_vec()];
            Arc::new(config)
        });
        let places = if tls.is_some() { MAX_TLS_REFUSALS } else { MAX_REFUSALS };
        Self {
            places: Arc::new(Semaphore::new(places)),
            tls,
        }
    }

    /// Turns a connection away.
    pub(crate) fn refuse(&self, stream: TcpStream, tasks: &TaskTracker) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let tls = self.tls.clone();
        tasks.spawn(async move {
            let free_at = Instant::now() + TLS_REFUSAL_INTERVAL;
            match tls {
                None => drop(timeout(REFUSAL_TIMEOUT, tell(stream)).await),
                Some(config) => {
                    let telling = async { tell(TlsAcceptor::from(config).accept(stream).await?).await };
                    drop(timeout(REFUSAL_TIMEOUT, telling).await);
                    sleep_until(free_at).await;
                }
            }
            drop(place);
        });
    }
}

/// The answer to a request with a larger header list than `max_bytes`: an error document of the registry, or a problem.
pub(crate) fn headers_too_large(service: &Service, max_bytes: usize) -> Response<Body> {
    let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
    let message = format!("the headers of a request may have {max_bytes} bytes, counted with 32 for each");
    let (media_type, document) = match service {
        Service::Registry(_) => (
            "application/json",
            json!({ "errors": [{ "code": "SIZE_INVALID", "message": message }] }),
        ),
        Service::Router(_) => (
            hythe_wire::PROBLEM_MEDIA_TYPE,
            json!({
                "type": "about:blank",
                "title": "Request Header Fields Too Large",
                "status": status.as_u16(),
                "detail": message,
                "code": "InvalidParameterException",
            }),
        ),
    };
    let mut refusal = Response::new(Body::from(document.to_string()));
    *refusal.status_mut() = status;
    let headers = refusal.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    refusal
}

async fn tell(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let body = r#"{"errors":[{"code":"UNAVAILABLE","message":"too many connections: try again"}]}"#;
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: {RETRY_AFTER_SECONDS}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await?;
    // What the client sent has to be read, or the system throws the answer away with it.
    let mut sink = [0; 1024];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}
