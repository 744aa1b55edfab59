// SPDX-License-Identifier: Apache-2.0
//! The table of who gets what from which route of the registry, for review as a table, and whether an answer tells what
//! there is: with the real gate, the real store and the policies that they keep.
//!
//! Everything that is asked about is in an ordinary account, so that its administrator and the one of the deployment are
//! told apart. A new route comes into the table by itself; it needs a request in [`Stage::request`] that is good for whoever
//! may send it. `INSTA_UPDATE=always cargo test -p hythe-server --test registry_access` writes the table anew, to be read.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::missing_panics_doc,
    reason = "test code"
)]

#[path = "../../rest/tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Request, header};
use http_body_util::BodyExt as _;
use hythe_access::Gate;
use hythe_blobs::FsBlobStore;
use hythe_distribution::{Limits, Metrics, Registry, RegistryConfig, Route, router, routes};
use hythe_model::{MediaType, Region};
use serde_json::{Value, json};
use support::{Auth, World, sha256};
use tower::ServiceExt as _;

/// The account through which the deployment is administered; what is asked about is in another.
const DEPLOYMENT: &str = "999999999999";
const PRIVATE: &str = "000000000000/team-a/web";
/// Everybody may pull from it.
const PUBLIC: &str = "000000000000/public/web";
/// No such repository.
const ABSENT: &str = "000000000000/team-a/xyz";

/// Who asks, in the order of the columns:
/// - somebody without credentials,
/// - a user of the account without policies,
/// - a user of the account who may do everything of ECR in other repositories,
/// - a user of the account who may read (ECR's `ReadOnly`),
/// - a user of the account who may push (ECR's `PowerUser`),
/// - the administrator of another account,
/// - the administrator of the account,
/// - the administrator of the deployment;
/// - and of a repository from which everybody may pull: somebody without credentials, and the administrator of another account.
const COLUMNS: [(&str, &str); 10] = [
    ("nobody", PRIVATE),
    ("stranger", PRIVATE),
    ("neighbour", PRIVATE),
    ("reader", PRIVATE),
    ("pusher", PRIVATE),
    ("other", PRIVATE),
    ("owner", PRIVATE),
    ("deployment", PRIVATE),
    ("nobody", PUBLIC),
    ("other", PUBLIC),
];
/// Those who may know nothing of the private repository.
const OUTSIDERS: [&str; 4] = ["nobody", "stranger", "neighbour", "other"];

/// Both planes of a deployment, with two repositories, and those who ask.
struct Stage {
    registry: Router,
    callers: Vec<(&'static str, Auth)>,
    // Its folder goes with it.
    world: World,
}

/// A request, which may be sent several times.
#[derive(Clone, Debug)]
struct Ask {
    method: http::Method,
    path: String,
    content_type: &'static str,
    body: Vec<u8>,
}

/// An answer, without what differs from request to request.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_default()
    }

    /// The status, and the code if it is not the usual one of that status.
    fn cell(&self) -> String {
        let status = self.status;
        match (status, self.json()["errors"][0]["code"].as_str()) {
            (_, None) | (401, Some("UNAUTHORIZED")) | (403, Some("DENIED")) => status.to_string(),
            (_, Some(code)) => format!("{status} {code}"),
        }
    }
}

