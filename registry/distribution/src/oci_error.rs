// SPDX-License-Identifier: Apache-2.0
//! The one mapping from what can go wrong to what the client sees: status, code and message.
//!
//! Codes are those of the OCI Distribution Specification 1.1 ("Error Codes"), which allows a 4xx no others but
//! `TAG_INVALID` of old, ECR's code for an immutable tag. Where both give a status, the specification's counts; messages are ECR's where it has one.

use std::error::Error;
use std::fmt::Display;

use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, StatusCode, header};
use hythe_access::{AccessError, AuthenticationError, GateError, IssueError, Throttled};
use hythe_catalog::{CatalogError, DeleteImageError, PutImageError};
use hythe_model::{Digest, ManifestError, RepositoryPath};
use hythe_upstream::UpstreamError;
use serde_json::{Map, Value, json};

use crate::auth::Refusal;
use crate::blob::{BlobReadError, DeleteBlobError};
use crate::body::ReadError;
use crate::cache::CacheError;
use crate::catalog::ListRepositoriesError;
use crate::creation::CreationError;
use crate::input::InputError;
use crate::manifest::{DeleteManifestError, GetManifestError, PutManifestError, TranslateError};
use crate::response::Answer;
use crate::tags::ListTagsError;
use crate::upload::UploadError;
use crate::virtual_repository::VirtualError;

/// How long a client should wait before it tries again, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;
/// The longest text of a warning, in characters (with every one escaped it stays below the 4096 bytes of the specification).
const MAX_WARNING_CHARS: usize = 1024;

/// Too much at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Overload {
    #[error("the registry is answering as many requests as it can: try again")]
    Requests,
    /// This account, or this address, holds all that one may hold.
    #[error("Rate exceeded: too many requests of this account at once")]
    TenantRequests,
    #[error("Rate exceeded")]
    Pushes,
    /// The requests could not be recorded, and the operator wants none that are not.
    #[error("the registry cannot record as many requests at once: try again")]
    Records,
    /// The memory for bodies is taken.
    #[error("the registry is moving as many bytes as it can: try again")]
    Bytes,
}

/// What is missing where something was looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absence {
    /// The right to look.
    Right,
    /// The repository.
    Repository,
    /// The content, in a repository that is there.
    Content,
}

/// A code of the error document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    BlobUnknown,
    BlobUploadInvalid,
    BlobUploadUnknown,
    Denied,
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestInvalid,
    ManifestUnknown,
    NameInvalid,
    NameUnknown,
    SizeInvalid,
    TagInvalid,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    Unknown,
    Unsupported,
}

impl Code {
    fn as_str(self) -> &'static str {
        match self {
            Self::BlobUnknown => "BLOB_UNKNOWN",
            Self::BlobUploadInvalid => "BLOB_UPLOAD_INVALID",
            Self::BlobUploadUnknown => "BLOB_UPLOAD_UNKNOWN",
            Self::Denied => "DENIED",
            Self::DigestInvalid => "DIGEST_INVALID",
            Self::ManifestBlobUnknown => "MANIFEST_BLOB_UNKNOWN",
            Self::ManifestInvalid => "MANIFEST_INVALID",
            Self::ManifestUnknown => "MANIFEST_UNKNOWN",
            Self::NameInvalid => "NAME_INVALID",
            Self::NameUnknown => "NAME_UNKNOWN",
            Self::SizeInvalid => "SIZE_INVALID",
            Self::TagInvalid => "TAG_INVALID",
            Self::TooManyRequests => "TOOMANYREQUESTS",
            Self::Unauthorized => "UNAUTHORIZED",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unknown => "UNKNOWN",
            Self::Unsupported => "UNSUPPORTED",
        }
    }
}

/// An error as the client sees it.
#[derive(Debug)]
pub(crate) struct OciError {
    status: StatusCode,
    code: Code,
    message: String,
    /// What the message does not say.
    reason: Option<String>,
    /// The id of the request, which finds its record.
    request: Option<String>,
    headers: Vec<(HeaderName, String)>,
}

