// SPDX-License-Identifier: Apache-2.0
//! The REST client against a small server: what it sends, how it retries, and what it makes of answers.
#![allow(clippy::unwrap_used, reason = "test code")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures::TryStreamExt as _;
use hythe_client::wire::{
    CreateAuthorizationToken, CreateRepository, ListQuery, ListRepositories, Secret, UpdateRepository,
};
use hythe_client::{Client, ClientError, Credentials, ETag, IdempotencyKey, RetryPolicy, Settings, SettingsSource};
use tokio::task::JoinSet;

/// What the server saw of one request.
#[derive(Debug)]
struct Seen {
    line: String,
    headers: HeaderMap,
    body: Bytes,
}

type Answer = (StatusCode, Vec<(&'static str, String)>, String);

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

struct Server {
    script: Script,
    endpoint: String,
    _task: JoinSet<()>,
}

impl Server {
    /// A server that gives these answers in turn.
    async fn answering(answers: Vec<Answer>) -> Self {
        let script = Script {
            answers: Arc::new(Mutex::new(answers.into())),
            seen: Arc::default(),
        };
        let app = Router::new().fallback(answer).with_state(script.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let mut task = JoinSet::new();
        task.spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            script,
            endpoint,
            _task: task,
        }
    }

    fn client(&self) -> Client {
        client(&self.endpoint, Duration::from_secs(5))
    }

    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.script.seen.lock().unwrap())
    }
}

async fn answer(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    script.seen.lock().unwrap().push(Seen {
        line: format!("{} {}", parts.method, parts.uri),
        headers: parts.headers,
        body,
    });
    let next = script.answers.lock().unwrap().pop_front();
    let Some((status, headers, body)) = next else {
        return std::future::pending().await;
    };
    let mut response = (status, body).into_response();
    for (name, value) in headers {
        response.headers_mut().insert(name, value.parse().unwrap());
    }
    response
}

fn client(endpoint: &str, request_timeout: Duration) -> Client {
    let settings = Settings {
        endpoint: endpoint.parse().unwrap(),
        credentials: Credentials::AccessKey {
            id: "HYTHEKEY".into(),
            secret: Secret::new("hunter2"),
        },
        ca_bundle: None,
        insecure: false,
        registry: None,
        request_timeout,
        source: SettingsSource::Arguments,
    };
    let retry = RetryPolicy {
        attempts: 3,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_secs(2),
    };
    Client::with_retries(&settings, retry).unwrap()
}

fn ok(body: impl Into<String>) -> Answer {
    (StatusCode::OK, vec![("etag", "\"7\"".into())], body.into())
}

fn status(status: u16, body: &str) -> Answer {
    (StatusCode::from_u16(status).unwrap(), Vec::new(), body.into())
}

fn repository(name: &str) -> String {
    format!(
        r#"{{"repositoryArn":"arn:aws:ecr:local:000000000000:repository/{name}","registryId":"000000000000","repositoryName":"{name}",
        "repositoryUri":"127.0.0.1:5000/{name}","createdAt":"2026-11-01T00:00:00Z","imageTagMutability":"MUTABLE",
        "imageScanningConfiguration":{{"scanOnPush":false}},"encryptionConfiguration":{{"encryptionType":"AES256"}},"tags":[]}}"#
    )
}