impl Stage {
    async fn set() -> Self {
        let mut world = World::administered_by(&DEPLOYMENT.parse().unwrap()).await;
        let owner = world.account("000000000000").await;
        let other = world.account("444444444444").await;
        let deployment = std::mem::replace(&mut world.root, owner.clone());
        for name in ["team-a/web", "public/web", "team-b/web"] {
            world.repository(name).await;
        }
        let everybody = json!({ "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": "*",
            "Action": ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"] } });
        let policy = json!({ "policyText": everybody.to_string() });
        let path = "/api/v1/repositories/public%2Fweb/policy";
        world.call(&owner, "PUT", path).json(&policy).send().await.expect(200);
        let next_door = json!({ "Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Action": "ecr:*", "Resource": "arn:aws:ecr:*:*:repository/team-b/*" } });
        let policy = json!({ "policyName": "next-door", "policyDocument": next_door.to_string() });
        world.post("/api/v1/policies", policy).await.expect(201);
        let callers = vec![
            ("nobody", Auth::Nobody),
            ("stranger", world.user("eve", &[]).await),
            ("neighbour", world.user("ned", &["next-door"]).await),
            ("reader", world.user("rob", &["ReadOnly"]).await),
            ("pusher", world.user("pam", &["PowerUser"]).await),
            ("other", other),
            ("owner", owner),
            ("deployment", deployment),
        ];
        let registry = Registry::new(
            RegistryConfig {
                default_account: DEPLOYMENT.parse().unwrap(),
                region: Region::default(),
                host_accounts: Vec::new(),
                base_domain: None,
                limits: Limits::default(),
                service: "registry.test".into(),
                public_url: None,
            },
            Arc::clone(world.plane.gate()) as Arc<dyn Gate>,
            Arc::new(world.store.clone()),
            Arc::new(FsBlobStore::open(&world.folder.path().join("blobs")).unwrap()),
            Arc::clone(&world.clock) as _,
            Metrics::new(),
        );
        registry.set_audit_log(Arc::clone(world.plane.audit().unwrap()) as _);
        Self {
            registry: router(registry),
            callers,
            world,
        }
    }

    fn auth(&self, who: &str) -> &Auth {
        let (_, auth) = self.callers.iter().find(|(name, _)| *name == who).unwrap();
        auth
    }

    async fn send(&self, auth: &Auth, ask: &Ask) -> Answer {
        let mut request = Request::builder().method(ask.method.clone()).uri(&ask.path);
        request = match auth {
            Auth::Nobody => request,
            Auth::Basic(user, password) => {
                let text = STANDARD.encode(format!("{user}:{password}"));
                request.header(header::AUTHORIZATION, format!("Basic {text}"))
            }
            Auth::Bearer(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
        };
        let request = request
            .header(header::HOST, "registry.test")
            .header(header::CONTENT_TYPE, ask.content_type)
            .header(header::CONTENT_LENGTH, ask.body.len())
            .body(Body::from(ask.body.clone()))
            .unwrap();
        let (parts, body) = self.registry.clone().oneshot(request).await.unwrap().into_parts();
        let id = parts
            .headers
            .get("x-request-id")
            .map(|id| id.to_str().unwrap().to_owned());
        let body = body.collect().await.unwrap().to_bytes();
        let mut body = String::from_utf8_lossy(&body).into_owned();
        if let Some(id) = id {
            body = body.replace(&id, "ID");
        }
        let headers = parts.headers.iter();
        let headers = headers.filter(|(name, _)| *name != "x-request-id");
        Answer {
            status: parts.status.as_u16(),
            headers: headers
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            body,
        }
    }

    /// Sends as the administrator of the account, who is never refused.
    async fn own(&self, method: &str, path: &str, content_type: &'static str, body: &[u8]) -> Answer {
        let ask = Ask {
            method: method.parse().unwrap(),
            path: path.to_owned(),
            content_type,
            body: body.to_vec(),
        };
        let answer = self.send(self.auth("owner"), &ask).await;
        assert!(answer.status < 300, "{method} {path}: {answer:?}");
        answer
    }

    async fn begin(&self, name: &str) -> String {
        let begun = self.own("POST", &format!("/v2/{name}/blobs/uploads/"), "", b"").await;
        begun.header("location").to_owned()
    }

    async fn push_blob(&self, name: &str, content: &[u8]) -> String {
        let (place, digest) = (self.begin(name).await, sha256(content));
        self.own("PUT", &format!("{place}?digest={digest}"), "", content).await;
        digest.to_string()
    }

    /// A request that is good for whoever may send it, with everything in place that it is about.
    async fn request(&self, route: &Route, name: &str, who: &str) -> Ask {
        let blob = self.push_blob(name, b"hello").await;
        let descriptor = |media_type: &str| json!({ "mediaType": media_type, "digest": blob, "size": 5 });
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json"),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar")],
        })
        .to_string();
        let image = sha256(manifest.as_bytes()).to_string();
        let tagged = format!("/v2/{name}/manifests/v1");
        self.own("PUT", &tagged, MediaType::OCI_MANIFEST, manifest.as_bytes())
            .await;
        let place = self.begin(name).await;
        let (method, template) = (route.method.as_str(), route.template);
        let digest = match (method, template) {
            // What an image has cannot be deleted.
            ("DELETE", "/v2/<name>/blobs/<digest>") => self.push_blob(name, b"of no image").await,
            (_, "/v2/<name>/referrers/<digest>") => image,
            _ => blob.clone(),
        };
        let mut path = template
            .replace("<name>", name)
            .replace("<id>", place.rsplit('/').next().unwrap())
            .replace("<reference>", "v1")
            .replace("<digest>", &digest);
        let (mut content_type, mut body) = ("", Vec::new());
        match (method, template) {
            ("PUT", "/v2/<name>/blobs/uploads/<id>") => {
                path = format!("{path}?digest={blob}");
                body = b"hello".to_vec();
            }
            ("PATCH", "/v2/<name>/blobs/uploads/<id>") => body = b"hello".to_vec(),
            ("PUT", "/v2/<name>/manifests/<reference>") => {
                content_type = MediaType::OCI_MANIFEST;
                body = manifest.into_bytes();
            }
            ("GET", "/token") => path = format!("{path}?scope=repository:{name}:*"),
            ("POST", "/token") => {
                content_type = "application/x-www-form-urlencoded";
                body = match self.auth(who) {
                    Auth::Basic(user, password) => {
                        let password = password.replace('+', "%2B");
                        format!("grant_type=password&username={user}&password={password}").into_bytes()
                    }
                    Auth::Nobody | Auth::Bearer(_) => b"grant_type=password".to_vec(),
                };
            }
            _ => {}
        }
        Ask {
            method: route.method.clone(),
            path,
            content_type,
            body,
        }
    }

    /// A token of the token endpoint, for everything in a repository.
    async fn token(&self, who: &str, name: &str) -> Auth {
        let ask = Ask {
            method: http::Method::GET,
            path: format!("/token?scope=repository:{name}:*"),
            content_type: "",
            body: Vec::new(),
        };
        let answer = self.send(self.auth(who), &ask).await;
        Auth::Bearer(answer.json()["token"].as_str().unwrap().to_owned())
    }
}