impl OciError {
    fn new(status: StatusCode, code: Code, message: impl Display) -> Self {
        Self {
            status,
            code,
            message: message.to_string(),
            reason: None,
            request: None,
            headers: Vec::new(),
        }
    }

    /// A failure of ours: its cause goes to the log, not to the client.
    fn internal(error: &dyn Error) -> Self {
        tracing::error!(error = %chain(error), "a request failed");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Code::Unknown,
            "the registry failed; its log says why",
        )
    }

    /// Something that passes: its cause goes to the log, and the client shall try again.
    fn unavailable(error: &dyn Error) -> Self {
        tracing::warn!(error = %chain(error), "a request could not be answered now");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, error).with_retry()
    }

    fn throttled(throttled: Throttled) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, throttled)
            .with(header::RETRY_AFTER, throttled.retry_after_seconds())
    }

    /// Another registry failed. What exactly it did is for the log: it may say more of a network than the caller may know.
    fn of_upstream(cause: &UpstreamError, error: &CacheError) -> Self {
        let (status, code) = match cause {
            UpstreamError::NotFound => (StatusCode::NOT_FOUND, Code::ManifestUnknown),
            UpstreamError::Denied => (StatusCode::FORBIDDEN, Code::Denied),
            UpstreamError::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests),
            UpstreamError::Unreachable(_) | UpstreamError::Server { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            UpstreamError::Timeout(_) => (StatusCode::GATEWAY_TIMEOUT, Code::Unavailable),
            UpstreamError::Invalid(_) | UpstreamError::Blocked(_) => (StatusCode::BAD_GATEWAY, Code::Unavailable),
        };
        let answer = Self::new(status, code, error);
        match cause {
            UpstreamError::TooManyRequests {
                retry_after: Some(after),
            } => answer.with(header::RETRY_AFTER, after.as_secs().max(1)),
            cause if cause.is_temporary() => answer.with_retry(),
            _ => answer,
        }
    }

    fn repository_unknown(repository: &RepositoryPath) -> Self {
        let RepositoryPath { account, name } = repository;
        let message = format!("The repository with name '{name}' does not exist in the registry with id '{account}'");
        Self::new(StatusCode::NOT_FOUND, Code::NameUnknown, message)
    }

    /// Whether there is nothing of what was asked for: no such repository, or nothing of this name in it. The error says then
    /// whether the repository is there.
    pub(crate) fn absence(&self) -> Option<Absence> {
        match self.code {
            Code::NameUnknown => Some(Absence::Repository),
            Code::BlobUnknown | Code::ManifestUnknown => Some(Absence::Content),
            Code::Denied | Code::Unauthorized => Some(Absence::Right),
            Code::BlobUploadInvalid
            | Code::BlobUploadUnknown
            | Code::DigestInvalid
            | Code::ManifestBlobUnknown
            | Code::ManifestInvalid
            | Code::NameInvalid
            | Code::SizeInvalid
            | Code::TagInvalid
            | Code::TooManyRequests
            | Code::Unavailable
            | Code::Unknown
            | Code::Unsupported => None,
        }
    }

    /// Adds a header.
    pub(crate) fn with(mut self, name: HeaderName, value: impl Display) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }

    fn with_reason(mut self, reason: impl Display) -> Self {
        self.reason = Some(reason.to_string());
        self
    }

    /// Tells who is turned away under which id the request is recorded, so that an administrator can look up why. What is
    /// answered otherwise has the id in its headers only.
    pub(crate) fn of_request(self, id: impl Display) -> Self {
        let is_turned_away = matches!(self.code, Code::Denied | Code::Unauthorized);
        Self {
            request: is_turned_away.then(|| id.to_string()),
            ..self
        }
    }

    fn with_retry(self) -> Self {
        self.with(header::RETRY_AFTER, RETRY_AFTER_SECONDS)
    }

    /// What the body says, as a `Warning` for answers without one (OCI Distribution Specification 1.1, "Warnings");
    /// `None` if it says nothing about the request, or no more than the status: clients ask for what is not there
    /// before every push, and show each warning to their users.
    pub(crate) fn warning(&self) -> Option<HeaderValue> {
        if !self.status.is_client_error() || self.status == StatusCode::NOT_FOUND {
            return None;
        }
        let text: String = format!("{}: {}", self.code.as_str(), self.message)
            .chars()
            .take(MAX_WARNING_CHARS)
            .map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' })
            .flat_map(|c| (c == '"' || c == '\\').then_some('\\').into_iter().chain([c]))
            .collect();
        HeaderValue::try_from(format!("299 - \"{text}\"")).ok()
    }

    /// The text, for the record.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// The code, for the log.
    pub(crate) fn code(&self) -> &'static str {
        self.code.as_str()
    }
}

