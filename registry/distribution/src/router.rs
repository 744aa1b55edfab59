// SPDX-License-Identifier: Apache-2.0
//! From a request to its operation, and back.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, Version, header};
use http_body::Body as _;
use hythe_access::{Action, Credentials, Trail};
use serde_json::json;

use crate::account::Site;
use crate::audit::{Audited, described, note_agent, note_named};
use crate::auth::Visitor;
use crate::body::{Outgoing, Place};
use crate::input::{Input, InputError};
use crate::limits::{DOWNLOAD_BYTES, FREE_BYTES};
use crate::oci_error::{OciError, Overload};
use crate::response::{Answer, DOCKER_API_VERSION};
use crate::route::{Operation, Path, Route, allowed, find, parse};
use crate::turns::{Tenant, Turn};
use crate::{Registry, blob, catalog, manifest, referrers, tags, token, upload, virtual_repository};

/// The most bytes of an answer that are handed to HTTP/2 at once.
const MAX_FRAME_BYTES: usize = 64 * 1024;

/// How a request reached the server, which adds this to the request's extensions. Without it, the address is
/// unknown and the connection counts as not encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The address of the client.
    pub peer: SocketAddr,
    /// Whether the connection is encrypted.
    pub is_tls: bool,
    /// Whether what writes this connection knows chunks that are parts of files (`hythe_blobs::file_part`) and lets
    /// the kernel send them. They are only given out for HTTP/1.
    pub sends_files: bool,
}

/// The routes of the data plane, see [`crate::routes`]. Whatever it does not know is answered with 404 too.
pub fn router(registry: Registry) -> Router {
    // A repository's name contains slashes, so that one handler takes every path and takes it apart.
    Router::new()
        .route("/v2", any(serve))
        .route("/v2/", any(serve))
        .route("/v2/{*rest}", any(serve))
        .route("/token", any(serve))
        .fallback(serve)
        .with_state(registry)
}

async fn serve(State(registry): State<Registry>, request: Request) -> Response {
    answer(registry, request).await
}

