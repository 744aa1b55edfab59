// SPDX-License-Identifier: Apache-2.0
//! A stand-in for the control plane: as much of its API as the provider uses, and failures on demand.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::access_server::Access;

pub const ACCOUNT: &str = "000000000000";

/// A server on loopback. Stops when dropped.
pub struct Server {
    address: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Shared {
    world: Mutex<World>,
    /// Lets held answers go.
    release: CancellationToken,
    /// Told when an answer is held.
    held: Notify,
}

#[derive(Default)]
struct World {
    repositories: BTreeMap<String, Value>,
    images: BTreeMap<String, u64>,
    answered: BTreeMap<String, Value>,
    tokens: Vec<String>,
    access: Access,
    mischief: VecDeque<(String, Mischief)>,
    seen: Vec<Seen>,
}

/// A request that came in.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method and path, such as `POST /api/v1/repositories`.
    pub line: String,
    pub body: Value,
    pub idempotency_key: Option<String>,
    pub if_match: Option<String>,
    pub authorization: Option<String>,
}

/// How an answer goes wrong.
#[derive(Clone, Debug)]
pub enum Mischief {
    /// The request has no effect, and the answer is this status with this `Retry-After`.
    Refuse(u16, Option<u32>),
    /// The request takes effect, and the answer breaks off.
    BreakOff,
    /// The request takes effect, and the answer waits for [`Server::release`].
    Hold,
    /// The answer is that of some other web server.
    Foreign404,
}

impl Server {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared::default());
        let router = Router::new().fallback(handle).with_state(Arc::clone(&shared));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            shared,
            _tasks: tasks,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next requests whose line starts so go wrong, one for each entry.
    pub fn misbehave(&self, line: &str, mischief: impl IntoIterator<Item = Mischief>) {
        let entries = mischief.into_iter().map(|mischief| (line.to_owned(), mischief));
        self.world().mischief.extend(entries);
    }

    /// Waits until an answer is held.
    pub async fn held(&self) {
        self.shared.held.notified().await;
    }

    /// Lets held answers go.
    pub fn release(&self) {
        self.shared.release.cancel();
    }

    /// The requests so far whose line starts so.
    pub fn seen(&self, line: &str) -> Vec<Seen> {
        self.world()
            .seen
            .iter()
            .filter(|seen| seen.line.starts_with(line))
            .cloned()
            .collect()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.world().seen.clear();
    }

    pub fn repository(&self, name: &str) -> Option<Value> {
        self.world().repositories.get(name).cloned()
    }

    /// Adds a repository, as a person would with the command line.
    pub fn add(&self, request: &Value) {
        let repository = described(request);
        self.world()
            .repositories
            .insert(text(request, "repositoryName"), repository);
    }

    pub fn change(&self, name: &str, change: impl FnOnce(&mut Value)) {
        change(self.world().repositories.get_mut(name).unwrap());
    }

    pub fn set_image_count(&self, name: &str, count: u64) {
        self.world().images.insert(name.to_owned(), count);
    }

    /// An object that is not a repository, by its path behind `/api/v1/`, such as `users/alice`.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.world().access.get(path)
    }

    /// Changes, or adds, such an object, as a person would with the command line.
    pub fn change_object(&self, path: &str, change: impl FnOnce(&mut Value)) {
        self.world().access.change(path, change);
    }

    /// The tokens that live.
    pub fn tokens(&self) -> Vec<String> {
        self.world().tokens.clone()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap()
    }
}

async fn handle(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let line = format!("{} {}", parts.method, parts.uri.path());
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let mischief = {
        let mut world = shared.world.lock().unwrap();
        world.seen.push(Seen {
            line: line.clone(),
            body: body.clone(),
            idempotency_key: header(&parts.headers, "idempotency-key"),
            if_match: header(&parts.headers, "if-match"),
            authorization: header(&parts.headers, "authorization"),
        });
        let position = world.mischief.iter().position(|(start, _)| line.starts_with(start));
        position
            .and_then(|position| world.mischief.remove(position))
            .map(|(_, mischief)| mischief)
    };
    match mischief {
        Some(Mischief::Refuse(status, retry_after)) => {
            let code = if status == 503 {
                "ServiceUnavailable"
            } else {
                "ServerException"
            };
            let mut response = problem(status, code, "the server has a bad day");
            if let Some(seconds) = retry_after {
                response.headers_mut().insert("retry-after", seconds.into());
            }
            return response;
        }
        Some(Mischief::Foreign404) => return (StatusCode::NOT_FOUND, "<h1>Not found</h1>").into_response(),
        Some(Mischief::BreakOff) => {
            answer(&shared, &parts.method, &parts.uri, &parts.headers, &body);
            let broken = futures::stream::once(async { Err::<Bytes, _>(std::io::Error::other("broken off")) });
            return Response::new(Body::from_stream(broken));
        }
        Some(Mischief::Hold) => {
            let response = answer(&shared, &parts.method, &parts.uri, &parts.headers, &body);
            shared.held.notify_one();
            shared.release.cancelled().await;
            return response;
        }
        None => {}
    }
    answer(&shared, &parts.method, &parts.uri, &parts.headers, &body)
}