#[tokio::test]
async fn calls_say_what_the_contract_says() {
    let server = Server::answering(vec![
        ok(repository("team-a/web")),
        ok(repository("team-a/web")),
        ok(r#"{"tags":[]}"#),
    ])
    .await;
    let client = server.client();
    let name = "team-a/web".parse().unwrap();
    let key = IdempotencyKey::new("k-1").unwrap();
    let created = client
        .create_repository(&CreateRepository::new("team-a/web".parse().unwrap()), &key)
        .await
        .unwrap();
    assert_eq!(created.etag, ETag::new("\"7\""));
    client
        .update_repository(&name, &UpdateRepository::default(), created.etag.as_ref())
        .await
        .unwrap();
    client
        .remove_resource_tags(&name, &["a b".into(), "c".into()])
        .await
        .unwrap();
    let seen = server.seen();
    let lines: Vec<_> = seen.iter().map(|seen| seen.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "POST /api/v1/repositories",
            "PATCH /api/v1/repositories/team-a%2Fweb",
            "DELETE /api/v1/repositories/team-a%2Fweb/resource-tags?tagKeys=a+b&tagKeys=c",
        ]
    );
    assert_eq!(seen[0].headers["idempotency-key"], "k-1");
    assert_eq!(seen[0].headers["authorization"], "Basic SFlUSEVLRVk6aHVudGVyMg==");
    assert_eq!(seen[0].body, r#"{"repositoryName":"team-a/web"}"#);
    assert_eq!(seen[1].headers["if-match"], "\"7\"");
    assert!(!format!("{client:?}").contains("hunter2"));
}

#[tokio::test]
async fn a_problem_is_an_error_with_its_code_and_pointer() {
    let problem = concat!(
        r#"{"type":"about:blank","title":"Bad Request","status":400,"detail":"no such mode","#,
        r#""code":"InvalidParameterException","pointer":"/imageTagMutability","requestId":"r-1"}"#
    );
    let server = Server::answering(vec![status(400, problem)]).await;
    let error = server.client().repository(&"web".parse().unwrap()).await.unwrap_err();
    assert_eq!(error.code(), Some("InvalidParameterException"));
    assert_eq!(error.to_string(), "no such mode (at `/imageTagMutability`)");
    assert_eq!(server.seen().len(), 1, "a problem is not asked for again");
}

#[tokio::test]
async fn an_answer_from_elsewhere_is_told_apart() {
    let answers = vec![
        status(502, "<html>bad\ngateway</html>"),
        ok("<html>"),
        (
            StatusCode::FOUND,
            vec![("location", "https://elsewhere.example/".into())],
            String::new(),
        ),
        status(404, ""),
    ];
    let server = Server::answering(answers).await;
    let client = server.client();
    let name = "web".parse().unwrap();
    let error = client.repository(&name).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server answered 502 Bad Gateway: <html>bad gateway</html>"
    );
    let error = client.repository(&name).await.unwrap_err();
    assert!(matches!(error, ClientError::Decode { .. }), "{error}");
    let error = client.repository(&name).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("a redirect (302 Found) to `https://elsewhere.example/`"),
        "{error}"
    );
    assert_eq!(client.find_repository(&name).await.unwrap(), None);
}