/// Answers one request, whatever its path.
pub async fn answer(registry: Registry, request: Request<Body>) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    let frame_bytes = match request.version() {
        // A client of HTTP/2 can open a stream's window byte by byte: what it waits for may not be much.
        Version::HTTP_2 => MAX_FRAME_BYTES,
        _ => usize::MAX,
    };
    let path = parse(request.uri().path());
    let route = path.as_ref().and_then(|path| find(path.shape, request.method()));
    let mut observation = registry.metrics().observe(request.method(), route);

    let audited = Audited::begin(&registry, route, &request);
    let mut place = Place::default();
    let result = match registry.enter() {
        Ok(_) if audited.as_ref().is_some_and(Audited::is_full) => Err(Overload::Records.into()),
        Ok(permit) => {
            place.request = Some(permit);
            let work = Box::pin(run(registry, path, route, request, &mut place));
            match &audited {
                Some(audited) => audited.trail().follow(work).await,
                None => work.await,
            }
        }
        Err(overload) => Err(overload.into()),
    };
    let mut failure = None;
    let mut response = result.unwrap_or_else(|error| {
        failure = Some(described(&error));
        let error = match &audited {
            Some(audited) => error.of_request(audited.request_id()),
            None => error,
        };
        tracing::debug!(error.code = error.code(), "a request was refused");
        let warning = is_head.then(|| error.warning());
        let mut response = error.into_response();
        if let Some(warning) = warning {
            // A HEAD has no body, and the length of the one that GET would have is of no use to anybody. What it
            // would say goes to a header, so that a person learns why.
            response
                .headers_mut()
                .extend(warning.map(|text| (header::WARNING, text)));
            *response.body_mut() = Body::empty();
            response.headers_mut().remove(header::CONTENT_TYPE);
        }
        response
    });
    let headers = response.headers_mut();
    headers.insert(DOCKER_API_VERSION, HeaderValue::from_static("registry/2.0"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Some(audited) = audited {
        let status = response.status();
        audited.answered(status, failure, response.headers_mut());
    }
    observation.answered(response.status());
    response.map(|body| Body::new(Outgoing::new(body, observation, place, frame_bytes)))
}

async fn run(
    registry: Registry,
    path: Option<Path>,
    route: Option<&'static Route>,
    request: Request,
    place: &mut Place,
) -> Result<Response, OciError> {
    let Some(path) = path else {
        note_agent(request.headers());
        return Err(InputError::RouteUnknown(request.uri().path().chars().take(256).collect()).into());
    };
    let Some(route) = route else {
        note_agent(request.headers());
        let method = request.method().as_str().chars().take(32).collect();
        return Err(InputError::MethodNotAllowed {
            method,
            allowed: allowed(path.shape),
        }
        .into());
    };
    let connection = request.extensions().get::<ConnectionInfo>().map(|info| ConnectionInfo {
        sends_files: info.sends_files && request.version() <= Version::HTTP_11,
        ..*info
    });
    let (parts, body) = request.into_parts();
    let is_tls = connection.is_some_and(|connection| connection.is_tls);
    let site = Site::new(registry.config(), &parts.headers, &parts.uri, is_tls);
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let Path { name, argument, .. } = path;
    let mut input = Input {
        name,
        argument,
        query,
        headers: parts.headers,
        body,
    };
    if route.operation == Operation::TokenPost
        && let Some(credentials) = token::read_form(&registry, &mut input).await?
    {
        // From here on it makes no difference how they came.
        let _replaced = input
            .headers
            .insert(header::AUTHORIZATION, authorization(&credentials)?);
    }
    note_named(&site, &input.name);
    let visitor = Visitor::identify(registry, site, &input.headers, &input.name, connection, route.action).await;
    let visitor = visitor.inspect_err(|_| note_agent(&input.headers))?;
    let mut visitor = visitor.of_replica(&input.headers)?.of_question(&input.headers)?;
    Trail::note(|facts| facts.set_caller(&visitor.caller));
    // What needs no action is about logging in.
    let action = route.action.unwrap_or(Action::GetAuthorizationToken);
    visitor.registry.gate().admit(&visitor.caller, action)?;
    if route.operation == Operation::UploadBegin && input.parameter("mount").is_some() {
        visitor = visitor.and_mount_from(input.parameter("from").as_deref());
    }
    if matches!(route.operation, Operation::ManifestDelete | Operation::BlobDelete) {
        visitor = visitor.and_replicate(&input.name);
    }
    let tenant = visitor.tenant();
    place.tenant = Some(visitor.registry.enter_as(&tenant)?);
    let response = match virtual_repository::find(&visitor, route.shape, &input.name).await? {
        None => dispatch(route.operation, &visitor, input).await?,
        Some(found) => Box::pin(virtual_repository::answer(&visitor, route.operation, input, found)).await?,
    };
    let in_memory = response.body().size_hint().exact();
    place.bytes = reserve(&visitor.registry, &tenant, in_memory).await?;
    Ok(response)
}

/// The memory that an answer takes while it is sent: of so many bytes, or piece by piece.
async fn reserve(registry: &Registry, tenant: &Tenant, in_memory: Option<u64>) -> Result<Option<Turn>, OciError> {
    match in_memory {
        Some(bytes) if bytes <= FREE_BYTES => Ok(None),
        Some(bytes) => Ok(Some(registry.reserve_now(tenant, bytes)?)),
        None => Ok(Some(registry.reserve(tenant, DOWNLOAD_BYTES).await?)),
    }
}

/// Runs an operation on the repository that the input names.
pub(crate) async fn dispatch(operation: Operation, visitor: &Visitor, input: Input) -> Result<Response, OciError> {
    // What is rare or long is boxed, so that the future of a pull is small.
    match operation {
        Operation::Ping => Box::pin(ping(visitor)).await,
        Operation::TokenGet => Box::pin(token::get(visitor, input)).await,
        Operation::TokenPost => Box::pin(token::post(visitor, input)).await,
        Operation::CatalogList => Box::pin(catalog::list(visitor, input)).await,
        Operation::BlobHead => blob::head(visitor, input).await,
        Operation::BlobGet => blob::get(visitor, input).await,
        Operation::BlobDelete => Box::pin(blob::delete(visitor, input)).await,
        Operation::UploadBegin => Box::pin(upload::begin(visitor, input)).await,
        Operation::UploadStatus => Box::pin(upload::status(visitor, input)).await,
        Operation::UploadAppend => Box::pin(upload::append(visitor, input)).await,
        Operation::UploadFinish => Box::pin(upload::finish(visitor, input)).await,
        Operation::UploadCancel => Box::pin(upload::cancel(visitor, input)).await,
        Operation::ManifestHead => manifest::head(visitor, input).await,
        Operation::ManifestGet => manifest::get(visitor, input).await,
        Operation::ManifestPut => Box::pin(manifest::put(visitor, input)).await,
        Operation::ManifestDelete => Box::pin(manifest::delete(visitor, input)).await,
        Operation::TagsList => Box::pin(tags::list(visitor, input)).await,
        Operation::ReferrersList => Box::pin(referrers::list(visitor, input)).await,
    }
}

/// Answers the question of clients whether this is a registry and whether they are logged in.
async fn ping(visitor: &Visitor) -> Result<Response, OciError> {
    // Whatever the gate is asked to find that out.
    Trail::note(|facts| facts.event = Some("Ping"));
    visitor.require_login().await?;
    Ok(Answer::json("application/json", &json!({})).into_response())
}

fn authorization(credentials: &Credentials) -> Result<HeaderValue, OciError> {
    let text = match credentials {
        Credentials::None => String::new(),
        Credentials::Basic { user, password } => {
            format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
        }
        Credentials::Bearer(token) => format!("Bearer {}", token.expose()),
    };
    HeaderValue::try_from(text).map_err(|_| InputError::GrantType.into())
}
