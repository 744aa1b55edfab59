// SPDX-License-Identifier: Apache-2.0
//! The accept loop: connections, TLS, time-outs, draining.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, Response, Version};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hythe_distribution::{ConnectionInfo, Registry};
use hythe_model::host_network;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use crate::file_socket::FileSocket;
use crate::progress::{Paced, Patience, Progress, WatchedBody};
use crate::refusal::{Refusals, headers_too_large};

/// Time a client has for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time a client has to come to its first request.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(15);
/// Time a client of HTTP/1 has from the end of an answer to the end of the next request's head, at least.
const NEXT_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Most requests at once on one HTTP/2 connection.
const MAX_CONCURRENT_STREAMS: u32 = 128;
/// What a client of HTTP/2 may send before it is read. The second is what a connection can take of memory by sending.
#[derive(Clone, Copy, Debug)]
struct Windows {
    /// Of one body, in bytes.
    stream: u32,
    /// Of all bodies of a connection, in bytes.
    connection: u32,
}

/// The windows that every connection gets: as much as one of HTTP/1 may send ahead ([`MAX_BUFFER_BYTES`]).
const NARROW: Windows = Windows {
    stream: 64 * 1024,
    connection: 128 * 1024,
};
/// The windows for uploads over long lines: of those connections only that [`Bounds::wide_window_bytes`] has room for.
const WIDE: Windows = Windows {
    stream: 1024 * 1024,
    connection: 2 * 1024 * 1024,
};
/// The largest frame that a client of HTTP/2 may send, in bytes.
const MAX_FRAME_BYTES: u32 = 64 * 1024;
/// What is handed to one stream of HTTP/2 before its client takes it, in bytes.
const MAX_STREAM_SEND_BYTES: usize = 128 * 1024;
/// What HTTP/1 reads and writes at once, in bytes: one chunk of a blob.
const MAX_BUFFER_BYTES: usize = hythe_blobs::CHUNK_BYTES;
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
    /// The most connections at once.
    pub limit: Gauge,
    /// Connections that were turned away because there were too many.
    pub refused: Counter,
    /// Those of them that were too many of one address.
    pub refused_by_address: Counter,
}

/// The bounds of a listener.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Most connections at once.
    pub max_connections: usize,
    /// Most connections at once from one address.
    pub max_connections_per_address: usize,
    /// The largest header list of a request, counted as HTTP/2 does (RFC 9113, section 6.5.2), in bytes.
    pub max_header_bytes: usize,
    /// Time that a client has to take what it asked for.
    pub write_idle: Duration,
    /// The least that it must take meanwhile, in bytes per second.
    pub min_bytes_per_second: u64,
    /// The memory that connections of HTTP/2 with wide windows may take together, by sending what nobody reads yet, in bytes;
    /// all others have narrow ones.
    pub wide_window_bytes: u64,
}

/// What answers requests.
#[derive(Clone, Debug)]
pub enum Service {
    /// Anything.
    Router(Router),
    /// The data plane, without a router in between.
    Registry(Registry),
}

/// A bound address with what it serves.
#[derive(Debug)]
pub struct Listener {
    name: &'static str,
    socket: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    connections: Arc<Semaphore>,
    addresses: Arc<Addresses>,
    wide: Arc<Semaphore>,
    refusals: Refusals,
    patience: Patience,
    metrics: ConnectionMetrics,
}