fn of(route: &Route) -> String {
    format!("{:6} {}", route.method.as_str(), route.template)
}

#[tokio::test]
async fn the_matrix_of_routes_and_callers_is_as_reviewed() {
    let stage = Stage::set().await;
    let titles = COLUMNS.map(|(who, name)| match name {
        PUBLIC => format!("{who} (public)"),
        _ => who.to_owned(),
    });
    let mut table = format!("{:44}{:36}", "", "");
    for title in &titles {
        write!(table, " {title:>10}").unwrap();
    }
    let mut missed = Vec::new();
    for route in routes() {
        let action = route.action.map_or("", hythe_access::Action::as_str);
        write!(table, "\n{:44}{action:36}", of(route)).unwrap();
        let mut is_good = false;
        for ((who, name), title) in COLUMNS.into_iter().zip(&titles) {
            let ask = stage.request(route, name, who).await;
            let answer = stage.send(stage.auth(who), &ask).await;
            is_good |= answer.status < 300;
            let cell = answer.cell();
            write!(table, " {cell:>width$}", width = title.len().max(10)).unwrap();
            // A token that stands for the same caller is good for the same.
            if route.template.contains("<name>") {
                let ask = stage.request(route, name, who).await;
                let token = stage.token(who, name).await;
                let by_token = stage.send(&token, &ask).await;
                assert_eq!(
                    by_token.cell(),
                    cell,
                    "{} as {who} with a token: {by_token:?}",
                    of(route)
                );
            }
        }
        if !is_good {
            missed.push(of(route));
        }
    }
    assert!(missed.is_empty(), "`Stage::request` has no good request for {missed:?}");
    insta::assert_snapshot!("routes", table);
}

#[test]
fn no_route_is_missing_from_the_matrix() {
    let reviewed = include_str!("snapshots/registry_access__routes.snap");
    let rows: Vec<&str> = reviewed
        .lines()
        .skip_while(|line| !line.contains(COLUMNS[0].0))
        .skip(1)
        .filter_map(|line| line.get(..44))
        .map(str::trim_end)
        .collect();
    let names: Vec<String> = routes().iter().map(of).collect();
    assert_eq!(rows, names, "the reviewed matrix has other routes than the router");
}

