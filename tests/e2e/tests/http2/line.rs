// SPDX-License-Identifier: Apache-2.0
//! HTTP/2 over TLS, with every window in the hands of the test.

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use e2e::Server;
use e2e::http::Response;
use e2e::registry::{digest, location, with_query};
use h2::client::{ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::Request;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

/// How long anything may take before the test fails.
const LIMIT: Duration = Duration::from_mins(1);
/// How much of a body is handed over at once, in bytes.
const PIECE: usize = 32 * 1024;

/// What the client lets the server send before it is read, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// Of one answer.
    pub stream: u32,
    /// Of all answers of the connection.
    pub connection: u32,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            stream: 1024 * 1024,
            connection: 4 * 1024 * 1024,
        }
    }
}

/// A connection.
pub struct Line {
    sender: SendRequest<Bytes>,
    pings: PingPong,
    ends: JoinSet<Result<(), h2::Error>>,
    authority: String,
    authorization: String,
}

/// A request whose body is not sent yet.
pub struct Begun {
    pub answer: ResponseFuture,
    pub body: SendStream<Bytes>,
}

impl Line {
    /// To the registry of a server, as its administrator.
    pub async fn to_registry(server: &Server, windows: Windows) -> Result<Self> {
        Self::open(server, server.registry(), windows).await
    }

    /// To the control plane of a server, as its administrator.
    pub async fn to_control(server: &Server) -> Result<Self> {
        Self::open(server, server.credentials().control_address(), Windows::default()).await
    }

    async fn open(server: &Server, address: &str, windows: Windows) -> Result<Self> {
        let credentials = server.credentials();
        let bundle = credentials.ca_bundle.as_ref().context("the credentials name no CA")?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(bundle)? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from("127.0.0.1")?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        ensure!(stream.get_ref().1.alpn_protocol() == Some(b"h2"), "not HTTP/2");
        let (sender, mut connection) = h2::client::Builder::new()
            .initial_window_size(windows.stream)
            .initial_connection_window_size(windows.connection)
            .enable_push(false)
            .handshake(stream)
            .await?;
        let pings = connection.ping_pong().context("no pings")?;
        let mut ends = JoinSet::new();
        ends.spawn(connection);
        Ok(Self {
            sender,
            pings,
            ends,
            authority: address.to_owned(),
            authorization: credentials.basic(),
        })
    }

    /// Sends the head of a request.
    pub async fn begin(&mut self, method: &str, path: &str, headers: &[(&str, &str)], ends: bool) -> Result<Begun> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.authority))
            .header("authorization", &self.authorization);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let sender = within("a place for a stream", self.sender.clone().ready()).await??;
        self.sender = sender;
        let (answer, body) = self.sender.send_request(request.body(())?, ends)?;
        Ok(Begun { answer, body })
    }

    /// Asks, and reads the whole answer.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Response> {
        let mut begun = self.begin(method, path, headers, body.is_empty()).await?;
        if !body.is_empty() {
            send(&mut begun.body, body, true).await?;
        }
        whole(begun.answer).await
    }

    /// Uploads a blob as a stream of unknown length; answers its digest.
    pub async fn push_blob(&mut self, repository: &str, bytes: &[u8]) -> Result<String> {
        let digest = digest(bytes);
        let upload = self.begin_upload(repository).await?;
        let headers = [("content-type", "application/octet-stream")];
        let answer = self.ask("PATCH", &upload, &headers, bytes).await?.expect(202)?;
        let end = with_query(&location(&answer)?, "digest", &digest);
        self.ask("PUT", &end, &[], &[]).await?.expect(201)?;
        Ok(digest)
    }

    /// Begins an upload; answers where its bytes go.
    pub async fn begin_upload(&mut self, repository: &str) -> Result<String> {
        let path = format!("/v2/{repository}/blobs/uploads/");
        location(&self.ask("POST", &path, &[], &[]).await?.expect(202)?)
    }

    /// Waits until the server has seen what was sent before, and this side what it said to that.
    pub async fn fence(&mut self) -> Result<()> {
        within("a pong", self.pings.ping(Ping::opaque())).await??;
        Ok(())
    }

    /// Waits for the end of the connection.
    pub async fn end(mut self) -> Result<()> {
        drop(self.sender);
        let end = within("the end of the connection", self.ends.join_next()).await?;
        end.context("no connection")???;
        Ok(())
    }

    /// A figure of `/metrics`; on a line to the control plane.
    pub async fn metric(&mut self, name: &str) -> Result<u64> {
        let text = self.ask("GET", "/metrics", &[], &[]).await?.expect(200)?.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(line.with_context(|| format!("no `{name}`"))?.trim().parse()?)
    }

    /// Waits until a figure of `/metrics` is `wanted`.
    pub async fn wait_for(&mut self, name: &str, wanted: u64) -> Result<()> {
        let mut last = None;
        let outcome = within(name, async {
            loop {
                last = Some(self.metric(name).await?);
                if last == Some(wanted) {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        outcome
            .and_then(|outcome| outcome)
            .with_context(|| format!("{name} is {last:?}, not {wanted}"))
    }
}

/// `work`, which ends the test if it takes for ever.
pub async fn within<T>(what: &str, work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(LIMIT, work)
        .await
        .with_context(|| format!("waited too long for {what}"))
}

/// Sends a part of a body, as the server makes room for it.
pub async fn send(body: &mut SendStream<Bytes>, bytes: &[u8], ends: bool) -> Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        body.reserve_capacity(rest.len().min(PIECE));
        while body.capacity() == 0 {
            match within("room to send", poll_fn(|context| body.poll_capacity(context))).await? {
                Some(room) => drop(room?),
                None => bail!("the server wants no more of the body"),
            }
        }
        let (piece, after) = rest.split_at(body.capacity().min(rest.len()));
        body.send_data(Bytes::copy_from_slice(piece), ends && after.is_empty())?;
        rest = after;
    }
    Ok(())
}

/// Sends what the server has room for right now; answers how much that was.
pub fn send_at_once(body: &mut SendStream<Bytes>, bytes: &[u8]) -> Result<usize> {
    body.reserve_capacity(bytes.len());
    let piece = bytes.get(..body.capacity().min(bytes.len())).unwrap_or_default();
    if !piece.is_empty() {
        body.send_data(Bytes::copy_from_slice(piece), false)?;
    }
    Ok(piece.len())
}

/// The head of an answer, and its body to be read.
pub async fn head(answer: ResponseFuture) -> Result<(Response, RecvStream)> {
    let (parts, body) = within("an answer", answer).await??.into_parts();
    let headers = parts.headers.iter();
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let head = Response {
        status: parts.status.as_u16(),
        headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
        body: Vec::new(),
    };
    Ok((head, body))
}

/// Reads a body to its end.
pub async fn rest(body: &mut RecvStream) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(piece) = within("bytes of a body", body.data()).await? {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// A whole answer.
pub async fn whole(answer: ResponseFuture) -> Result<Response> {
    let (mut answer, mut body) = head(answer).await?;
    answer.body = rest(&mut body).await?;
    Ok(answer)
}
