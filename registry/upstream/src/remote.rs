// SPDX-License-Identifier: Apache-2.0
//! One other registry, with what it is asked as.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use hythe_model::RegistryUrl;
use reqwest::{Response, Url};
use tokio::time::timeout;

use crate::challenge::Challenge;
use crate::rate_limit::{LastLimit, retry_after};
use crate::token::Tokens;
use crate::{Outgoing, PULL_PATH_HEADER, PullPath, RateLimit, UpstreamError};

/// How long it may take until the head of an answer is there.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// How long a body that is kept whole may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The most redirects on the way to one answer.
pub(crate) const MAX_REDIRECTS: usize = 5;

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user.
    pub username: String,
    /// The password, or the token that stands for one.
    pub secret: String,
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential(…)")
    }
}

/// What a token must be good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reading.
    Pull,
    /// Reading and writing.
    PullPush,
    /// Reading and deleting.
    PullDelete,
}

impl Access {
    /// As the Docker token flow calls it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::PullPush => "pull,push",
            Self::PullDelete => "pull,delete",
        }
    }
}

/// One other registry. It remembers tokens, and the limit that the registry spoke of last; clones share both.
#[derive(Clone, Debug)]
pub struct Remote {
    pub(crate) outgoing: Outgoing,
    pub(crate) registry: RegistryUrl,
    pub(crate) credential: Option<Credential>,
    pub(crate) headers: HeaderMap,
    pub(crate) tokens: Arc<Tokens>,
    rate_limit: Arc<LastLimit>,
}

/// A request, before it is known with which authorization it is sent.
#[derive(Debug)]
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// What a token must be for.
    pub(crate) repository: &'a str,
    pub(crate) access: Access,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
}

impl<'a> Ask<'a> {
    /// A request without a body for something to read.
    pub(crate) fn read(method: Method, url: Url, repository: &'a str) -> Self {
        Self {
            method,
            url,
            repository,
            access: Access::Pull,
            headers: HeaderMap::new(),
            body: None,
        }
    }

    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl Remote {
    /// The registry at `registry`.
    #[must_use]
    pub fn new(outgoing: Outgoing, registry: RegistryUrl, credential: Option<Credential>) -> Self {
        Self {
            outgoing,
            registry,
            credential,
            headers: HeaderMap::new(),
            tokens: Arc::default(),
            rate_limit: Arc::default(),
        }
    }

    /// Sends this header with each request to the registry itself.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Tells the registry with each request by which repositories the question came.
    #[must_use]
    pub fn asked_along(self, path: &PullPath) -> Self {
        match HeaderValue::from_str(&path.to_string()) {
            Ok(value) if !path.is_empty() => self.with_header(HeaderName::from_static(PULL_PATH_HEADER), value),
            // Its digits and commas always are a value.
            Ok(_) | Err(_) => self,
        }
    }

    /// Where it is.
    #[must_use]
    pub fn registry(&self) -> &RegistryUrl {
        &self.registry
    }

    /// What the registry said last about its limit, if that was within the window that it is about.
    #[must_use]
    pub fn rate_limit(&self) -> Option<RateLimit> {
        self.rate_limit.get()
    }

    /// For how much longer the registry is to be left alone since it said that no request is left: at most a minute after it
    /// said so, as it does not say when there will be more. Nothing here refuses to ask: whoever asks knows what counts.
    #[must_use]
    pub fn used_up_for(&self) -> Option<Duration> {
        self.rate_limit.used_up_for()
    }

    /// Whether the registry is there and takes the credentials, asked as `docker login` does.
    pub async fn ping(&self) -> Result<(), UpstreamError> {
        let ask = Ask::read(Method::GET, self.url("")?, "");
        self.ask(ask).await.map(drop)
    }

    /// The URL of `path` below `/v2/`.
    pub(crate) fn url(&self, path: &str) -> Result<Url, UpstreamError> {
        let text = format!("{}/v2/{path}", self.registry.url());
        Url::parse(&text).map_err(|error| UpstreamError::invalid(error.to_string()))
    }

    /// Sends a request and gives the answer if it is a success.
    pub(crate) async fn ask(&self, ask: Ask<'_>) -> Result<Response, UpstreamError> {
        let response = self.answer(ask).await?;
        match refusal(response.status(), response.headers()) {
            None => Ok(response),
            Some(error) => Err(error),
        }
    }

    /// Sends a request, logs in if that is what is missing, and gives the answer whatever it says.
    pub(crate) async fn answer(&self, ask: Ask<'_>) -> Result<Response, UpstreamError> {
        let known = self.tokens.known(ask.repository, ask.access);
        let response = self.send(&ask, known.as_ref()).await?;
        if response.status() != StatusCode::UNAUTHORIZED || !is_same_origin(response.url(), &ask.url) {
            return Ok(response);
        }
        let Some(challenge) = Challenge::of(response.headers()) else {
            return Ok(response);
        };
        drop(response);
        let authorization = self.log_in(&ask, &challenge, known.as_ref()).await?;
        self.send(&ask, Some(&authorization)).await
    }

    /// Sends a request with this authorization, and follows where a read is sent to. Only the registry itself sees the
    /// authorization and the headers of ours.
    async fn send(&self, ask: &Ask<'_>, authorization: Option<&HeaderValue>) -> Result<Response, UpstreamError> {
        let mut url = ask.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let mut headers = ask.headers.clone();
            if is_same_origin(&url, &ask.url) {
                headers.extend(self.headers.clone());
                if let Some(authorization) = authorization {
                    headers.insert(AUTHORIZATION, authorization.clone());
                }
            }
            let request = self.outgoing.client(&url)?.request(ask.method.clone(), url.clone());
            let request = match &ask.body {
                Some(body) => request.headers(headers).body(body.clone()),
                None => request.headers(headers),
            };
            let response = timeout(HEAD_TIMEOUT, request.send()).await;
            let response = response.map_err(|_| UpstreamError::Timeout("no answer within the time for it"))??;
            // Where it sends to may have limits of its own.
            if is_same_origin(&url, &ask.url) {
                self.rate_limit.note(response.headers());
            }
            let is_read = ask.method == Method::GET || ask.method == Method::HEAD;
            if !is_read || !is_redirect(response.status()) {
                return Ok(response);
            }
            url = next(&url, response.headers())?;
        }
        Err(UpstreamError::invalid("too many redirects"))
    }
}