#[tokio::test]
async fn a_busy_server_is_asked_again_and_not_for_ever() {
    let wait = (
        StatusCode::SERVICE_UNAVAILABLE,
        vec![("retry-after", "1".into())],
        String::new(),
    );
    let server = Server::answering(vec![status(429, ""), wait, ok(r#"{"repositories":[]}"#)]).await;
    let started = Instant::now();
    server
        .client()
        .repositories(&ListRepositories::default())
        .await
        .unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1), "Retry-After is honoured");
    assert_eq!(server.seen().len(), 3);

    let server = Server::answering(vec![status(503, ""), status(503, ""), status(503, ""), ok("{}")]).await;
    let error = server.client().registry().await.unwrap_err();
    assert_eq!(error.status().unwrap().as_u16(), 503);
    assert_eq!(server.seen().len(), 3);

    let long = (
        StatusCode::TOO_MANY_REQUESTS,
        vec![("retry-after", "3600".into())],
        String::new(),
    );
    let server = Server::answering(vec![long, ok("{}")]).await;
    server.client().registry().await.unwrap_err();
    assert_eq!(server.seen().len(), 1, "an hour is not waited for");
}

#[tokio::test]
async fn nobody_there_and_no_answer_are_told_apart() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&nobody, Duration::from_secs(5)).registry().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Connect { cause, .. } if cause.contains("refused")),
        "{error}"
    );

    let server = Server::answering(Vec::new()).await;
    let error = client(&server.endpoint, Duration::from_secs(2))
        .registry()
        .await
        .unwrap_err();
    assert!(matches!(error, ClientError::Timeout { .. }), "{error}");
    assert_eq!(server.seen().len(), 1, "what may have taken effect is not sent again");

    let tls = server.endpoint.replace("http:", "https:");
    let error = client(&tls, Duration::from_secs(5)).registry().await.unwrap_err();
    assert!(
        matches!(&error, ClientError::Tls { hint, .. } if hint.contains("http://")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_list_goes_on_to_its_last_page() {
    let page = |name: &str, token: &str| ok(format!(r#"{{"repositories":[{}]{token}}}"#, repository(name)));
    let server = Server::answering(vec![page("aa", r#","nextToken":"t/1""#), page("bb", "")]).await;
    let query = ListRepositories {
        prefix: Some("x".into()),
        max_results: Some(1),
        ..ListRepositories::default()
    };
    let all: Vec<_> = server.client().all_repositories(query).try_collect().await.unwrap();
    let names: Vec<_> = all
        .iter()
        .map(|repository| repository.repository_name.as_str())
        .collect();
    assert_eq!(names, ["aa", "bb"]);
    let lines: Vec<_> = server.seen().into_iter().map(|seen| seen.line).collect();
    assert_eq!(
        lines,
        [
            "GET /api/v1/repositories?prefix=x&maxResults=1",
            "GET /api/v1/repositories?prefix=x&maxResults=1&nextToken=t%2F1"
        ]
    );

    let stuck = || ok(r#"{"users":[],"nextToken":"t"}"#);
    let server = Server::answering(vec![stuck(), stuck(), stuck()]).await;
    let error = server
        .client()
        .all_users(ListQuery::default())
        .try_collect::<Vec<_>>()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("does not advance"), "{error}");
}

#[tokio::test]
async fn a_token_is_a_bearer_and_hidden() {
    let token = r#"{"tokenId":"t1","authorizationToken":"QVdTOnA=","userName":"AWS","password":"hunter2",
        "proxyEndpoint":"http://127.0.0.1:5000","issuedAt":"2026-11-01T00:00:00Z","expiresAt":"2026-11-01T12:00:00Z"}"#;
    let server = Server::answering(vec![(StatusCode::CREATED, Vec::new(), token.into())]).await;
    let settings = Settings {
        endpoint: server.endpoint.parse().unwrap(),
        credentials: Credentials::token("tok"),
        ca_bundle: None,
        insecure: false,
        registry: None,
        request_timeout: Duration::from_secs(5),
        source: SettingsSource::Arguments,
    };
    let made = Client::new(&settings)
        .unwrap()
        .create_authorization_token(&CreateAuthorizationToken::default())
        .await
        .unwrap();
    assert!(!format!("{made:?}").contains("hunter2"));
    assert_eq!(server.seen()[0].headers["authorization"], "Bearer tok");
}

#[test]
fn a_ca_bundle_that_is_none_is_reported_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    let mut settings = Settings {
        endpoint: "https://127.0.0.1:1".parse().unwrap(),
        credentials: Credentials::token("t"),
        ca_bundle: Some(path.clone()),
        insecure: false,
        registry: None,
        request_timeout: Duration::from_secs(1),
        source: SettingsSource::Arguments,
    };
    assert!(Client::new(&settings).unwrap_err().to_string().contains("ca.pem"));
    std::fs::write(&path, "not PEM").unwrap();
    assert!(Client::new(&settings).unwrap_err().to_string().contains("certificate"));
    settings.ca_bundle = None;
    settings.credentials = Credentials::token("line\nbreak");
    assert!(!Client::new(&settings).unwrap_err().to_string().contains("line"));
}