fn answer(shared: &Shared, method: &Method, uri: &axum::http::Uri, headers: &HeaderMap, body: &Value) -> Response {
    let mut world = shared.world.lock().unwrap();
    let path: Vec<String> = uri
        .path()
        .split('/')
        .skip(3)
        .map(|segment| segment.replace("%2F", "/").replace("%3A", ":").replace("%40", "@"))
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    let query = uri.query().unwrap_or_default();
    match (method.as_str(), path.as_slice()) {
        ("GET", ["registry"]) => ok(&json!({
            "registryId": ACCOUNT, "region": "local", "registryUri": "registry.test:5000", "endpoint": "http://registry.test:8080",
            "version": "0.1.0", "capabilities": [],
        })),
        ("GET", ["caller-identity"]) => {
            ok(&json!({ "registryId": ACCOUNT, "arn": format!("arn:aws:iam::{ACCOUNT}:root") }))
        }
        ("GET", ["repositories"]) => ok(&json!({ "repositories": world.repositories.values().collect::<Vec<_>>() })),
        ("POST", ["repositories"]) => {
            let key = header(headers, "idempotency-key");
            if let Some(answer) = key.as_ref().and_then(|key| world.answered.get(key)) {
                return created(answer);
            }
            let name = text(body, "repositoryName");
            if world.repositories.contains_key(&name) {
                return problem(
                    409,
                    "RepositoryAlreadyExistsException",
                    &format!("the repository `{name}` already exists"),
                );
            }
            let repository = described(body);
            world.repositories.insert(name, repository.clone());
            world.answered.extend(key.map(|key| (key, repository.clone())));
            created(&repository)
        }
        ("POST", ["authorization-tokens"] | ["users", _, "authorization-tokens"]) => {
            let id = format!("token-{}", world.tokens.len());
            world.tokens.push(id.clone());
            created(&json!({
                "tokenId": id, "authorizationToken": "QVdTOmh1bnRlcjI=", "userName": "AWS", "password": "hunter2",
                "proxyEndpoint": "http://registry.test:5000", "issuedAt": "2026-11-01T00:00:00Z", "expiresAt": "2026-11-01T00:15:00Z",
            }))
        }
        ("POST", ["authorization-tokens", id, "renewals"] | ["users", _, "authorization-tokens", id, "renewals"]) => {
            ok(&json!({ "tokenId": id, "expiresAt": "2026-11-01T00:25:00Z" }))
        }
        ("DELETE", ["authorization-tokens", id] | ["users", _, "authorization-tokens", id]) => {
            world.tokens.retain(|token| token != id);
            ok(&json!({ "tokenId": id }))
        }
        (_, ["repositories", name, "policy"]) if !world.repositories.contains_key(*name) => {
            problem(404, "RepositoryNotFoundException", "no such repository")
        }
        ("POST", ["roles", name, "sessions"]) => {
            let id = format!("session-{}", world.tokens.len());
            world.tokens.push(id.clone());
            let session = text(body, "roleSessionName");
            created(&json!({
                "tokenId": id, "authorizationToken": "QVdTOmh1bnRlcjM=", "userName": "AWS", "password": "hunter3",
                "proxyEndpoint": "http://registry.test:5000", "issuedAt": "2026-11-01T00:00:00Z", "expiresAt": "2026-11-01T01:00:00Z",
                "assumedRoleUser": { "arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}") },
            }))
        }
        (method, path) if Access::knows(path) => {
            let object = path.join("/");
            let wanted = header(headers, "if-match");
            if wanted.is_some() && wanted != version(&world, &object) {
                return problem(412, "PreconditionFailedException", "it has another version");
            }
            let mut response = world.access.answer(method, path, body);
            if let Some(version) = version(&world, &object) {
                response.headers_mut().insert("etag", version.parse().unwrap());
            }
            response
        }
        (method, ["repositories", name, rest @ ..]) => of_repository(&mut world, method, name, rest, query, body),
        _ => problem(404, "ResourceNotFoundException", "no such path"),
    }
}

