// SPDX-License-Identifier: Apache-2.0
//! The accept loop: connections, TLS, time-outs, draining.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
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

/// Time a client has for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a client has to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest head of a request on HTTP/1, in bytes; on HTTP/2 the same for the header list.
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
    metrics: ConnectionMetrics,
}

impl Listener {
    /// Binds `address`.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        max_connections: usize,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let connections = Arc::new(Semaphore::new(max_connections));
        Ok(Self {
            name,
            socket,
            tls,
            connections,
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
            let (abort, watcher) = (abort.clone(), graceful.watcher());
            metrics.accepted.inc();
            metrics.open.inc();
            tasks.spawn(async move {
                tokio::select! {
                    () = abort.cancelled() => {}
                    () = connection(stream, peer, tls, router, watcher, &metrics) => {}
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
    metrics: &ConnectionMetrics,
) {
    let _ = stream.set_nodelay(true); // answers are small; waiting for more bytes gains nothing
    let info = ConnectionInfo {
        peer,
        is_tls: tls.is_some(),
    };
    let outcome = match tls {
        None => http(TokioIo::new(stream), info, router, watcher).await,
        Some(config) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
            Ok(Ok(stream)) => http(TokioIo::new(stream), info, router, watcher).await,
            Ok(Err(error)) => {
                metrics.failed_handshakes.inc();
                Err(error.into())
            }
            Err(_) => {
                metrics.failed_handshakes.inc();
                Err("the TLS handshake took too long".into())
            }
        },
    };
    if let Err(error) = outcome {
        tracing::debug!(client.address = %peer, error = %error, "connection ended early");
    }
}

async fn http<I>(
    io: I,
    info: ConnectionInfo,
    router: Router,
    watcher: hyper_util::server::graceful::Watcher,
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
        router.clone().oneshot(request.map(Body::new))
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
