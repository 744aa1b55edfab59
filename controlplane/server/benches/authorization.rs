// SPDX-License-Identifier: Apache-2.0
//! What finding out who asks and whether they may costs a pull of a manifest: `cargo bench -p hythe-server`.
//!
//! The registry answers from its real store, in this process: once with the real gate, once with one that lets everything
//! through. The difference is the share of authorization. Tokens are verified once as long as they are known, so that both
//! are measured: a known token, and one that is seen for the first time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark"
)]

#[path = "../../rest/tests/support/mod.rs"]
mod support;

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use axum::body::Body;
use criterion::{Criterion, criterion_group, criterion_main};
use http::{Request, StatusCode, header};
use hythe_access::{
    Action, AuthenticationError, Caller, Credentials, Decision, Gate, GateError, IssueError, IssuedToken, Principal,
    RequestContext, Resource, Secret, TokenScope,
};
use hythe_blobs::FsBlobStore;
use hythe_distribution::{Limits, Metrics, Registry, RegistryConfig, answer};
use hythe_model::{AccountId, Region, RepositoryPath};
use serde_json::json;
use support::{Auth, World};
use tokio::runtime::Runtime;

/// More than the gate remembers, so that each comes as if for the first time when its turn comes again.
const TOKENS: usize = 8192;

/// Lets everything through.
#[derive(Debug)]
struct Open(Caller);

#[async_trait]
impl Gate for Open {
    async fn authenticate(&self, _: &Credentials) -> Result<Caller, AuthenticationError> {
        Ok(self.0.clone())
    }

    async fn decide(&self, _: &Caller, _: Action, _: &Resource, _: &RequestContext) -> Result<Decision, GateError> {
        Ok(Decision::Allowed(None))
    }

    async fn issue(&self, _: &Caller, _: TokenScope) -> Result<IssuedToken, IssueError> {
        Err(GateError("nobody needs a token".into()).into())
    }
}

/// A registry with an image, and somebody whom two policies let pull it.
struct Stage {
    world: World,
    repository: RepositoryPath,
    key: Auth,
}

impl Stage {
    async fn set() -> Self {
        let world = World::new().await;
        let repository = world.repository("team-a/web").await;
        world.image(&repository, "configuration", &["v1"]).await;
        let key = world.user("ada", &["ReadOnly"]).await;
        world.account("111111111111").await;
        let document = json!({ "Version": "2012-10-17", "Statement": [
            { "Sid": "Others", "Effect": "Allow", "Principal": { "AWS": "111111111111" }, "Action": "ecr:BatchGetImage" },
            { "Sid": "Keep", "Effect": "Deny", "Principal": "*", "Action": "ecr:BatchDeleteImage" },
        ] });
        let policy = json!({ "policyText": document.to_string() });
        let path = "/api/v1/repositories/team-a%2Fweb/policy";
        world
            .call(&world.root, "PUT", path)
            .json(&policy)
            .send()
            .await
            .expect(200);
        Self { world, repository, key }
    }

    async fn token(&self) -> Secret {
        let call = self.world.call(&self.key, "POST", "/api/v1/authorization-tokens");
        let made = call.json(&json!({})).send().await;
        Secret::new(made.expect(201).text("/password"))
    }

    fn registry(&self, gate: Arc<dyn Gate>) -> Registry {
        Registry::new(
            RegistryConfig {
                default_account: AccountId::default(),
                region: Region::default(),
                host_accounts: Vec::new(),
                base_domain: None,
                limits: Limits::default(),
                service: "registry.test".into(),
                public_url: None,
            },
            gate,
            Arc::new(self.world.store.clone()),
            Arc::new(FsBlobStore::open(&self.world.folder.path().join("blobs")).unwrap()),
            Arc::clone(&self.world.clock) as _,
            Metrics::new(),
        )
    }
}

/// The time of so many turns, one after the other.
fn timed<F: Future<Output = ()>>(runtime: &Runtime, turns: u64, mut turn: impl FnMut(u64) -> F) -> Duration {
    runtime.block_on(async {
        let started = Instant::now();
        for number in 0..turns {
            turn(number).await;
        }
        started.elapsed()
    })
}

async fn pull(registry: &Registry, token: &Secret) {
    let request = Request::get("/v2/team-a/web/manifests/v1")
        .header(header::HOST, "registry.test")
        .header(header::AUTHORIZATION, format!("Bearer {}", token.expose()))
        .body(Body::empty())
        .unwrap();
    let response = answer(registry.clone(), request).await;
    assert_eq!(response.status(), StatusCode::OK);
    black_box(response);
}

fn authorization(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let stage = runtime.block_on(Stage::set());
    let gate = Arc::clone(stage.world.plane.gate());
    let token = runtime.block_on(stage.token());
    let known = Credentials::Bearer(token.clone());
    let caller = runtime.block_on(gate.authenticate(&known)).unwrap();
    let tokens: Vec<Credentials> = runtime.block_on(async {
        let mut tokens = Vec::with_capacity(TOKENS);
        for _ in 0..TOKENS {
            tokens.push(Credentials::Bearer(stage.token().await));
        }
        tokens
    });

    let mut group = criterion.benchmark_group("token");
    group.bench_function("known", |bencher| {
        bencher.iter_custom(|turns| {
            timed(&runtime, turns, |_| async {
                black_box(gate.authenticate(black_box(&known)).await.unwrap());
            })
        });
    });
    let mut next = 0;
    group.bench_function("new", |bencher| {
        bencher.iter_custom(|turns| {
            timed(&runtime, turns, |_| {
                next = (next + 1) % TOKENS;
                let token = &tokens[next];
                let gate = &gate;
                async move {
                    black_box(gate.authenticate(black_box(token)).await.unwrap());
                }
            })
        });
    });
    group.finish();

    let resource = Resource::Repository(stage.repository.clone());
    let named = RequestContext::of_image_tag("v1");
    criterion.bench_function("decision", |bencher| {
        bencher.iter_custom(|turns| {
            timed(&runtime, turns, |_| async {
                let decision = gate.decide(&caller, Action::BatchGetImage, &resource, &named).await;
                assert!(decision.unwrap().is_allowed());
            })
        });
    });

    let mut group = criterion.benchmark_group("manifest");
    let open = Arc::new(Open(Caller::of(Principal::Root(AccountId::default()))));
    let doors: [(&str, Arc<dyn Gate>); 2] = [("open gate", open), ("real gate", gate.clone())];
    for (name, gate) in doors {
        let registry = stage.registry(gate);
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|turns| timed(&runtime, turns, |_| pull(&registry, &token)));
        });
    }
    group.finish();
}

criterion_group!(benches, authorization);
criterion_main!(benches);
