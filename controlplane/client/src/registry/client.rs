// SPDX-License-Identifier: Apache-2.0
//! Requests to a registry (OCI Distribution Specification 1.1).

use std::fmt;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hythe_model::{Digest, MAX_MANIFEST_BYTES, Manifest, MediaType, Reference};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::TransferError;
use super::digester;
use crate::client::printable;
use crate::retry::{jitter, retry_after};
use crate::{ClientError, Credentials, Endpoint, RetryPolicy, Transport};

/// How long nothing may move, in seconds.
pub(super) const STALL_SECONDS: u64 = 120;

/// The longest explanation of a refusal that is read, in bytes.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// Manifests that are asked for.
const MANIFEST_TYPES: [&str; 4] = [
    MediaType::OCI_INDEX,
    MediaType::OCI_MANIFEST,
    MediaType::DOCKER_LIST,
    MediaType::DOCKER_MANIFEST,
];

/// A client of one registry.
#[derive(Clone)]
pub struct RegistryClient {
    http: reqwest::Client,
    endpoint: Endpoint,
    authorization: HeaderValue,
    retry: RetryPolicy,
}

impl fmt::Debug for RegistryClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("RegistryClient")
            .field("endpoint", &self.endpoint)
            .finish_non_exhaustive()
    }
}

impl RegistryClient {
    /// A client of the registry at `endpoint`, such as the `proxyEndpoint` of an authorization token.
    pub fn new(endpoint: Endpoint, credentials: &Credentials, transport: &Transport) -> Result<Self, ClientError> {
        let http = transport.for_blobs(&endpoint)?;
        let authorization = credentials
            .basic_header()
            .ok_or_else(|| ClientError::Setup("the credentials hold characters that no credentials have".into()))?;
        Ok(Self {
            http,
            endpoint,
            authorization,
            retry: RetryPolicy::default(),
        })
    }

    /// The same with another policy of retries.
    #[must_use]
    pub fn with_retries(self, retry: RetryPolicy) -> Self {
        Self { retry, ..self }
    }

    /// A request to `/v2/<repository>/<rest>`.
    pub(super) fn request(&self, method: Method, repository: &str, rest: &str) -> RequestBuilder {
        let url = format!("{}/v2/{repository}/{rest}", self.endpoint);
        self.http
            .request(method, url)
            .header(AUTHORIZATION, self.authorization.clone())
    }

    /// A request to a place that the registry named. The credentials stay with the registry's own host.
    pub(super) fn request_at(&self, method: Method, url: Url) -> RequestBuilder {
        let is_own = url.origin() == self.endpoint.url().origin();
        let request = self.http.request(method, url);
        if is_own {
            request.header(AUTHORIZATION, self.authorization.clone())
        } else {
            request
        }
    }

    /// Where an answer's `Location` points.
    pub(super) fn location(&self, response: &Response) -> Result<Url, TransferError> {
        let text = response.headers().get("location").and_then(|value| value.to_str().ok());
        let url = text
            .and_then(|text| response.url().join(text).ok())
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        let url = url.filter(|url| !self.endpoint.is_tls() || url.scheme() == "https");
        Ok(url.ok_or_else(|| self.odd("an upload without a usable `Location`"))?)
    }

    pub(super) fn odd(&self, what: &str) -> ClientError {
        ClientError::Decode {
            endpoint: self.endpoint.to_string(),
            what: what.into(),
        }
    }

    /// How long to wait before going on after `failures` failures in a row; `None` to give up.
    pub(super) fn pause(&self, failures: u32) -> Option<Duration> {
        self.retry.pause(failures, None, jitter())
    }

    /// Sends a request once; a refusal is an error.
    pub(super) async fn send_once(&self, request: RequestBuilder) -> Result<Response, TransferError> {
        self.send_and_classify(request).await.map_err(|(error, _)| error)
    }

