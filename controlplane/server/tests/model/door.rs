// SPDX-License-Identifier: Apache-2.0
//! What clients do, by HTTP with the real data plane, and what nodes do by themselves.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt as _;
use hythe_access::{
    Action, AuthenticationError, Caller, Credentials, Decision, Gate, GateError, IssueError, IssuedToken, Principal,
    RequestContext, Resource, TokenScope,
};
use hythe_distribution::{Limits, Metrics, Registry, RegistryConfig, router};
use hythe_model::{AccountId, Clock, ManualClock, MediaType, Region};
use tower::ServiceExt as _;

use crate::contents::{BLOB, IMAGE};
use crate::gated::Gated;

/// How often a client sends again what the registry says is missing.
const ROUNDS: usize = 4;

/// What goes wrong that must not.
pub type Outcome<T> = Result<T, String>;

/// Lets everybody do everything.
#[derive(Debug)]
struct Everybody;

#[async_trait]
impl Gate for Everybody {
    async fn authenticate(&self, _: &Credentials) -> Result<Caller, AuthenticationError> {
        Ok(Caller::of(Principal::Root(AccountId::default())))
    }

    async fn decide(&self, _: &Caller, _: Action, _: &Resource, _: &RequestContext) -> Result<Decision, GateError> {
        Ok(Decision::Allowed(None))
    }

    async fn issue(&self, _: &Caller, _: TokenScope) -> Result<IssuedToken, IssueError> {
        Err(IssueError::TooLong)
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    fn location(&self) -> Outcome<String> {
        let location = self.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        location
            .map(str::to_owned)
            .ok_or_else(|| format!("no location: {self:?}"))
    }
}

/// What became of a part of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    Done,
    /// Refused as a registry may: it is busy, or the session has ended.
    Refused,
}

/// How a blob is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Single,
    Chunks,
}

/// One client's way to the data plane of a node.
#[derive(Clone)]
pub struct Door {
    router: Router,
    pub gated: Arc<Gated>,
    clock: Arc<ManualClock>,
}

impl Door {
    pub fn new(gated: Gated, clock: &Arc<ManualClock>) -> Self {
        let gated = Arc::new(gated);
        let config = RegistryConfig {
            default_account: AccountId::default(),
            region: Region::default(),
            host_accounts: Vec::new(),
            base_domain: None,
            limits: Limits {
                upload_idle_timeout: Duration::from_hours(1),
                ..Limits::default()
            },
            service: "registry.test".into(),
            public_url: None,
        };
        let registry = Registry::new(
            config,
            Arc::new(Everybody),
            Arc::<Gated>::clone(&gated),
            Arc::<Gated>::clone(&gated),
            Arc::<ManualClock>::clone(clock),
            Metrics::new(),
        );
        Self {
            router: router(registry),
            gated,
            clock: Arc::clone(clock),
        }
    }

    /// Does something behind everybody's back, for a fault that is planted.
    pub async fn execute(&self, sql: String) {
        self.gated.database.execute(sql).await;
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::<ManualClock>::clone(&self.clock)
    }

    pub fn now(&self) -> jiff::Timestamp {
        self.clock.now()
    }

