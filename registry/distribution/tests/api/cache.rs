// SPDX-License-Identifier: Apache-2.0
//! What comes from other registries while something goes wrong here: what is known of upstreams is as a test says.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use http::{StatusCode, header};
use hythe_access::Caller;
use hythe_catalog::{CatalogError, ImageCatalog as _, ImageRecord, Referrer};
use hythe_distribution::{CreationError, Import, PullThrough, Upstream, UpstreamReferrers, UpstreamTag};
use hythe_model::{Clock as _, Digest, MediaType, Reference, RepositoryPath, Tag};
use hythe_upstream::{Outgoing, PullStep, Remote};
use jiff::{SignedDuration, Timestamp};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};
use tower::ServiceExt as _;

use crate::support::{Ask, OWNER, Plane, image, path, sha256};

const NAME: &str = "team/web";

/// What a claim to fetch a blob comes to.
#[derive(Clone, Copy, Debug)]
enum Claim {
    Elsewhere,
    RepositoryUnknown,
    Panic,
}

/// `team/web` comes from another registry.
#[derive(Debug)]
struct Through {
    upstream: Arc<Upstream>,
    claim: Mutex<Claim>,
    claims: AtomicUsize,
    imports: Mutex<VecDeque<Import>>,
    /// Whether the manifests that were claimed still wait to be made images of.
    is_waiting: AtomicBool,
    /// How often the store is busy before it notes something about an import.
    busy: AtomicUsize,
    /// What it was asked to note.
    notes: Mutex<Vec<&'static str>>,
}

impl Through {
    fn note(&self, what: &'static str) -> Result<(), CatalogError> {
        self.notes.lock().unwrap().push(what);
        let taken = self
            .busy
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |busy| busy.checked_sub(1));
        if taken.is_ok() { Err(CatalogError::Busy) } else { Ok(()) }
    }

    fn notes(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.notes.lock().unwrap())
    }

    /// Queues a manifest to be made an image of, claimed until `leased_until`.
    fn queue(&self, bytes: Vec<u8>, leased_until: Timestamp) {
        let manifest = ImageRecord {
            digest: sha256(&bytes),
            media_type: MediaType::OCI_MANIFEST.parse().unwrap(),
            bytes: bytes.into(),
        };
        self.imports.lock().unwrap().push_back(Import {
            repository: path(OWNER, NAME),
            manifest,
            attempts: 0,
            leased_until,
        });
    }
}

#[async_trait]
impl PullThrough for Through {
    fn remembered(&self, repository: &RepositoryPath) -> Option<Option<Arc<Upstream>>> {
        let is_known = *repository == path(OWNER, NAME);
        Some(is_known.then(|| Arc::clone(&self.upstream)))
    }

    async fn upstream(&self, repository: &RepositoryPath) -> Result<Option<Arc<Upstream>>, CatalogError> {
        Ok(self.remembered(repository).flatten())
    }

    async fn create_repository(&self, _: &Caller, _: &RepositoryPath) -> Result<bool, CreationError> {
        Ok(false)
    }

    async fn may_move(&self, _: &RepositoryPath, _: &Tag) -> Result<bool, CatalogError> {
        Ok(true)
    }

    async fn tag(&self, _: &RepositoryPath, _: &Tag) -> Result<Option<UpstreamTag>, CatalogError> {
        Ok(None)
    }

    async fn manifest(&self, _: &RepositoryPath, _: &Digest) -> Result<Option<ImageRecord>, CatalogError> {
        Ok(None)
    }

    async fn is_importing(&self, _: &RepositoryPath) -> Result<bool, CatalogError> {
        Ok(true)
    }

    async fn keep(
        &self,
        _: &RepositoryPath,
        _: Option<(Tag, Digest)>,
        _: Option<ImageRecord>,
        _: Timestamp,
    ) -> Result<bool, CatalogError> {
        Ok(true)
    }

    async fn tags_of(&self, _: &RepositoryPath, _: &Digest) -> Result<Vec<Tag>, CatalogError> {
        Ok(Vec::new())
    }

    async fn referrers(&self, _: &RepositoryPath, _: &Digest) -> Result<Option<UpstreamReferrers>, CatalogError> {
        Ok(None)
    }

    async fn keep_referrers(&self, _: &RepositoryPath, _: &Digest, _: &[Referrer]) -> Result<bool, CatalogError> {
        Ok(false)
    }

