// SPDX-License-Identifier: Apache-2.0
//! Sending one request to the control plane and reading its answer.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use hythe_wire::{IDEMPOTENCY_KEY, Problem, Secret, code};
use reqwest::header::{AUTHORIZATION, ETAG, HeaderMap, HeaderValue, IF_MATCH};
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::retry::{RetryPolicy, retry_after};
use crate::web_identity::SessionKeeper;
use crate::{ClientError, Credentials, Endpoint, Settings, Transport, WebIdentity};

/// The longest answer that is read, in bytes: a page of 1000 images with many tags each stays far below.
const MAX_ANSWER_BYTES: usize = 32 * 1024 * 1024;

/// A client of the control plane. Cheap to clone; a dropped call is a cancelled one.
#[derive(Clone)]
pub struct Client(Arc<Inner>);

struct Inner {
    http: reqwest::Client,
    endpoint: Endpoint,
    authorization: Authorization,
    retry: RetryPolicy,
}

enum Authorization {
    Fixed(HeaderValue),
    Session(SessionKeeper),
}

/// The version of a resource, as the server's `ETag` has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ETag(HeaderValue);

impl ETag {
    /// The version as text, with its quotation marks.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// A version that was kept as text; `None` if it cannot stand in a header.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        HeaderValue::from_str(text).ok().map(Self)
    }
}

/// A resource and its version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The resource.
    pub value: T,
    /// Its version, for `If-Match`; `None` if the server gave none.
    pub etag: Option<ETag>,
}

/// The key that lets a create be sent twice and take effect once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(HeaderValue);

impl IdempotencyKey {
    /// A new key.
    #[must_use]
    pub fn random() -> Self {
        Self(HeaderValue::from_str(&Uuid::new_v4().to_string()).unwrap_or(HeaderValue::from_static("0")))
    }

    /// A key out of 1 to 128 visible characters.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let is_allowed = (1..=hythe_wire::MAX_IDEMPOTENCY_KEY_CHARS).contains(&text.len())
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_allowed {
            HeaderValue::from_str(text).ok().map(Self)
        } else {
            None
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("endpoint", &self.0.endpoint)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client with these settings. It connects with the first call.
    pub fn new(settings: &Settings) -> Result<Self, ClientError> {
        Self::with_retries(settings, RetryPolicy::default())
    }

    /// The same with another policy of retries.
    pub fn with_retries(settings: &Settings, retry: RetryPolicy) -> Result<Self, ClientError> {
        let transport = Transport::from(settings);
        let http = transport.for_api(&settings.endpoint, settings.request_timeout)?;
        let authorization = match &settings.credentials {
            Credentials::WebIdentity(identity) => {
                // A server that is not checked is one thing, the provider that knows the user's secrets another.
                let checked = Transport {
                    insecure: false,
                    ..transport
                };
                Authorization::Session(SessionKeeper::new(WebIdentity::clone(identity), checked))
            }
            fixed @ (Credentials::AccessKey { .. } | Credentials::Token(_)) => {
                Authorization::Fixed(fixed.control_header().ok_or_else(|| {
                    ClientError::Setup("the credentials hold characters that no credentials have".into())
                })?)
            }
        };
        Ok(Self(Arc::new(Inner {
            http,
            endpoint: settings.endpoint.clone(),
            authorization,
            retry,
        })))
    }

    /// A client of the same server over the same connections, with a token in place of the credentials.
    pub fn with_token(&self, token: &Secret) -> Result<Self, ClientError> {
        let header = Credentials::Token(token.clone()).control_header();
        let header = header.ok_or_else(|| ClientError::Setup("the token holds characters that no token has".into()))?;
        Ok(Self(Arc::new(Inner {
            http: self.0.http.clone(),
            endpoint: self.0.endpoint.clone(),
            authorization: Authorization::Fixed(header),
            retry: self.0.retry,
        })))
    }

    /// The control plane that it talks to.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> Call {
        Call {
            is_open: false,
            ..self.open_request(method, path)
        }
    }

    /// A request without credentials.
    pub(crate) fn open_request(&self, method: Method, path: &str) -> Call {
        Call {
            client: self.clone(),
            request: self.0.http.request(method, format!("{}{path}", self.0.endpoint)),
            is_open: true,
        }
    }

    /// What a request says about who sends it. `ended`: what it said before, and the server does not take any more.
    async fn authorization(&self, ended: Option<&HeaderValue>) -> Result<HeaderValue, ClientError> {
        match &self.0.authorization {
            Authorization::Fixed(header) => Ok(header.clone()),
            // The exchange is a call without credentials, so that this ends.
            Authorization::Session(keeper) => Box::pin(keeper.header(self, ended)).await,
        }
    }

    /// Whether another session may help: the server has looked at the credentials and at nothing else.
    fn has_ended(&self, error: &ClientError) -> bool {
        matches!(self.0.authorization, Authorization::Session(_))
            && matches!(error.code(), Some(code::EXPIRED_TOKEN | code::UNRECOGNIZED_CLIENT))
    }