/// Whether a status sends a reader to another place. A 304 and a 300 do not.
fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// Where an answer sends to.
fn next(url: &Url, headers: &HeaderMap) -> Result<Url, UpstreamError> {
    let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
    let next = location.and_then(|location| url.join(location).ok());
    let next = next.ok_or_else(|| UpstreamError::invalid("a redirect to nowhere"))?;
    if url.scheme() == "https" && next.scheme() != "https" {
        return Err(UpstreamError::invalid("a redirect from https to another scheme"));
    }
    Ok(next)
}

fn is_same_origin(one: &Url, other: &Url) -> bool {
    one.origin() == other.origin()
}

/// What a status says if it is not a success.
pub(crate) fn refusal(status: StatusCode, headers: &HeaderMap) -> Option<UpstreamError> {
    match status {
        status if status.is_success() => None,
        StatusCode::NOT_FOUND => Some(UpstreamError::NotFound),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(UpstreamError::Denied),
        StatusCode::TOO_MANY_REQUESTS => Some(UpstreamError::TooManyRequests {
            retry_after: retry_after(headers),
        }),
        status => Some(UpstreamError::Server {
            status: status.as_u16(),
        }),
    }
}

/// The body of an answer, if it has at most `limit` bytes.
pub(crate) async fn read_all(mut response: Response, limit: usize, what: &str) -> Result<Bytes, UpstreamError> {
    let too_long = || UpstreamError::invalid(format!("{what} has more than {limit} bytes"));
    let announced = response.content_length().unwrap_or(0);
    if announced > limit as u64 {
        return Err(too_long());
    }
    let read = async {
        let mut bytes = BytesMut::new();
        while let Some(chunk) = response.chunk().await? {
            if bytes.len() + chunk.len() > limit {
                return Err(too_long());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    };
    let read = timeout(BODY_TIMEOUT, read).await;
    read.map_err(|_| UpstreamError::Timeout("no whole answer within the time for it"))?
}