    async fn claim_import(&self) -> Result<Option<Import>, CatalogError> {
        Ok(self.imports.lock().unwrap().pop_front())
    }

    async fn waiting_import(&self, repository: &RepositoryPath, _: &Digest) -> Result<Option<Import>, CatalogError> {
        let import = Import {
            repository: repository.clone(),
            manifest: ImageRecord {
                digest: sha256(b""),
                media_type: MediaType::OCI_MANIFEST.parse().unwrap(),
                bytes: Vec::new().into(),
            },
            attempts: 0,
            leased_until: Timestamp::MAX,
        };
        Ok(self.is_waiting.load(Ordering::SeqCst).then_some(import))
    }

    async fn end_import(&self, _: &Import) -> Result<(), CatalogError> {
        self.note("end")
    }

    async fn put_off_import(&self, _: &Import, _: Timestamp, error: Option<&str>) -> Result<bool, CatalogError> {
        self.note(if error.is_some() { "failed" } else { "go on" })?;
        Ok(self.is_waiting.load(Ordering::SeqCst))
    }

    async fn claim_fetch(&self, repository: &RepositoryPath, _: &Digest) -> Result<bool, CatalogError> {
        self.claims.fetch_add(1, Ordering::SeqCst);
        let claim = *self.claim.lock().unwrap();
        match claim {
            Claim::Elsewhere => Ok(false),
            Claim::RepositoryUnknown => Err(CatalogError::RepositoryUnknown(repository.clone())),
            Claim::Panic => panic!("as a test wants"),
        }
    }

    async fn end_fetch(&self, _: &RepositoryPath, _: &Digest) -> Result<(), CatalogError> {
        Ok(())
    }
}

/// A plane whose `team/web` comes from the registry at `url`.
fn plane_behind(url: &str, claim: Claim) -> (Plane, Arc<Through>) {
    let plane = Plane::new();
    let outgoing = Outgoing::new(&["127.0.0.0/8".parse().unwrap()], None).unwrap();
    let through = Arc::new(Through {
        upstream: Arc::new(Upstream {
            remote: Arc::new(Remote::new(outgoing, url.parse().unwrap(), None)),
            repository: "a/b".into(),
            rule: "up".into(),
            freshness: Duration::ZERO,
            step: PullStep::of("here", &path(OWNER, NAME)),
        }),
        claim: Mutex::new(claim),
        claims: AtomicUsize::new(0),
        imports: Mutex::default(),
        is_waiting: AtomicBool::new(true),
        busy: AtomicUsize::new(0),
        notes: Mutex::default(),
    });
    plane.registry.set_pull_through(Arc::clone(&through) as _);
    (plane, through)
}

/// The same, of a registry that is never asked.
fn plane(claim: Claim) -> (Plane, Arc<Through>) {
    plane_behind("http://127.0.0.1:1", claim)
}

/// When a claim of an import ends that is made now.
fn lease(plane: &Plane) -> Timestamp {
    plane.clock.now() + SignedDuration::from_mins(2)
}

fn absent_image() -> Vec<u8> {
    image(&sha256(b"config"), &sha256(b"layer"), 5)
}

fn blob_target() -> String {
    format!("/v2/{NAME}/blobs/{}", sha256(b"config"))
}

