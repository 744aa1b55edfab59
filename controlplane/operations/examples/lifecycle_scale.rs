// SPDX-License-Identifier: Apache-2.0
//! How long a preview and a run of a lifecycle policy take in a repository with many images, and how much memory.
//!
//! `cargo run --release -p hythe-operations --example lifecycle_scale -- 100000`
#![allow(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a measurement for people: it reads the time and prints what it found"
)]

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest as hash};
use bytes::Bytes;
use hythe_catalog::{BlobCatalog as _, ImageCatalog as _, NewBlob, NewImage};
use hythe_meta::{NewPolicies, NewRepository, Store, StoreConfig};
use hythe_model::{
    AccountId, Algorithm, Clock, Digest, Encryption, Manifest, ManualClock, MediaType, Region, RepositoryPath,
    ResourceTags, TagMutability,
};
use hythe_operations::{
    AccessGate, AddressStyle, ControlPlane, LifecycleKind, LifecycleWorker, MasterKey, RegistryAddress, Settings,
    bootstrap,
};
use jiff::SignedDuration;
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// How many images are pushed at once, so that many share a commit.
const AT_ONCE: usize = 500;
/// Keeps nine tenths of the releases; the untagged images are too young.
fn policy(images: usize) -> String {
    let keep = images * 9 / 10 / 2;
    json!({ "rules": [
        { "rulePriority": 1, "selection": { "tagStatus": "tagged", "tagPatternList": ["v*"],
            "countType": "imageCountMoreThan", "countNumber": keep.max(1) }, "action": { "type": "expire" } },
        { "rulePriority": 2, "selection": { "tagStatus": "untagged", "countType": "sinceImagePushed",
            "countUnit": "days", "countNumber": 365 }, "action": { "type": "expire" } },
        { "rulePriority": 3, "selection": { "tagStatus": "any", "countType": "sinceImagePushed",
            "countUnit": "days", "countNumber": 730 }, "action": { "type": "expire" } },
    ] })
    .to_string()
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let images: usize = std::env::args().nth(1).map_or(Ok(100_000), |text| text.parse())?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("meta.db");
    let store = Store::open(&StoreConfig::Sqlite { path }).await?;
    let clock = Arc::new(ManualClock::new("2026-11-01T00:00:00Z".parse()?));
    let plane = plane(&store, &clock).await?;
    let repository = RepositoryPath {
        account: AccountId::default(),
        name: "web".parse()?,
    };
    fill(&store, &clock, &repository, images).await?;

    let text = policy(images);
    let now = clock.now();
    store
        .put_lifecycle_policy(&repository, &text, now, now + SignedDuration::from_hours(1), None)
        .await?;
    let worker = LifecycleWorker::new(plane, CancellationToken::new());
    let resident = memory("VmRSS")?;
    for (what, kind) in [("preview", LifecycleKind::Preview), ("run", LifecycleKind::Run)] {
        match kind {
            LifecycleKind::Preview => drop(store.start_lifecycle_preview(&repository, None, "me", now).await?),
            LifecycleKind::Run => drop(store.start_lifecycle_run(&repository, "me", now).await?),
        }
        std::fs::write("/proc/self/clear_refs", "5")?;
        let evaluated = worker.metrics().evaluation_millis.load(Ordering::Relaxed);
        let began = Instant::now();
        worker.pass(kind).await?;
        let took = began.elapsed();
        let evaluation = worker.metrics().evaluation_millis.load(Ordering::Relaxed) - evaluated;
        println!(
            "{what} of {images} images: {:.2} s, of which evaluation {:.3} s; peak memory {:.0} MiB, {:.0} MiB before",
            took.as_secs_f64(),
            Duration::from_millis(evaluation).as_secs_f64(),
            memory("VmHWM")? / 1024.0,
            resident / 1024.0,
        );
    }
    println!("expired: {}", worker.metrics().expired.load(Ordering::Relaxed));
    store.close().await;
    Ok(())
}