impl IntoResponse for OciError {
    fn into_response(self) -> Response {
        let mut error = json!({ "code": self.code.as_str(), "message": self.message });
        let detail: Map<String, Value> = [("reason", self.reason), ("requestId", self.request)]
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.into())))
            .collect();
        if let (false, Some(error)) = (detail.is_empty(), error.as_object_mut()) {
            error.insert("detail".into(), detail.into());
        }
        let answer = Answer::json("application/json", &json!({ "errors": [error] })).with_status(self.status);
        self.headers
            .into_iter()
            .fold(answer, |answer, (name, value)| answer.with(name, value))
            .into_response()
    }
}

/// An error with all its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

fn list(digests: &[Digest]) -> String {
    const MAX_LISTED: usize = 20;
    let mut text = digests
        .iter()
        .take(MAX_LISTED)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if digests.len() > MAX_LISTED {
        text.push_str(", …");
    }
    text
}

impl From<Overload> for OciError {
    fn from(error: Overload) -> Self {
        let (status, code) = match error {
            Overload::Requests | Overload::Records | Overload::Bytes => {
                (StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Overload::TenantRequests | Overload::Pushes => (StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests),
        };
        Self::new(status, code, error).with_retry()
    }
}

impl From<Refusal> for OciError {
    fn from(refusal: Refusal) -> Self {
        let unauthorized = |message: &dyn Display, challenge: &dyn Display| {
            Self::new(StatusCode::UNAUTHORIZED, Code::Unauthorized, message).with(header::WWW_AUTHENTICATE, challenge)
        };
        match &refusal {
            Refusal::Absent(challenge) | Refusal::Malformed(challenge) | Refusal::InsufficientScope(_, challenge) => {
                unauthorized(&refusal, challenge)
            }
            Refusal::Basic(error, challenge) => match error {
                AuthenticationError::Rejected => unauthorized(&refusal, challenge),
                AuthenticationError::Expired
                | AuthenticationError::Revoked
                | AuthenticationError::Inactive
                | AuthenticationError::Disabled => Self::new(StatusCode::FORBIDDEN, Code::Denied, refusal),
                AuthenticationError::Throttled(throttled) => Self::throttled(*throttled),
                AuthenticationError::Unavailable(_) => Self::unavailable(error),
            },
            // A client of the token flow asks for a new token when it sees 401, and gives up when it sees 403.
            Refusal::Bearer(error, challenge) => match error {
                AuthenticationError::Rejected
                | AuthenticationError::Expired
                | AuthenticationError::Revoked
                | AuthenticationError::Inactive
                | AuthenticationError::Disabled => unauthorized(&refusal, challenge),
                AuthenticationError::Throttled(throttled) => Self::throttled(*throttled),
                AuthenticationError::Unavailable(_) => Self::unavailable(error),
            },
            Refusal::Access(error, challenge) => match &**error {
                AccessError::Unauthenticated(reason) => unauthorized(&"Not Authorized", challenge).with_reason(reason),
                AccessError::Denied(_) => Self::new(StatusCode::FORBIDDEN, Code::Denied, refusal),
                AccessError::Unavailable(error) => Self::unavailable(error),
            },
        }
    }
}

impl From<Throttled> for OciError {
    fn from(throttled: Throttled) -> Self {
        Self::throttled(throttled)
    }
}

impl From<GateError> for OciError {
    fn from(error: GateError) -> Self {
        Self::unavailable(&error)
    }
}

impl From<IssueError> for OciError {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::TooLong => Self::new(StatusCode::BAD_REQUEST, Code::Unsupported, error),
            IssueError::Unavailable(error) => error.into(),
        }
    }
}