#[tokio::test]
async fn no_answer_tells_outsiders_what_there_is() {
    let stage = Stage::set().await;
    for route in routes().iter().filter(|route| route.template.contains("<name>")) {
        for who in OUTSIDERS {
            for with_token in [false, true] {
                let ask = stage.request(route, PRIVATE, who).await;
                let absent = Ask {
                    path: ask.path.replace(PRIVATE, ABSENT),
                    ..ask.clone()
                };
                let (here, there) = if with_token {
                    let (here, there) = (stage.token(who, PRIVATE).await, stage.token(who, ABSENT).await);
                    (stage.send(&here, &ask).await, stage.send(&there, &absent).await)
                } else {
                    let auth = stage.auth(who);
                    (stage.send(auth, &ask).await, stage.send(auth, &absent).await)
                };
                assert!(matches!(here.status, 401 | 403), "{} as {who}: {here:?}", of(route));
                let text = format!("{there:#?}").replace("team-a/xyz", "team-a/web");
                assert_eq!(format!("{here:#?}"), text, "{} as {who}", of(route));
            }
        }
    }
}

/// Who may pull from a repository may not know of it by that alone.
#[tokio::test]
async fn the_catalog_lists_what_the_caller_may_see() {
    let stage = Stage::set().await;
    let catalog = async |who: &str| {
        let ask = Ask {
            method: http::Method::GET,
            path: "/v2/000000000000/_catalog".into(),
            content_type: "",
            body: Vec::new(),
        };
        let answer = stage.send(stage.auth(who), &ask).await;
        (answer.status, answer.json()["repositories"].to_string())
    };
    let all = r#"["000000000000/public/web","000000000000/team-a/web","000000000000/team-b/web"]"#;
    let own = r#"["000000000000/team-b/web"]"#;
    for (who, want) in [
        ("nobody", (401, "null")),
        ("stranger", (200, "[]")),
        ("neighbour", (200, own)),
        ("reader", (200, all)),
        ("other", (200, "[]")),
        ("owner", (200, all)),
        ("deployment", (200, all)),
    ] {
        let (status, repositories) = catalog(who).await;
        assert_eq!((status, repositories.as_str()), want, "{who}");
    }
}

fn get(path: &str) -> Ask {
    Ask {
        method: http::Method::GET,
        path: path.to_owned(),
        content_type: "",
        body: Vec::new(),
    }
}

#[tokio::test]
async fn a_token_for_a_repository_of_one_account_is_none_for_that_of_another() {
    let stage = Stage::set().await;
    let repository = json!({ "repositoryName": "team-a/web" });
    let made = stage.world.call(stage.auth("other"), "POST", "/api/v1/repositories");
    made.json(&repository).send().await.expect(201);
    let places = [
        "/v2/000000000000/team-a/web/tags/list",
        "/v2/444444444444/team-a/web/tags/list",
    ];
    let deployment = stage.auth("deployment");
    for place in places {
        assert_eq!(stage.send(deployment, &get(place)).await.status, 200, "{place}");
    }
    let scope = "/token?service=registry.test&scope=repository:000000000000/team-a/web:pull";
    let token = stage.send(deployment, &get(scope)).await.json()["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let bearer = Auth::Bearer(token);
    assert_eq!(stage.send(&bearer, &get(places[0])).await.status, 200);
    let elsewhere = stage.send(&bearer, &get(places[1])).await;
    assert_eq!(elsewhere.status, 401);
    let challenge = elsewhere.header("www-authenticate");
    assert!(
        challenge.contains("insufficient_scope") && challenge.contains("repository:444444444444/team-a/web:pull"),
        "{challenge}"
    );
}

#[tokio::test]
async fn an_account_that_is_not_there_answers_as_one_that_lets_nobody_in() {
    let stage = Stage::set().await;
    for who in ["nobody", "stranger", "owner", "other"] {
        let mut answers = Vec::new();
        for account in [DEPLOYMENT, "555555555555"] {
            let path = format!("/v2/{account}/team-a/web/manifests/v1");
            let Answer { status, headers, body } = stage.send(stage.auth(who), &get(&path)).await;
            answers.push((status, format!("{headers:?} {body}").replace(account, "ACCOUNT")));
        }
        assert_eq!(answers[0], answers[1], "{who}");
        assert!([401, 403].contains(&answers[0].0), "{who}: {answers:?}");
    }
}