impl Listener {
    /// Binds `address`. A client that does not read what it asked for in time loses its connection.
    pub async fn bind(
        name: &'static str,
        address: SocketAddr,
        tls: Option<Arc<ServerConfig>>,
        bounds: Bounds,
    ) -> io::Result<Self> {
        let socket = TcpListener::bind(address).await?;
        let max_connections = bounds.max_connections.min(Semaphore::MAX_PERMITS);
        let metrics = ConnectionMetrics::default();
        metrics.limit.set(i64::try_from(max_connections).unwrap_or(i64::MAX));
        Ok(Self {
            name,
            socket,
            refusals: Refusals::new(tls.as_ref()),
            tls,
            connections: Arc::new(Semaphore::new(max_connections)),
            addresses: Arc::new(Addresses::new(bounds.max_connections_per_address)),
            wide: Arc::new(Semaphore::new(wide_connections(bounds.wide_window_bytes))),
            patience: Patience {
                first_request: FIRST_REQUEST_TIMEOUT,
                next_request: NEXT_REQUEST_TIMEOUT,
                write: bounds.write_idle,
                min_bytes_per_second: bounds.min_bytes_per_second,
                max_header_bytes: bounds.max_header_bytes,
            },
            metrics,
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

    /// Serves until `stop`, then lets requests finish for at most `grace`. Returns how many connections it gave up.
    pub async fn serve(self, service: Service, stop: CancellationToken, grace: Duration) -> usize {
        let tasks = TaskTracker::new();
        let abort = CancellationToken::new();
        let graceful = GracefulShutdown::new();
        loop {
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
            self.metrics.accepted.inc();
            let Some(place) = self.admit(peer) else {
                tracing::debug!(listener = self.name, "a connection was turned away");
                self.refusals.refuse(stream, &tasks);
                continue;
            };
            let (service, tls, metrics) = (service.clone(), self.tls.clone(), self.metrics.clone());
            let (abort, watcher, patience) = (abort.clone(), graceful.watcher(), self.patience);
            let wide = Arc::clone(&self.wide);
            metrics.open.inc();
            tasks.spawn(async move {
                tokio::select! {
                    () = abort.cancelled() => {}
                    () = connection(stream, peer, tls, wide, service, watcher, patience, &metrics) => {}
                }
                metrics.open.dec();
                drop(place);
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

    /// A place for a connection, unless there are too many.
    fn admit(&self, peer: SocketAddr) -> Option<(OwnedSemaphorePermit, AddressPlace)> {
        let Some(place) = self.addresses.enter(peer.ip()) else {
            self.metrics.refused_by_address.inc();
            self.metrics.refused.inc();
            return None;
        };
        let permit = Arc::clone(&self.connections).try_acquire_owned();
        let permit = permit.inspect_err(|_| {
            self.metrics.refused.inc();
        });
        Some((permit.ok()?, place))
    }
}

/// How many connections may have wide windows.
fn wide_connections(bytes: u64) -> usize {
    let connections = usize::try_from(bytes / u64::from(WIDE.connection)).unwrap_or(usize::MAX);
    connections.min(Semaphore::MAX_PERMITS)
}

/// How many connections each address has.
#[derive(Debug)]
struct Addresses {
    max: usize,
    open: Mutex<HashMap<IpAddr, usize>>,
}

impl Addresses {
    fn new(max: usize) -> Self {
        Self {
            max,
            open: Mutex::default(),
        }
    }

    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<AddressPlace> {
        let address = host_network(address);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(address).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(AddressPlace {
            addresses: Arc::clone(self),
            address,
        })
    }
}

/// A connection of an address.
#[derive(Debug)]
struct AddressPlace {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Drop for AddressPlace {
    fn drop(&mut self) {
        let mut open = self.addresses.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut entry) = open.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[allow(clippy::too_many_arguments, reason = "what one connection is made of, passed once")]
async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<Arc<ServerConfig>>,
    wide: Arc<Semaphore>,
    service: Service,
    watcher: Watcher,
    patience: Patience,
    metrics: &ConnectionMetrics,
) {
    let _ = stream.set_nodelay(true); // answers are small; waiting for more bytes gains nothing
    let info = ConnectionInfo {
        peer,
        is_tls: tls.is_some(),
        sends_files: tls.is_none(),
    };
    let progress = Arc::new(Progress::default());
    let client = Client {
        info,
        service,
        progress: Arc::clone(&progress),
        max_header_bytes: patience.max_header_bytes,
    };
    let serving = async {
        match tls {
            None => {
                let stream = Paced::new(FileSocket::new(stream), Arc::clone(&progress), patience);
                // Whether it speaks HTTP/2 is not known yet.
                client.serve(TokioIo::new(stream), watcher, NARROW).await
            }
            Some(config) => {
                let stream = Paced::new(stream, Arc::clone(&progress), patience);
                match tokio::time::timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream)).await {
                    Ok(Ok(stream)) => {
                        let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                        if is_http2 {
                            progress.speaks_http2();
                        }
                        let place = is_http2.then(|| wide.try_acquire_owned().ok()).flatten();
                        let windows = if place.is_some() { WIDE } else { NARROW };
                        let outcome = client.serve(TokioIo::new(stream), watcher, windows).await;
                        drop(place);
                        outcome
                    }
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

/// One connection, as far as its requests go.
#[derive(Clone)]
struct Client {
    info: ConnectionInfo,
    service: Service,
    progress: Arc<Progress>,
    max_header_bytes: usize,
}

impl Client {
    async fn serve<I>(
        self,
        io: I,
        watcher: Watcher,
        windows: Windows,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
    where
        I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let max_header_bytes = u32::try_from(self.max_header_bytes).unwrap_or(u32::MAX);
        let service = hyper::service::service_fn(move |request| self.clone().answer(request));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            // Timed for the connection as a whole, see `progress`: a timer for each request costs more than a small answer.
            .header_read_timeout(None)
            .max_buf_size(MAX_BUFFER_BYTES);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_CONCURRENT_STREAMS)
            .max_header_list_size(max_header_bytes)
            .max_frame_size(MAX_FRAME_BYTES)
            .max_send_buf_size(MAX_STREAM_SEND_BYTES)
            .initial_stream_window_size(windows.stream)
            .initial_connection_window_size(windows.connection)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(20));
        watcher
            .watch(builder.serve_connection_with_upgrades(io, service).into_owned())
            .await
    }

    async fn answer(self, mut request: Request<Incoming>) -> Result<Response<WatchedBody>, Infallible> {
        self.progress.request(request.version() == Version::HTTP_2);
        if header_bytes(request.headers()) > self.max_header_bytes {
            let refusal = headers_too_large(&self.service, self.max_header_bytes);
            return Ok(refusal.map(|body| WatchedBody::new(body, self.progress)));
        }
        request.extensions_mut().insert(self.info);
        let response = match self.service {
            Service::Registry(registry) => hythe_distribution::answer(registry, request.map(Body::new)).await,
            Service::Router(router) => {
                request.extensions_mut().insert(hythe_rest::Connection {
                    peer: self.info.peer.ip(),
                    is_secure: self.info.is_tls,
                });
                router.oneshot(request.map(Body::new)).await?
            }
        };
        Ok(response.map(|body| WatchedBody::new(body, self.progress)))
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
    use tokio_rustls::TlsConnector;

    use super::*;

    async fn listen(
        max_connections: usize,
        max_connections_per_address: usize,
        tls: Option<Arc<ServerConfig>>,
    ) -> (SocketAddr, CancellationToken, TaskTracker) {
        let bounds = Bounds {
            max_connections,
            max_connections_per_address,
            max_header_bytes: 64 * 1024,
            write_idle: Duration::from_mins(1),
            min_bytes_per_second: 256,
            wide_window_bytes: 0,
        };
        let listener = Listener::bind("test", ([127, 0, 0, 1], 0).into(), tls, bounds)
            .await
            .unwrap();
        let address = listener.address().unwrap();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let router = Router::new().route("/", axum::routing::get(async || "hello"));
        tasks.spawn(listener.serve(Service::Router(router), stop.clone(), Duration::ZERO));
        tasks.close();
        (address, stop, tasks)
    }

    async fn ask(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .await
            .unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") && !answer.ends_with(b"}") {
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            answer.extend_from_slice(&buffer[..read]);
        }
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn connections_beyond_the_bounds_are_told_to_try_again() {
        for (max_connections, max_connections_per_address) in [(2, 10), (10, 2)] {
            let (address, stop, tasks) = listen(max_connections, max_connections_per_address, None).await;
            let mut kept = Vec::new();
            for _ in 0..2 {
                let mut stream = TcpStream::connect(address).await.unwrap();
                assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
                kept.push(stream);
            }
            let mut third = TcpStream::connect(address).await.unwrap();
            let refusal = ask(&mut third).await;
            assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
            assert!(
                refusal.contains("Retry-After: 1\r\n") && refusal.contains("UNAVAILABLE"),
                "{refusal}"
            );
            // Those that are there go on, and one that leaves makes room.
            assert!(ask(&mut kept[1]).await.starts_with("HTTP/1.1 200"));
            kept.pop();
            loop {
                let mut next = TcpStream::connect(address).await.unwrap();
                if ask(&mut next).await.starts_with("HTTP/1.1 200") {
                    break;
                }
            }
            stop.cancel();
            tasks.wait().await;
        }
    }
    #[tokio::test]
    async fn a_client_of_tls_is_told_to_try_again_over_tls() {
        let _is_first = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut server = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let (address, stop, tasks) = listen(1, 10, Some(Arc::new(server))).await;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let connect = async |protocols: &[&[u8]]| {
            let mut client = ClientConfig::builder()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            let stream = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            TlsConnector::from(Arc::new(client))
                .connect(name, stream)
                .await
                .unwrap()
        };
        let mut first = connect(&[b"http/1.1"]).await;
        assert!(ask(&mut first).await.starts_with("HTTP/1.1 200"));
        // One that would speak HTTP/2 too is led to the protocol of the answer.
        let mut second = connect(&[b"h2", b"http/1.1"]).await;
        assert_eq!(second.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let refusal = ask(&mut second).await;
        assert!(refusal.starts_with("HTTP/1.1 503"), "{refusal}");
        assert!(refusal.contains("Retry-After: 1\r\n"), "{refusal}");
        stop.cancel();
        drop((first, second));
        tasks.wait().await;
    }
}