    pub(crate) fn get(&self, path: &str) -> Call {
        self.request(Method::GET, path)
    }

    pub(crate) fn decode_error(&self, what: impl Into<String>) -> ClientError {
        ClientError::Decode {
            endpoint: self.0.endpoint.to_string(),
            what: what.into(),
        }
    }
}

/// One request in the making.
pub(crate) struct Call {
    client: Client,
    request: RequestBuilder,
    is_open: bool,
}

impl Call {
    pub(crate) fn query(self, query: &impl Serialize) -> Self {
        Self {
            request: self.request.query(query),
            ..self
        }
    }

    pub(crate) fn body(self, body: &impl Serialize) -> Self {
        Self {
            request: self.request.json(body),
            ..self
        }
    }

    pub(crate) fn if_match(self, etag: Option<&ETag>) -> Self {
        match etag {
            Some(etag) => Self {
                request: self.request.header(IF_MATCH, etag.0.clone()),
                ..self
            },
            None => self,
        }
    }

    pub(crate) fn idempotency(self, key: &IdempotencyKey) -> Self {
        Self {
            request: self.request.header(IDEMPOTENCY_KEY, key.0.clone()),
            ..self
        }
    }

    /// Sends it, as often as the policy says, and reads a JSON answer.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.versioned().await.map(|answer| answer.value)
    }

    /// The same with the answer's version.
    pub(crate) async fn versioned<T: DeserializeOwned>(self) -> Result<Versioned<T>, ClientError> {
        let client = self.client.clone();
        let (headers, bytes) = self.bytes().await?;
        let value = serde_json::from_slice(&bytes).map_err(|error| client.decode_error(error.to_string()))?;
        Ok(Versioned {
            value,
            etag: headers.get(ETAG).cloned().map(ETag),
        })
    }

    /// The same with the bytes as they are.
    pub(crate) async fn bytes(self) -> Result<(HeaderMap, Bytes), ClientError> {
        let Self {
            client,
            request,
            is_open,
        } = self;
        let mut failures = 0;
        let mut ended = None;
        loop {
            let Some(mut request) = request.try_clone() else {
                return Err(ClientError::Setup(
                    "a request with a stream cannot be sent again".into(),
                ));
            };
            let mut sent_as = None;
            if !is_open {
                let header = client.authorization(ended.as_ref()).await?;
                request = request.header(AUTHORIZATION, header.clone());
                sent_as = Some(header);
            }
            let error = match client.send(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !is_open && ended.is_none() && client.has_ended(&error) {
                ended = sent_as;
                continue;
            }
            failures += 1;
            let Some(pause) = client.0.retry.after(failures, &error) else {
                return Err(error);
            };
            tracing::debug!(error = %error, pause.ms = pause.as_millis(), "request is sent again");
            tokio::time::sleep(pause).await;
        }
    }
}

impl Client {
    async fn send(&self, request: RequestBuilder) -> Result<(HeaderMap, Bytes), ClientError> {
        let endpoint = self.0.endpoint.as_str();
        let response = request
            .send()
            .await
            .map_err(|error| ClientError::of_transport(&error, endpoint))?;
        let status = response.status();
        let headers = response.headers().clone();
        let bytes = read(response, endpoint).await?;
        if status.is_success() {
            return Ok((headers, bytes));
        }
        if status.is_redirection() {
            let to = headers
                .get("location")
                .and_then(|value| value.to_str().ok())
                .unwrap_or("another place");
            return Err(self.decode_error(format!("a redirect ({status}) to `{}`", printable(to))));
        }
        let mut problem = serde_json::from_slice::<Problem>(&bytes).unwrap_or_else(|_| Problem {
            kind: "about:blank".into(),
            title: status.canonical_reason().unwrap_or_default().into(),
            status: status.as_u16(),
            detail: String::new(),
            code: String::new(),
            pointer: None,
            request_id: None,
        });
        if problem.detail.is_empty() && problem.code.is_empty() {
            let text = printable(&String::from_utf8_lossy(bytes.get(..200).unwrap_or(&bytes)));
            problem.detail = if text.is_empty() {
                format!("the server answered {status}")
            } else {
                format!("the server answered {status}: {text}")
            };
        }
        Err(ClientError::Problem {
            status,
            problem: Box::new(problem),
            retry_after: retry_after(&headers),
        })
    }
}

/// Text from elsewhere, as it may stand in a message: one line without control characters.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

async fn read(mut response: Response, endpoint: &str) -> Result<Bytes, ClientError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response
        .chunk()
        .await
        .map_err(|error| ClientError::of_transport(&error, endpoint))?
    {
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err(ClientError::Decode {
                endpoint: endpoint.into(),
                what: format!("more than {MAX_ANSWER_BYTES} bytes"),
            });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}