impl From<InputError> for OciError {
    fn from(error: InputError) -> Self {
        let (status, code) = match &error {
            InputError::RouteUnknown(_) => (StatusCode::NOT_FOUND, Code::Unsupported),
            InputError::MethodNotAllowed { allowed, .. } => {
                let allowed = allowed.clone();
                return Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, error)
                    .with(header::ALLOW, allowed);
            }
            InputError::Name(_) => (StatusCode::BAD_REQUEST, Code::NameInvalid),
            InputError::Digest(_) | InputError::DigestAbsent => (StatusCode::BAD_REQUEST, Code::DigestInvalid),
            InputError::Tag(_) | InputError::TagsBesideTag => (StatusCode::BAD_REQUEST, Code::TagInvalid),
            InputError::TooManyTags(_) => (StatusCode::URI_TOO_LONG, Code::TagInvalid),
            InputError::ReferenceUnknown(_) => (StatusCode::NOT_FOUND, Code::ManifestUnknown),
            InputError::UploadUnknown(_) => (StatusCode::NOT_FOUND, Code::BlobUploadUnknown),
            InputError::ContentRange(_) => (StatusCode::BAD_REQUEST, Code::BlobUploadInvalid),
            InputError::LengthMismatch { .. } => (StatusCode::BAD_REQUEST, Code::SizeInvalid),
            InputError::PageSize(_)
            | InputError::GrantType
            | InputError::TooManyScopes(_)
            | InputError::Replica(_)
            | InputError::PullPath(_) => (StatusCode::BAD_REQUEST, Code::Unsupported),
            InputError::ReplicaLoop(_) => (StatusCode::CONFLICT, Code::Denied),
        };
        Self::new(status, code, error)
    }
}

/// Of a manifest or a form.
impl From<ReadError> for OciError {
    fn from(error: ReadError) -> Self {
        let (status, code) = match &error {
            ReadError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
            ReadError::Stalled(_) => (StatusCode::REQUEST_TIMEOUT, Code::SizeInvalid),
            ReadError::Broken(_) => (StatusCode::BAD_REQUEST, Code::SizeInvalid),
        };
        Self::new(status, code, error)
    }
}

impl From<CatalogError> for OciError {
    fn from(error: CatalogError) -> Self {
        match &error {
            CatalogError::RepositoryUnknown(repository) => Self::repository_unknown(repository),
            CatalogError::Conflict | CatalogError::Busy => Self::unavailable(&error),
            CatalogError::Full => {
                tracing::error!(error = %error, "a change found no room");
                Self::new(StatusCode::INSUFFICIENT_STORAGE, Code::Unavailable, error)
            }
            CatalogError::Store(_) => Self::internal(&error),
        }
    }
}

impl From<CreationError> for OciError {
    fn from(error: CreationError) -> Self {
        match error {
            CreationError::Refused(_) => Self::new(StatusCode::FORBIDDEN, Code::Denied, error),
            CreationError::Failed(_) => Self::internal(&error),
        }
    }
}