#[tokio::test(start_paused = true)]
async fn a_blob_is_not_waited_for_when_its_repository_is_gone() {
    let (plane, through) = plane(Claim::RepositoryUnknown);
    let answer = plane.get(&blob_target()).await;
    assert_eq!(
        (answer.status, answer.code()),
        (StatusCode::NOT_FOUND, "NAME_UNKNOWN".into())
    );
    assert_eq!(through.claims.load(Ordering::SeqCst), 1);
    assert_eq!(plane.registry.upstream_fetches(), 0);

    // Nor by an import, which leaves nothing to be tried again.
    through.queue(absent_image(), lease(&plane));
    assert!(plane.registry.import_one().await.unwrap());
    assert_eq!(through.notes(), [""; 0]);
    assert!(!plane.registry.import_one().await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_import_ends_when_nobody_waits_for_its_image() {
    let (plane, through) = plane(Claim::Elsewhere);
    through.is_waiting.store(false, Ordering::SeqCst);
    through.queue(absent_image(), lease(&plane));
    assert!(plane.registry.import_one().await.unwrap());
    assert_eq!(through.notes(), ["go on"], "it looks once, and leaves");
    plane.registry.drain().await;
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_import_is_noted_though_the_store_is_busy() {
    let (plane, through) = plane(Claim::RepositoryUnknown);
    let (config, layer) = (
        plane.push_blob(NAME, b"config").await,
        plane.push_blob(NAME, b"layer").await,
    );
    let bytes = image(&config, &layer, 5);
    through.queue(bytes.clone(), lease(&plane));
    through.busy.store(3, Ordering::SeqCst);
    assert!(plane.registry.import_one().await.unwrap());
    assert_eq!(through.notes(), ["end"; 4]);
    let imported = Reference::Digest(sha256(&bytes));
    let found = plane.catalog.image(&path(OWNER, NAME), &imported).await.unwrap();
    assert!(found.is_some());

    // So is a failure.
    through.queue(b"no manifest".to_vec(), lease(&plane));
    through.busy.store(2, Ordering::SeqCst);
    assert!(plane.registry.import_one().await.unwrap());
    assert_eq!(through.notes(), ["failed"; 3]);

    // Not for ever, and not when somebody else may have it.
    through.queue(bytes.clone(), lease(&plane));
    through.busy.store(usize::MAX, Ordering::SeqCst);
    assert!(matches!(plane.registry.import_one().await, Err(CatalogError::Busy)));
    let tries = through.notes().len();
    assert!((4..=20).contains(&tries), "{tries}");
    through.queue(bytes, plane.clock.now());
    assert!(matches!(plane.registry.import_one().await, Err(CatalogError::Busy)));
    assert_eq!(through.notes(), ["end"]);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_fetch_that_panicked() {
    let (plane, through) = plane(Claim::Panic);
    let answer = tokio::time::timeout(Duration::from_mins(1), plane.get(&blob_target())).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{answer}");
    assert_eq!(plane.registry.upstream_fetches(), 0);
    assert!(
        plane.metrics_text().contains("cache_failures_total 1\n"),
        "{}",
        plane.metrics_text()
    );

    // The next one is a fetch of its own.
    *through.claim.lock().unwrap() = Claim::RepositoryUnknown;
    assert_eq!(plane.get(&blob_target()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_absent_is_asked_for_once_however_many_wait() {
    const CLIENTS: usize = 8;
    let (asked, gate) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Semaphore::new(0)));
    let (noted, held) = (Arc::clone(&asked), Arc::clone(&gate));
    // It takes its time to say that it has nothing.
    let upstream = Router::new().fallback(async move |request: http::Request<axum::body::Body>| {
        noted.lock().unwrap().push(request.uri().path().to_owned());
        let _open = held.acquire().await;
        StatusCode::NOT_FOUND
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut server = JoinSet::new();
    server.spawn(async move { axum::serve(listener, upstream).await.unwrap() });
    let (plane, _) = plane_behind(&url, Claim::Elsewhere);

    let (by_digest, fresh_digest) = (sha256(b"by digest"), sha256(b"fresh by digest"));
    let cases = [
        (format!("manifests/{by_digest}"), false, StatusCode::NOT_FOUND),
        (format!("manifests/{fresh_digest}"), true, StatusCode::NOT_FOUND),
        ("manifests/v1".into(), false, StatusCode::NOT_FOUND),
        ("manifests/v2".into(), true, StatusCode::NOT_FOUND),
        (format!("referrers/{by_digest}"), false, StatusCode::OK),
        (format!("referrers/{fresh_digest}"), true, StatusCode::OK),
    ];
    for (target, is_fresh, status) in cases {
        let count = || asked.lock().unwrap().iter().filter(|it| it.ends_with(&target)).count();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let mut ask = Ask::get(&format!("/v2/{NAME}/{target}")).by("admin");
            if is_fresh {
                ask = ask.header(header::CACHE_CONTROL, "no-cache");
            }
            clients.spawn(plane.router.clone().oneshot(ask.into_request()));
        }
        // There is one thread: when the upstream is asked by one, nothing but that one is between the others and their turn.
        while count() == 0 {
            yield_now().await;
        }
        for _ in 0..1000 {
            yield_now().await;
        }
        gate.add_permits(1);
        while let Some(answer) = clients.join_next().await {
            assert_eq!(answer.unwrap().unwrap().status(), status, "{target}");
        }
        assert_eq!(count(), 1, "{target} {is_fresh}");
        // A question that follows it, as for the tag of the old kind, was not held.
        gate.forget_permits(Semaphore::MAX_PERMITS.min(gate.available_permits()));
    }
}