    async fn send(&self, method: Method, path: &str, kind: Option<&str>, body: Bytes) -> Outcome<Reply> {
        let mut request = Request::builder()
            .method(&method)
            .uri(path)
            .header(header::HOST, "registry.test");
        request = request.header(header::CONTENT_LENGTH, body.len());
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let request = request.body(Body::from(body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await;
        let body = body.map_err(|error| format!("{method} {path}: the answer breaks off: {error}"))?;
        let reply = Reply {
            status: parts.status,
            headers: parts.headers,
            body: body.to_bytes(),
        };
        if reply.status.is_server_error() && reply.status != StatusCode::SERVICE_UNAVAILABLE {
            return Err(format!("{method} {path}: {reply:?}"));
        }
        Ok(reply)
    }

    pub async fn get(&self, path: &str) -> Outcome<Reply> {
        self.send(Method::GET, path, None, Bytes::new()).await
    }

    pub async fn head(&self, path: &str) -> Outcome<Reply> {
        self.send(Method::HEAD, path, None, Bytes::new()).await
    }

    pub async fn delete(&self, path: &str) -> Outcome<Reply> {
        self.send(Method::DELETE, path, None, Bytes::new()).await
    }

    async fn post(&self, path: &str) -> Outcome<Reply> {
        self.send(Method::POST, path, None, Bytes::new()).await
    }

    /// Sends a blob, unless the registry says that it is there.
    pub async fn push_blob(&self, repository: &str, blob: usize, way: Way) -> Outcome<Sent> {
        let known = self
            .head(&format!("/v2/{repository}/blobs/{}", BLOB[blob].digest))
            .await?;
        if known.status == StatusCode::OK {
            return Ok(Sent::Done);
        }
        match self.begin(repository).await? {
            Some(session) => self.send_blob(&session, blob, way).await,
            None => Ok(Sent::Refused),
        }
    }

    /// Begins an upload; `None` if the registry is busy.
    pub async fn begin(&self, repository: &str) -> Outcome<Option<String>> {
        let begun = self.post(&format!("/v2/{repository}/blobs/uploads/")).await?;
        match begun.status {
            StatusCode::ACCEPTED => begun.location().map(Some),
            // Somebody deletes the repository.
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::NOT_FOUND => Ok(None),
            _ => Err(format!("an upload cannot begin: {begun:?}")),
        }
    }

    pub async fn append(&self, session: &str, blob: usize) -> Outcome<Sent> {
        let octets = Some("application/octet-stream");
        let appended = self
            .send(Method::PATCH, session, octets, BLOB[blob].bytes.clone())
            .await?;
        match appended.status {
            StatusCode::ACCEPTED => Ok(Sent::Done),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::NOT_FOUND | StatusCode::CONFLICT => Ok(Sent::Refused),
            _ => Err(format!("bytes are refused: {appended:?}")),
        }
    }

    async fn send_blob(&self, session: &str, blob: usize, way: Way) -> Outcome<Sent> {
        let mut last = BLOB[blob].bytes.clone();
        if way == Way::Chunks {
            if self.append(session, blob).await? == Sent::Refused {
                return Ok(Sent::Refused);
            }
            last = Bytes::new();
        }
        let separator = if session.contains('?') { '&' } else { '?' };
        let path = format!("{session}{separator}digest={}", BLOB[blob].digest);
        let octets = Some("application/octet-stream");
        let put = self.send(Method::PUT, &path, octets, last).await?;
        match put.status {
            StatusCode::CREATED => Ok(Sent::Done),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::NOT_FOUND | StatusCode::CONFLICT => Ok(Sent::Refused),
            _ => Err(format!("a blob is refused: {put:?}")),
        }
    }

    /// Mounts a blob from another repository, and sends it if that does not work.
    pub async fn mount(&self, to: &str, from: &str, blob: usize) -> Outcome<Sent> {
        let digest = BLOB[blob].digest;
        let path = format!("/v2/{to}/blobs/uploads/?mount={digest}&from={from}");
        let mounted = self.post(&path).await?;
        match mounted.status {
            StatusCode::CREATED => Ok(Sent::Done),
            StatusCode::ACCEPTED => self.send_blob(&mounted.location()?, blob, Way::Single).await,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::NOT_FOUND => Ok(Sent::Refused),
            _ => Err(format!("a mount is refused: {mounted:?}")),
        }
    }

    /// Whether the manifest is stored; `None` if blobs or images that it lists are missing. What refers to something has
    /// no tag.
    pub async fn put_manifest(&self, repository: &str, image: usize, tag: &str) -> Outcome<Option<Sent>> {
        let reference = match IMAGE[image].subject {
            Some(_) => IMAGE[image].digest.to_string(),
            None => tag.to_owned(),
        };
        let path = format!("/v2/{repository}/manifests/{reference}");
        let kind = Some(IMAGE[image].media_type);
        let put = self
            .send(Method::PUT, &path, kind, IMAGE[image].manifest.clone())
            .await?;
        match put.status {
            StatusCode::CREATED => Ok(Some(Sent::Done)),
            StatusCode::SERVICE_UNAVAILABLE => Ok(Some(Sent::Refused)),
            StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND
                if ["MANIFEST_BLOB_UNKNOWN", "MANIFEST_UNKNOWN"]
                    .iter()
                    .any(|code| String::from_utf8_lossy(&put.body).contains(code)) =>
            {
                Ok(None)
            }
            StatusCode::NOT_FOUND if String::from_utf8_lossy(&put.body).contains("NAME_UNKNOWN") => {
                Ok(Some(Sent::Refused))
            }
            _ => Err(format!("a manifest is refused: {put:?}")),
        }
    }

    /// Pushes an image as engines do: blobs first, of which some are mounted, or what it lists, then the manifest; and
    /// again what the registry misses by then.
    pub async fn push_image(&self, repository: &str, image: usize, tag: &str, from: &str, way: Way) -> Outcome<Sent> {
        for round in 0..ROUNDS {
            for child in IMAGE[image].children {
                let digest = IMAGE[*child].digest.to_string();
                if Box::pin(self.push_image(repository, *child, &digest, from, way)).await? == Sent::Refused {
                    return Ok(Sent::Refused);
                }
            }
            for (at, blob) in IMAGE[image].blobs.iter().enumerate() {
                let sent = if from != repository && at % 2 == round % 2 {
                    self.mount(repository, from, *blob).await?
                } else {
                    self.push_blob(repository, *blob, way).await?
                };
                if sent == Sent::Refused {
                    return Ok(Sent::Refused);
                }
            }
            if let Some(sent) = self.put_manifest(repository, image, tag).await? {
                return Ok(sent);
            }
        }
        Ok(Sent::Refused)
    }
}
