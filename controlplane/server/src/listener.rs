// SPDX-License-Identifier: Apache-2.0
//! The accept loop: connections, TLS, time-outs, draining.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hythe_distribution::ConnectionInfo;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::progress::{Paced, Patience, Progress, WatchedBody};

/// Time a client has for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a client has to send the head of a request, and to come to its first.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// The largest header list of a request, counted as HTTP/2 does (RFC 9113, section 6.5.2), in bytes.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Most requests at once on one HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 128;
/// Pause after the system gave no connection, for want of descriptors for instance.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Counts of one listener.
#[derive(Clone, Debug, Default)]
pub struct ConnectionMetrics {
    /// Connections that are open now.
    pub open: Gauge,
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Handshakes that failed.
    pub failed_handshakes: Counter,
}

/// A bound address with what it serves.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    connections: Arc<Semaphore>,
    patience: Patience,
    metrics: ConnectionMetrics,
}

impl Listener {
    /// Binds `address`. A client that does not read what it asked for within `write_idle` loses its connection.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        max_connections: usize,
        write_idle: Duration,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let connections = Arc::new(Semaphore::new(max_connections));
        Ok(Self {
            name,
            socket,
            tls,
            connections,
            patience: Patience {
                first_request: HEADER_TIMEOUT,
                write: write_idle,
            },
            metrics: ConnectionMetrics::default(),
        })
    }

    /// The address that was bound, with the port that the system chose if it was 0.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The listener's counts.
    pub fn metrics(&self) -> ConnectionMetrics {
        self.metrics.clone()
    }

    /// Serves `router` until `stop`, then lets requests finish for at most `grace`. Returns how many
    /// connections it gave up.
    pub async fn serve(self, router: Router, stop: CancellationToken, grace: Duration) -> usize {
        let tasks = TaskTracker::new();
        let abort = CancellationToken::new();
        let graceful = GracefulShutdown::new();
        loop {
            let permit = tokio::select! {
                () = stop.cancelled() => break,
                permit = Arc::clone(&self.connections).acquire_owned() => permit,
            };
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = self.socket.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(listener = self.name, error = %error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (router, tls, metrics) = (router.clone(), self.tls.clone(), self.metrics.clone());
            let (abort, watcher, patience) = (abort.clone(), graceful.watcher(), self.patience);
            metrics.accepted.inc();
            metrics.open.inc();
            tasks.spawn(async move {
                tokio::select! {
                    () = abort.cancelled() => {}
                    () = connection(stream, peer, tls, router, watcher, patience, &metrics) => {}
                }
                metrics.open.dec();
                drop(permit);
            });
        }
        drop(self.socket);
        tasks.close();
        let drained = async {
            graceful.shutdown().await;
            tasks.wait().await;
        };
        if tokio::time::timeout(grace, drained).await.is_ok() {
            return 0;
        }
        let given_up = tasks.len();
        abort.cancel();
        tasks.wait().await;
        given_up
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
    patience: Patience,
    metrics: &ConnectionMetrics,
) {
    let _ = stream.set_nodelay(true); // answers are small; waiting for more bytes gains nothing
    let info = ConnectionInfo {
        peer,
        is_tls: tls.is_some(),
    };
    let progress = Arc::new(Progress::default());
    let stream = Paced::new(stream, Arc::clone(&progress), patience);
    let serving = async {
        match tls {
            None => http(TokioIo::new(stream), info, router, watcher, Arc::clone(&progress)).await,
            Some(config) => {
                match tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
                    Ok(Ok(stream)) => http(TokioIo::new(stream), info, router, watcher, Arc::clone(&progress)).await,
                    Ok(Err(error)) => {
                        metrics.failed_handshakes.inc();
                        Err(error.into())
                    }
                    Err(_) => {
                        metrics.failed_handshakes.inc();
                        Err("the TLS handshake took too long".into())
                    }
                }
            }
        }
    };
    let outcome = tokio::select! {
        outcome = serving => outcome,
        stall = progress.stall(patience) => Err(stall.into()),
    };
    if let Err(error) = outcome {
        tracing::debug!(client.address = %peer, error = %error, "connection ended early");
    }
}

fn header_bytes(headers: &HeaderMap) -> usize {
    headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum()
}

async fn http<I>(
    io: I,
    info: ConnectionInfo,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
    progress: Arc<Progress>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(info);
        request.extensions_mut().insert(hythe_rest::Connection {
            peer: info.peer.ip(),
            is_secure: info.is_tls,
        });
        progress.request();
        let (router, progress) = (router.clone(), Arc::clone(&progress));
        async move {
            if header_bytes(request.headers()) > MAX_HEADER_BYTES {
                let mut refusal = Response::new(Body::empty());
                *refusal.status_mut() = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                return Ok(refusal.map(|body| WatchedBody::new(body, progress)));
            }
            let response = router.oneshot(request.map(Body::new)).await?;
            Ok::<_, Infallible>(response.map(|body| WatchedBody::new(body, progress)))
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(512 * 1024);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEADER_BYTES).unwrap_or(u32::MAX))
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(4 * 1024 * 1024)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(20));
    watcher
        .watch(builder.serve_connection_with_upgrades(io, service).into_owned())
        .await
}