impl From<VirtualError> for OciError {
    fn from(error: VirtualError) -> Self {
        match error {
            VirtualError::Unknown(repository) => Self::repository_unknown(&repository),
            VirtualError::ReadOnly(_) => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, error).with(header::ALLOW, "GET, HEAD")
            }
        }
    }
}

impl From<CacheError> for OciError {
    fn from(error: CacheError) -> Self {
        match error {
            CacheError::RepositoryUnknown(repository) => Self::repository_unknown(&repository),
            // What is asked for is not here, as far as anybody can say.
            CacheError::Path(_) => Self::new(StatusCode::NOT_FOUND, Code::ManifestUnknown, error),
            CacheError::BlobUnknown(_) => Self::new(StatusCode::NOT_FOUND, Code::BlobUnknown, error),
            CacheError::Upstream(ref cause) => Self::of_upstream(cause, &error),
            CacheError::Storage(_) => Self::internal(&error),
            CacheError::Full => Self::new(StatusCode::INSUFFICIENT_STORAGE, Code::Unavailable, error),
            CacheError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable, error).with_retry(),
            CacheError::Creation(error) => error.into(),
            CacheError::Catalog(error) => error.into(),
        }
    }
}

impl From<BlobReadError> for OciError {
    fn from(error: BlobReadError) -> Self {
        match error {
            BlobReadError::RepositoryUnknown(repository) => Self::repository_unknown(&repository),
            BlobReadError::Unknown(_) | BlobReadError::Damaged(_) => {
                Self::new(StatusCode::NOT_FOUND, Code::BlobUnknown, error)
            }
            BlobReadError::RangeUnsatisfiable { size } => {
                Self::new(StatusCode::RANGE_NOT_SATISFIABLE, Code::SizeInvalid, error)
                    .with(header::CONTENT_RANGE, format_args!("bytes */{size}"))
            }
            BlobReadError::BytesMissing(_) | BlobReadError::Store(_) => Self::internal(&error),
            BlobReadError::Catalog(error) => error.into(),
        }
    }
}

impl From<DeleteBlobError> for OciError {
    fn from(error: DeleteBlobError) -> Self {
        match error {
            DeleteBlobError::RepositoryUnknown(repository) => Self::repository_unknown(&repository),
            DeleteBlobError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, Code::BlobUnknown, error),
            // As ECR refuses to delete an image that an index lists.
            DeleteBlobError::Needed(_) => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, error).with(header::ALLOW, "HEAD, GET")
            }
            DeleteBlobError::Catalog(error) => error.into(),
        }
    }
}

impl From<UploadError> for OciError {
    fn from(error: UploadError) -> Self {
        let (status, code) = match error {
            UploadError::Unknown(_) => (StatusCode::NOT_FOUND, Code::BlobUploadUnknown),
            UploadError::OutOfOrder { .. } => (StatusCode::RANGE_NOT_SATISFIABLE, Code::BlobUploadInvalid),
            UploadError::Broken { .. } => (StatusCode::BAD_REQUEST, Code::BlobUploadInvalid),
            UploadError::Stalled { .. } => (StatusCode::REQUEST_TIMEOUT, Code::BlobUploadInvalid),
            UploadError::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
            UploadError::DigestMismatch { .. } => (StatusCode::BAD_REQUEST, Code::DigestInvalid),
            UploadError::Busy(_) => {
                return Self::new(StatusCode::CONFLICT, Code::BlobUploadInvalid, error).with_retry();
            }
            UploadError::Full(_) => {
                tracing::error!(error = %chain(&error), "an upload found no room");
                (StatusCode::INSUFFICIENT_STORAGE, Code::Unavailable)
            }
            UploadError::HashState(_) | UploadError::Store(_) | UploadError::Read(_) => return Self::internal(&error),
            UploadError::Catalog(error) => return error.into(),
        };
        Self::new(status, code, error)
    }
}