    /// Sends a request that holds no stream, again if it certainly took no effect.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, TransferError> {
        let mut failures = 0;
        loop {
            let Some(again) = request.try_clone() else {
                return self.send_once(request).await;
            };
            let stall = Duration::from_secs(STALL_SECONDS);
            let answer = tokio::time::timeout(stall, self.send_and_classify(again)).await;
            let (error, asked) = match answer {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(failure)) => failure,
                Err(_) => return Err(TransferError::Stalled(STALL_SECONDS)),
            };
            failures += 1;
            let took_no_effect = match &error {
                TransferError::Client(ClientError::Connect { .. }) => true,
                TransferError::Refused { status, .. } => matches!(status.as_u16(), 429 | 503),
                _ => false,
            };
            let pause = if took_no_effect {
                self.retry.pause(failures, asked, jitter())
            } else {
                None
            };
            let Some(pause) = pause else { return Err(error) };
            tokio::time::sleep(pause).await;
        }
    }

    async fn send_and_classify(&self, request: RequestBuilder) -> Result<Response, (TransferError, Option<Duration>)> {
        let response = request
            .send()
            .await
            .map_err(|error| (ClientError::of_transport(&error, self.endpoint.as_str()).into(), None))?;
        if response.status().is_success() {
            return Ok(response);
        }
        let asked = retry_after(response.headers());
        Err((self.refusal(response).await, asked))
    }

    async fn refusal(&self, response: Response) -> TransferError {
        #[derive(Deserialize)]
        struct Body {
            errors: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            #[serde(default)]
            code: String,
            #[serde(default)]
            message: String,
        }
        let status = response.status();
        let bytes = self.read(response, MAX_REFUSAL_BYTES).await.unwrap_or_default();
        let entry = serde_json::from_slice::<Body>(&bytes)
            .ok()
            .and_then(|body| body.errors.into_iter().next());
        let (code, message) = match entry {
            Some(entry) if !entry.message.is_empty() => (entry.code, printable(&entry.message)),
            Some(entry) => (entry.code.clone(), format!("{status} {}", printable(&entry.code))),
            None => (String::new(), status.to_string()),
        };
        TransferError::Refused { status, code, message }
    }

    /// The body of an answer, if it has at most `limit` bytes.
    pub(super) async fn read(&self, mut response: Response, limit: usize) -> Result<Bytes, TransferError> {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = self.chunk(&mut response).await? {
            if bytes.len() + chunk.len() > limit {
                return Err(self.odd(&format!("more than {limit} bytes")).into());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// The next bytes of an answer, if they come in time.
    pub(super) async fn chunk(&self, response: &mut Response) -> Result<Option<Bytes>, TransferError> {
        match tokio::time::timeout(Duration::from_secs(STALL_SECONDS), response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(error)) => Err(ClientError::of_transport(&error, self.endpoint.as_str()).into()),
            Err(_) => Err(TransferError::Stalled(STALL_SECONDS)),
        }
    }

    /// Whether something is there; a question that the registry answers with 404 is not an error.
    pub(super) async fn exists(&self, request: RequestBuilder) -> Result<bool, TransferError> {
        match self.send(request).await {
            Ok(_) => Ok(true),
            Err(TransferError::Refused { status, .. }) if status == StatusCode::NOT_FOUND => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a manifest is in the repository.
    pub(super) async fn has_manifest(&self, repository: &str, digest: &Digest) -> Result<bool, TransferError> {
        let request = self.request(Method::HEAD, repository, &format!("manifests/{digest}"));
        self.exists(request.header(ACCEPT, MANIFEST_TYPES.join(", "))).await
    }

    /// A manifest, checked against the digest that it was asked for by, or that the registry says it has.
    pub(super) async fn manifest(
        &self,
        repository: &str,
        reference: &Reference,
    ) -> Result<(Digest, Manifest), TransferError> {
        let request = self.request(Method::GET, repository, &format!("manifests/{reference}"));
        let response = self.send(request.header(ACCEPT, MANIFEST_TYPES.join(", "))).await?;
        let header = |name: &str| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let said: Option<Digest> = header("docker-content-digest").and_then(|text| text.parse().ok());
        let content_type = header(CONTENT_TYPE.as_str());
        let bytes = self.read(response, MAX_MANIFEST_BYTES).await?;
        let digest = match (reference, said) {
            (Reference::Digest(digest), _) => *digest,
            (Reference::Tag(_), Some(digest)) => digest,
            (Reference::Tag(_), None) => {
                digester::sha256(&bytes).ok_or_else(|| self.odd("a manifest without a digest"))?
            }
        };
        if !digester::has_digest(&bytes, &digest) {
            return Err(TransferError::Damaged {
                expected: digest,
                found: "another digest".into(),
            });
        }
        let manifest = Manifest::parse(bytes, content_type.as_deref());
        let manifest = manifest.map_err(|source| TransferError::Manifest { digest, source })?;
        if manifest.is_schema1() {
            return Err(TransferError::Schema1(digest));
        }
        Ok((digest, manifest))
    }

    /// Stores a manifest under its digest or a tag.
    pub(super) async fn put_manifest(
        &self,
        repository: &str,
        reference: &Reference,
        digest: &Digest,
        manifest: &Manifest,
    ) -> Result<(), TransferError> {
        let request = self
            .request(Method::PUT, repository, &format!("manifests/{reference}"))
            .header(CONTENT_TYPE, manifest.media_type().as_str())
            .body(manifest.bytes().clone());
        let response = self.send(request).await?;
        let stored = response
            .headers()
            .get("docker-content-digest")
            .and_then(|value| value.to_str().ok());
        match stored.and_then(|text| text.parse::<Digest>().ok()) {
            // A registry may name it by another algorithm than the image's author did.
            Some(stored) if stored.algorithm() == digest.algorithm() && stored != *digest => {
                Err(TransferError::Damaged {
                    expected: *digest,
                    found: format!("the registry stored `{stored}`"),
                })
            }
            _ => Ok(()),
        }
    }
}
