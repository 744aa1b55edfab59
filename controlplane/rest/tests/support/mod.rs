// SPDX-License-Identifier: Apache-2.0
//! A control plane in process: a real store on SQLite in a temporary folder, a clock that tests move, and requests
//! whose every error is checked against the table of operations.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::format_push_string,
    clippy::missing_panics_doc,
    reason = "test code; each test file uses a part of it"
)]

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use hythe_catalog::{BlobCatalog as _, ImageCatalog as _, NewBlob, NewImage};
use hythe_meta::{Store, StoreConfig};
use hythe_model::{AccountId, Clock, Digest, Manifest, ManualClock, MediaType, Region, RepositoryPath};
use hythe_operations::{
    AccessGate, AddressStyle, AuditQueue, ControlPlane, MasterKey, RegistryAddress, Settings, bootstrap,
};
use hythe_rest::{Metrics, OperationInfo, operations, router};
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// How a request shows who sends it.
#[derive(Clone, Debug)]
pub enum Auth {
    Nobody,
    Basic(String, String),
    Bearer(String),
}

pub struct World {
    pub router: Router,
    pub plane: ControlPlane,
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub root: Auth,
    pub folder: tempfile::TempDir,
}

pub const MASTER: [u8; 32] = [7; 32];

impl World {
    pub async fn new() -> Self {
        Self::administered_by(&AccountId::default()).await
    }

    /// A deployment whose default account, that of `root`, is this one.
    pub async fn administered_by(default_account: &AccountId) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&StoreConfig::Sqlite {
            path: folder.path().join("meta.db"),
        })
        .await
        .unwrap();
        let clock = Arc::new(ManualClock::new("2026-11-01T00:00:00Z".parse().unwrap()));
        let shared: Arc<dyn Clock> = Arc::clone(&clock) as _;
        let master = MasterKey::new(MASTER);
        let made = bootstrap(&store, &shared, &master, default_account)
            .await
            .unwrap()
            .unwrap();
        let plane = plane_of(&store, &clock, &master, default_account);
        plane.gate().refresh().await.unwrap();
        let audit = AuditQueue::new(store.clone(), shared, plane.gate().auditor()).unwrap();
        plane.set_audit(Arc::new(audit));
        Self {
            router: router(plane.clone(), Metrics::default()),
            plane,
            store,
            clock,
            root: Auth::Basic(made.access_key_id, made.secret_access_key.expose().to_owned()),
            folder,
        }
    }

    pub fn call(&self, auth: &Auth, method: &str, path: &str) -> Call<'_> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("x-request-id", "test");
        match auth {
            Auth::Nobody => {}
            Auth::Basic(user, password) => {
                let text = STANDARD.encode(format!("{user}:{password}"));
                request = request.header("authorization", format!("Basic {text}"));
            }
            Auth::Bearer(token) => request = request.header("authorization", format!("Bearer {token}")),
        }
        Call {
            router: &self.router,
            request,
            body: Bytes::new(),
            method: method.into(),
            path: path.into(),
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(&self.root, "GET", path).send().await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(&self.root, "POST", path).json(&body).send().await
    }

    /// An account that is not the default one, and its administrator's key; for the administrator of the deployment.
    pub async fn account(&self, id: &str) -> Auth {
        let account = json!({ "accountId": id, "accountName": format!("account {id}") });
        self.post("/api/v1/accounts", account).await.expect(201);
        let keys = format!("/api/v1/accounts/{id}/administrator-keys");
        let key = self.call(&self.root, "POST", &keys).send().await;
        key.expect(201);
        Auth::Basic(key.text("/accessKeyId"), key.text("/secretAccessKey"))
    }

    /// A user with these policies, and its access key.
    pub async fn user(&self, name: &str, policies: &[&str]) -> Auth {
        self.post("/api/v1/users", json!({ "userName": name, "policies": policies }))
            .await
            .expect(201);
        let key = self
            .call(&self.root, "POST", &format!("/api/v1/users/{name}/access-keys"))
            .send()
            .await;
        key.expect(201);
        Auth::Basic(key.text("/accessKeyId"), key.text("/secretAccessKey"))
    }

    /// An identity provider whose keys cannot be fetched.
    pub async fn identity_provider(&self, url: &str) -> Reply {
        let reply = self
            .post(
                "/api/v1/identity-providers",
                json!({ "url": url, "clientIdList": ["hythe"] }),
            )
            .await;
        reply.expect(201);
        reply
    }

    pub async fn repository(&self, name: &str) -> RepositoryPath {
        self.post("/api/v1/repositories", json!({ "repositoryName": name }))
            .await
            .expect(201);
        RepositoryPath {
            account: AccountId::default(),
            name: name.parse().unwrap(),
        }
    }

    /// Stores an image whose configuration is `text`, with `tags`.
    pub async fn image(&self, path: &RepositoryPath, text: &str, tags: &[&str]) -> Digest {
        let config = self.blob(path, text.as_bytes()).await;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": text.len() },
            "layers": [],
        });
        self.put(path, &manifest, tags).await
    }

    /// Stores any manifest.
    pub async fn put(&self, path: &RepositoryPath, manifest: &Value, tags: &[&str]) -> Digest {
        let bytes = Bytes::from(manifest.to_string());
        let digest = sha256(&bytes);
        let image = NewImage {
            manifest: Manifest::parse(bytes, None).unwrap(),
            digest,
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            pushed_at: self.clock.now(),
            pushed_by: "arn:aws:iam::000000000000:root".into(),
        };
        self.store.put_image(path, image).await.unwrap();
        digest
    }

    pub async fn blob(&self, path: &RepositoryPath, bytes: &[u8]) -> Digest {
        let digest = sha256(bytes);
        let blob = NewBlob {
            digest,
            size: bytes.len() as u64,
            inline: Some(Bytes::copy_from_slice(bytes)),
            upload: None,
        };
        self.store.link_blob(path, blob, self.clock.now()).await.unwrap();
        digest
    }
}