impl From<PutManifestError> for OciError {
    fn from(error: PutManifestError) -> Self {
        let (status, code) = match error {
            PutManifestError::Invalid(ManifestError::TooLarge) => (StatusCode::PAYLOAD_TOO_LARGE, Code::SizeInvalid),
            PutManifestError::DigestMismatch { .. }
            | PutManifestError::Invalid(
                ManifestError::Syntax(_)
                | ManifestError::MediaType(_)
                | ManifestError::ArtifactManifest(_)
                | ManifestError::MediaTypeMismatch { .. }
                | ManifestError::Shape(_)
                | ManifestError::History(..),
            )
            | PutManifestError::Unverified(_) => (StatusCode::BAD_REQUEST, Code::ManifestInvalid),
            PutManifestError::Stopped(_) => return Self::internal(&error),
            PutManifestError::Put { cause, repository } => return Self::from_put(cause, &repository),
        };
        Self::new(status, code, error)
    }
}

impl OciError {
    fn from_put(error: PutImageError, repository: &RepositoryPath) -> Self {
        let RepositoryPath { account, name } = repository;
        match error {
            PutImageError::BlobsUnknown(digests) => {
                let message = format!(
                    "Layers with digests '[{}]' required for pushing image into repository with name '{name}' in the registry with id '{account}' do not exist",
                    list(&digests)
                );
                Self::new(StatusCode::BAD_REQUEST, Code::ManifestBlobUnknown, message)
            }
            PutImageError::ChildrenUnknown(digests) => {
                let message = format!(
                    "Images with digests '[{}]' required for pushing image into repository with name '{name}' in the registry with id '{account}' do not exist",
                    list(&digests)
                );
                Self::new(StatusCode::BAD_REQUEST, Code::ManifestBlobUnknown, message)
            }
            PutImageError::TagImmutable { .. } | PutImageError::TooManyTags => {
                Self::new(StatusCode::BAD_REQUEST, Code::TagInvalid, error)
            }
            PutImageError::Catalog(error) => error.into(),
        }
    }
}

impl From<GetManifestError> for OciError {
    fn from(error: GetManifestError) -> Self {
        match error {
            GetManifestError::RepositoryUnknown(repository) => Self::repository_unknown(&repository),
            GetManifestError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, Code::ManifestUnknown, error),
            GetManifestError::Catalog(error) => error.into(),
            GetManifestError::Translate(error) => error.into(),
            GetManifestError::Cache(error) => error.into(),
        }
    }
}

impl From<TranslateError> for OciError {
    fn from(error: TranslateError) -> Self {
        match error {
            TranslateError::Overload(error) => error.into(),
            TranslateError::Catalog(error) => error.into(),
            TranslateError::Blobs(_)
            | TranslateError::BytesMissing(_)
            | TranslateError::Sign(_)
            | TranslateError::Stopped(_) => Self::internal(&error),
        }
    }
}

impl From<DeleteManifestError> for OciError {
    fn from(error: DeleteManifestError) -> Self {
        match error {
            DeleteManifestError::RepositoryUnknown(repository) => Self::repository_unknown(&repository),
            DeleteManifestError::Unknown(_) => Self::new(StatusCode::NOT_FOUND, Code::ManifestUnknown, error),
            DeleteManifestError::Delete(DeleteImageError::ReferencedByIndex(_)) => {
                Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::Unsupported, error)
                    .with(header::ALLOW, "HEAD, GET, PUT")
            }
            DeleteManifestError::Delete(DeleteImageError::Catalog(error)) => error.into(),
        }
    }
}

impl From<ListTagsError> for OciError {
    fn from(error: ListTagsError) -> Self {
        match error {
            ListTagsError::RepositoryUnknown(repository) => Self::repository_unknown(&repository),
            ListTagsError::Catalog(error) => error.into(),
        }
    }
}

impl From<ListRepositoriesError> for OciError {
    fn from(error: ListRepositoriesError) -> Self {
        match error {
            ListRepositoriesError::Gate(error) => error.into(),
            ListRepositoriesError::Catalog(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests;