async fn plane(store: &Store, clock: &Arc<ManualClock>) -> Outcome<ControlPlane> {
    let shared: Arc<dyn Clock> = Arc::clone(clock) as _;
    let master = MasterKey::new([7; 32]);
    let account = AccountId::default();
    bootstrap(store, &shared, &master, &account).await?;
    let gate = AccessGate::new(store.clone(), Arc::clone(&shared), &master, Region::default())?;
    gate.refresh().await?;
    let settings = Settings {
        region: Region::default(),
        default_account: account,
        registry: RegistryAddress {
            is_tls: false,
            authority: "127.0.0.1:5000".into(),
            style: AddressStyle::Default,
        },
        control_endpoint: "http://127.0.0.1:8080".into(),
        version: "0.0.0".into(),
        create_on_push: false,
    };
    Ok(ControlPlane::new(store.clone(), Arc::new(gate), shared, settings))
}

/// Half of the images have a tag; each has a configuration of its own and a layer that others have too.
async fn fill(store: &Store, clock: &Arc<ManualClock>, repository: &RepositoryPath, images: usize) -> Outcome<()> {
    let new = NewRepository {
        path: repository.clone(),
        tag_mutability: TagMutability::default(),
        scan_on_push: false,
        allow_sparse_indexes: false,
        encryption: Encryption::default(),
        tags: ResourceTags::default(),
        created_at: clock.now(),
        idempotency: None,
        policies: NewPolicies::default(),
    };
    store.create_repository(new).await?;
    let began = Instant::now();
    for first in (0..images).step_by(AT_ONCE) {
        clock.advance_seconds(60);
        let mut pushes = JoinSet::new();
        for number in first..images.min(first + AT_ONCE) {
            let (store, repository, at) = (store.clone(), repository.clone(), clock.now());
            pushes.spawn(async move {
                let config = Bytes::from(format!("{{\"number\":{number}}}"));
                let layer = Bytes::from(format!("layer {}", number / 10));
                for bytes in [&config, &layer] {
                    let blob = NewBlob {
                        digest: sha256(bytes),
                        size: bytes.len() as u64,
                        inline: Some(bytes.clone()),
                        upload: None,
                    };
                    store
                        .link_blob(&repository, blob, at)
                        .await
                        .map_err(|error| error.to_string())?;
                }
                let of = |bytes: &Bytes| json!({ "mediaType": "x/y", "digest": sha256(bytes), "size": bytes.len() });
                let manifest = json!({ "schemaVersion": 2, "config": of(&config), "layers": [of(&layer)] });
                let bytes = Bytes::from(manifest.to_string());
                let image = NewImage {
                    digest: sha256(&bytes),
                    manifest: Manifest::parse(bytes, Some(MediaType::OCI_MANIFEST))
                        .map_err(|error| error.to_string())?,
                    tags: if number % 2 == 0 {
                        vec![format!("v{number}").parse().map_err(|_| "no tag".to_owned())?]
                    } else {
                        Vec::new()
                    },
                    pushed_at: at,
                    pushed_by: "arn:aws:iam::000000000000:root".into(),
                };
                store
                    .put_image(&repository, image)
                    .await
                    .map_err(|error| error.to_string())?;
                Ok::<(), String>(())
            });
        }
        while let Some(pushed) = pushes.join_next().await {
            pushed??;
        }
    }
    println!("pushed {images} images in {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn sha256(bytes: &[u8]) -> Digest {
    let hash = hash(&SHA256, bytes);
    #[allow(clippy::expect_used, reason = "32 bytes are a hash of SHA-256")]
    Digest::new(Algorithm::Sha256, hash.as_ref()).expect("32 bytes")
}

/// A field of `/proc/self/status`, in KiB.
fn memory(field: &str) -> Outcome<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.ok_or("no such field")?.parse()?)
}