/// The entity tag of an object: another one for another content.
fn version(world: &World, object: &str) -> Option<String> {
    let mut hasher = DefaultHasher::new();
    world.access.get(object)?.to_string().hash(&mut hasher);
    Some(format!("\"{}\"", hasher.finish()))
}

fn of_repository(world: &mut World, method: &str, name: &str, rest: &[&str], query: &str, body: &Value) -> Response {
    let images = world.images.get(name).copied().unwrap_or_default();
    let Some(repository) = world.repositories.get_mut(name) else {
        return problem(
            404,
            "RepositoryNotFoundException",
            &format!("the repository `{name}` does not exist"),
        );
    };
    match (method, rest) {
        ("GET", []) => ok(repository),
        ("GET", ["usage"]) => {
            ok(&json!({ "imageCount": images, "tagCount": images, "sizeInBytes": images, "restorableImageCount": 0 }))
        }
        ("PATCH", []) => {
            for (member, value) in body.as_object().unwrap() {
                repository[member.as_str()] = value.clone();
            }
            if body.get("imageTagMutability").is_some() && body.get("imageTagMutabilityExclusionFilters").is_none() {
                repository
                    .as_object_mut()
                    .unwrap()
                    .remove("imageTagMutabilityExclusionFilters");
            }
            ok(repository)
        }
        ("DELETE", []) if images > 0 && !query.contains("force=true") => problem(
            409,
            "RepositoryNotEmptyException",
            "the repository still contains images",
        ),
        ("DELETE", []) => {
            let repository = world.repositories.remove(name).unwrap();
            ok(&repository)
        }
        ("POST", ["resource-tags"]) => {
            let tags = repository["tags"].as_array_mut().unwrap();
            for tag in body["tags"].as_array().unwrap() {
                tags.retain(|other| other["Key"] != tag["Key"]);
                tags.push(tag.clone());
            }
            ok(&json!({ "tags": tags }))
        }
        ("DELETE", ["resource-tags"]) => {
            let keys: Vec<&str> = query
                .split('&')
                .filter_map(|pair| pair.strip_prefix("tagKeys="))
                .collect();
            let tags = repository["tags"].as_array_mut().unwrap();
            tags.retain(|tag| !keys.contains(&tag["Key"].as_str().unwrap()));
            ok(&json!({ "tags": tags }))
        }
        _ => problem(405, "MethodNotAllowedException", "no such method"),
    }
}

/// What the server says about a repository that was created so.
fn described(request: &Value) -> Value {
    let name = text(request, "repositoryName");
    let or = |member: &str, default: Value| request.get(member).cloned().unwrap_or(default);
    let mut repository = json!({
        "repositoryArn": format!("arn:aws:ecr:local:{ACCOUNT}:repository/{name}"),
        "registryId": ACCOUNT,
        "repositoryName": name,
        "repositoryUri": format!("registry.test:5000/{name}"),
        "createdAt": "2026-11-01T00:00:00Z",
        "imageTagMutability": or("imageTagMutability", json!("MUTABLE")),
        "imageScanningConfiguration": or("imageScanningConfiguration", json!({ "scanOnPush": false })),
        "allowSparseIndexes": or("allowSparseIndexes", json!(false)),
        "encryptionConfiguration": or("encryptionConfiguration", json!({ "encryptionType": "AES256" })),
        "tags": or("tags", json!([])),
    });
    if let Some(filters) = request.get("imageTagMutabilityExclusionFilters") {
        repository["imageTagMutabilityExclusionFilters"] = filters.clone();
    }
    repository
}

pub fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap().to_owned()
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(|value| value.to_str().unwrap().to_owned())
}

pub fn ok(value: &Value) -> Response {
    axum::Json(value).into_response()
}

pub fn created(value: &Value) -> Response {
    (StatusCode::CREATED, axum::Json(value)).into_response()
}

pub fn problem(status: u16, code: &str, detail: &str) -> Response {
    let body = json!({ "type": "about:blank", "title": code, "status": status, "detail": detail, "code": code, "requestId": "r1" });
    (
        StatusCode::from_u16(status).unwrap(),
        [("content-type", "application/problem+json")],
        body.to_string(),
    )
        .into_response()
}