/// Another node of the same deployment, or one with another key.
pub fn plane(store: &Store, clock: &Arc<ManualClock>, master: &MasterKey) -> ControlPlane {
    plane_of(store, clock, master, &AccountId::default())
}

fn plane_of(store: &Store, clock: &Arc<ManualClock>, master: &MasterKey, default_account: &AccountId) -> ControlPlane {
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let gate = AccessGate::new(store.clone(), Arc::clone(&clock), master, Region::default())
        .unwrap()
        .with_default_account(default_account.clone());
    let settings = Settings {
        region: Region::default(),
        default_account: default_account.clone(),
        registry: RegistryAddress {
            is_tls: false,
            authority: "127.0.0.1:5000".into(),
            style: AddressStyle::Default,
        },
        control_endpoint: "http://127.0.0.1:8080".into(),
        version: "0.0.0-test".into(),
        create_on_push: false,
    };
    ControlPlane::new(store.clone(), Arc::new(gate), clock, settings)
}

pub fn sha256(bytes: &[u8]) -> Digest {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    Digest::new(hythe_model::Algorithm::Sha256, hash.as_ref()).unwrap()
}

pub struct Call<'w> {
    router: &'w Router,
    request: http::request::Builder,
    body: Bytes,
    method: String,
    path: String,
}

impl Call<'_> {
    pub fn json(mut self, body: &Value) -> Self {
        self.request = self.request.header("content-type", "application/json");
        self.body = body.to_string().into();
        self
    }

    pub fn body(mut self, content_type: Option<&str>, body: impl Into<Bytes>) -> Self {
        if let Some(content_type) = content_type {
            self.request = self.request.header("content-type", content_type);
        }
        self.body = body.into();
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    pub async fn send(self) -> Reply {
        let request = self.request.body(Body::from(self.body)).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let reply = Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
            what: format!("{} {}", self.method, self.path),
        };
        reply.check(&self.method, &self.path);
        reply
    }
}

pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    what: String,
}

impl Reply {
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Self {
        assert_eq!(
            self.status,
            status,
            "{}: {}",
            self.what,
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    #[track_caller]
    pub fn expect_code(&self, status: u16, code: &str) -> &Self {
        self.expect(status);
        assert_eq!(
            self.json()["code"],
            code,
            "{}: {}",
            self.what,
            String::from_utf8_lossy(&self.body)
        );
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{}: {error}: {:?}", self.what, self.body))
    }

    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        self.json()
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("{pointer}: {}", self.json()))
            .into()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status, headers that matter, and the body, as a reviewer wants to read them.
    pub fn show(&self) -> String {
        let mut text = format!("{}\n{}\n", self.what, self.status);
        for name in [
            "content-type",
            "etag",
            "location",
            "www-authenticate",
            "allow",
            "retry-after",
            "x-request-id",
        ] {
            if self.headers.contains_key(name) {
                text.push_str(&format!("{name}: {}\n", self.header(name)));
            }
        }
        match serde_json::from_slice::<Value>(&self.body) {
            Ok(json) => text.push_str(&serde_json::to_string_pretty(&json).unwrap()),
            Err(_) => text.push_str(&String::from_utf8_lossy(&self.body)),
        }
        text
    }

    /// What holds for every answer.
    fn check(&self, method: &str, path: &str) {
        assert_eq!(self.header("x-request-id"), "test", "{}", self.what);
        assert_ne!(self.status, 500, "{}: {:?}", self.what, self.body);
        if self.status < 400 || method == "HEAD" {
            return;
        }
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.what);
        let problem: hythe_wire::Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status, "{}", self.what);
        assert!(hythe_wire::code::ALL.contains(&problem.code.as_str()), "{problem:?}");
        assert!(!problem.detail.is_empty(), "{problem:?}");
        assert_eq!(
            self.status == 401,
            self.headers.contains_key("www-authenticate"),
            "{}",
            self.what
        );
        assert_eq!(
            matches!(self.status, 429 | 503),
            self.headers.contains_key("retry-after"),
            "{}",
            self.what
        );
        if let Some(info) = operation(method, path) {
            let declared = info.all_errors();
            assert!(
                declared.contains(&problem.code.as_str()),
                "{} does not declare {}",
                info.name,
                problem.code
            );
        }
    }
}

/// The row of the table that a request belongs to.
pub fn operation(method: &str, path: &str) -> Option<&'static OperationInfo> {
    let path = path.split('?').next().unwrap();
    let fits = |template: &str| {
        let (path, template): (Vec<_>, Vec<_>) = (path.split('/').collect(), template.split('/').collect());
        path.len() == template.len()
            && path
                .iter()
                .zip(template)
                .all(|(part, wanted)| wanted.starts_with('{') || *part == wanted)
    };
    operations()
        .iter()
        .find(|info| info.method.as_str() == method && fits(info.path))
}
