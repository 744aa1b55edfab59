// SPDX-License-Identifier: Apache-2.0
//! Turning connections away that are too many: with an answer that says when to try again, as far as that costs little.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::task::TaskTracker;

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
