// SPDX-License-Identifier: Apache-2.0
//! Each kind of damage is planted and found, and nothing else is, on SQLite and on PostgreSQL.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    dead_code,
    reason = "test code, of which the harness of the metadata store is a part"
)]

#[path = "../../meta/tests/store/harness.rs"]
mod harness;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use hythe_blobs::{BlobInventory as _, BlobStore as _, FsBlobStore, Hasher, Progress};
use hythe_catalog::{
    BlobCatalog as _, ImageCatalog as _, ImageRecord, NewBlob, NewImage, UploadCatalog as _, UploadState,
};
use hythe_meta::{
    BlobMoveLimit, NewPolicies, NewRepository, ScrubFinding, ScrubRecord, ScrubStatus, Store, StoreConfig, Transition,
};
use hythe_model::{
    AccountId, Algorithm, Clock, Digest, Encryption, Manifest, ManualClock, MediaType, RepositoryPath, ResourceTags,
    StorageClass, TagMutability, UploadId,
};
use hythe_operations::{Verifier, VerifierSettings};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use harness::{Database, Engine, on_each_engine};

on_each_engine!(
    nothing_is_wrong_with_a_healthy_store,
    every_kind_of_damage_is_found_and_named,
    what_is_in_the_wrong_storage_class_is_found,
    damaged_files_are_put_aside_on_request_only_and_a_push_mends_them,
    a_sample_hashes_a_part_and_still_misses_no_missing_file,
    a_scrub_that_is_stopped_or_cancelled_ends_and_is_gone_on_with,
    a_row_that_cannot_be_read_is_a_finding_and_does_not_hide_others,
    what_came_from_other_registries_is_checked_too,
);

const LARGE: usize = 200_000;
const SECOND_LOOK: Duration = Duration::from_millis(5);

struct World<'d> {
    database: &'d Database,
    folder: tempfile::TempDir,
    store: Store,
    files: Arc<FsBlobStore>,
    verifier: Verifier,
    repository: RepositoryPath,
    image: Digest,
    index: Digest,
    large: Digest,
    small: Digest,
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}

impl<'d> World<'d> {
    /// A repository with an index over an image of a small and a large blob, and an upload that was sealed and not finished.
    async fn new(database: &'d Database) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = database.store.clone();
        // Tests write to the file behind its back.
        store.set_cache_bytes(0);
        let files = Arc::new(FsBlobStore::open(&folder.path().join("blobs")).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(now()));
        let settings = VerifierSettings {
            node: "a".into(),
            bytes_per_second: u64::MAX,
            rows_per_second: u64::MAX,
            second_look: SECOND_LOOK,
        };
        let verifier = Verifier::new(store.clone(), Arc::<FsBlobStore>::clone(&files), clock, settings);
        let repository = RepositoryPath {
            account: AccountId::default(),
            name: "web".parse().unwrap(),
        };
        store
            .create_repository(NewRepository {
                path: repository.clone(),
                tag_mutability: TagMutability::default(),
                scan_on_push: false,
                allow_sparse_indexes: false,
                encryption: Encryption::default(),
                tags: ResourceTags::default(),
                created_at: now(),
                policies: NewPolicies::default(),
                idempotency: None,
            })
            .await
            .unwrap();
        let small = sha256(b"small");
        let blob = NewBlob {
            digest: small,
            size: 5,
            inline: Some(Bytes::from_static(b"small")),
            upload: None,
        };
        store.link_blob(&repository, blob, now()).await.unwrap();
        let mut world = Self {
            database,
            folder,
            store,
            files,
            verifier,
            repository,
            image: small,
            index: small,
            large: small,
            small,
        };
        world.large = world.push(&vec![7; LARGE], true).await;
        world.push(&vec![8; LARGE], false).await;
        let descriptor = |digest: &Digest, size: usize| json!({ "mediaType": "a/b", "digest": digest, "size": size });
        let manifest = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": descriptor(&world.small, 5), "layers": [descriptor(&world.large, LARGE)] });
        world.image = world.put(&manifest.to_string(), &["v1"]).await;
        let child = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": world.image, "size": 1 });
        let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [child] });
        world.index = world.put(&index.to_string(), &["all"]).await;
        world
    }

    /// Pushes as the registry does; without `is_linked` only as far as the blob store.
    async fn push(&self, content: &[u8], is_linked: bool) -> Digest {
        let upload = UploadId::generate();
        let later = now() + SignedDuration::from_hours(1);
        let (repository, digest) = (&self.repository, sha256(content));
        self.store
            .begin_upload(repository, upload, Algorithm::Sha256, later)
            .await
            .unwrap();
        let from = Progress {
            bytes: 0,
            hasher: Hasher::new(Algorithm::Sha256),
        };
        let body = Box::pin(futures::stream::iter([Ok(Bytes::copy_from_slice(content))]));
        let progress = self.files.append(upload, from, body, u64::MAX).await.progress;
        let state = UploadState::Stored {
            bytes: progress.bytes,
            hash_state: progress.hasher.to_state(),
        };
        self.store
            .seal_upload(repository, upload, 0, &digest, state, later)
            .await
            .unwrap();
        self.files.commit(upload, progress, &digest).await.unwrap();
        if is_linked {
            let blob = NewBlob {
                digest,
                size: content.len() as u64,
                inline: None,
                upload: Some(upload),
            };
            self.store.link_blob(repository, blob, now()).await.unwrap();
        }
        digest
    }

    async fn put(&self, manifest: &str, tags: &[&str]) -> Digest {
        let image = NewImage {
            manifest: Manifest::parse(Bytes::copy_from_slice(manifest.as_bytes()), None).unwrap(),
            digest: sha256(manifest.as_bytes()),
            tags: tags.iter().map(|tag| tag.parse().unwrap()).collect(),
            pushed_at: now(),
            pushed_by: "arn:aws:iam::000000000000:root".into(),
        };
        let digest = image.digest;
        self.store.put_image(&self.repository, image).await.unwrap();
        digest
    }

    fn file(&self, blob: &Digest) -> PathBuf {
        let hex = blob.hex();
        self.folder.path().join("blobs/blobs/sha256").join(&hex[..2]).join(&hex)
    }

    /// Changes rows behind the store's back, whatever the schema says about it. `BYTES('x')` are the bytes of a text.
    async fn execute(&self, sql: &str) {
        let sql = if engine_of(self.database) == Engine::Postgres {
            let sql = sql.replace("BYTES(", "convert_to(").replace("')", "', 'UTF8')");
            format!("SET session_replication_role = replica; {sql}")
        } else {
            sql.replace("BYTES(", "CAST(").replace("')", "' AS BLOB)")
        };
        self.database.execute(sql).await;
    }

    async fn scrub(&self, quarantine: bool) -> (ScrubRecord, Vec<ScrubFinding>) {
        let started = self.store.start_scrub("root", 100, quarantine, now()).await.unwrap();
        assert!(self.verifier.pass(&CancellationToken::new()).await.unwrap());
        let scrub = self.store.scrub(&started.id).await.unwrap().unwrap();
        let findings = self.store.scrub_findings(&started.id, 0, 1000).await.unwrap();
        assert_eq!(scrub.status, ScrubStatus::Complete, "{scrub:?}");
        assert_eq!(scrub.findings, findings.len() as u64);
        (scrub, findings)
    }

    /// The kinds that a scrub finds, each once.
    async fn kinds(&self) -> Vec<String> {
        let (_, findings) = self.scrub(false).await;
        let mut kinds: Vec<String> = findings.into_iter().map(|found| found.finding.kind).collect();
        kinds.sort();
        kinds.dedup();
        kinds
    }
}

fn change_last_byte(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(path, bytes).unwrap();
}

/// For databases of their own, one for each case.
fn engine_of(database: &Database) -> Engine {
    match database.config {
        StoreConfig::Postgres { .. } => Engine::Postgres,
        StoreConfig::Sqlite { .. } => Engine::Sqlite,
    }
}

async fn nothing_is_wrong_with_a_healthy_store(database: &Database) {
    let world = World::new(database).await;
    let (scrub, findings) = world.scrub(true).await;
    assert!(findings.is_empty(), "{findings:?}");
    let counts = scrub.progress.counts;
    assert_eq!((counts.blobs, counts.files, counts.images, counts.tags), (2, 2, 2, 2));
    assert_eq!(counts.bytes, 5 + LARGE as u64);
    assert_eq!(counts.references, 2 + 2 + 1);
    assert!(scrub.ended_at.is_some());
    assert!(
        !world.verifier.pass(&CancellationToken::new()).await.unwrap(),
        "there is no other"
    );
}

async fn every_kind_of_damage_is_found_and_named(database: &Database) {
    type Plant = fn(&World) -> String;
    let cases: &[(&str, Plant, &[&str])] = &[
        (
            "a file is gone",
            |world| {
                std::fs::remove_file(world.file(&world.large)).unwrap();
                String::new()
            },
            &["BLOB_MISSING"],
        ),
        (
            "a byte of a file has changed",
            |world| {
                change_last_byte(&world.file(&world.large));
                String::new()
            },
            &["BLOB_DAMAGED"],
        ),
        (
            "a file is short",
            |world| {
                std::fs::write(world.file(&world.large), "short").unwrap();
                String::new()
            },
            &["BLOB_DAMAGED"],
        ),
        (
            "a small blob has changed",
            |_| "UPDATE blob SET content = BYTES('SMALL') WHERE content IS NOT NULL".into(),
            &["BLOB_DAMAGED"],
        ),
        (
            "a row says another size",
            |_| "UPDATE blob SET size = size + 1".into(),
            &["BLOB_DAMAGED"],
        ),
        (
            "nobody knows of a file",
            |_| "DELETE FROM upload".into(),
            &["BLOB_ORPHANED"],
        ),
        (
            "nobody collects a blob",
            |_| {
                "INSERT INTO blob (digest, size, created_ms, content)
                 VALUES ('sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855', 0, 0, BYTES(''))"
                    .into()
            },
            &["BLOB_UNLINKED"],
        ),
        (
            "the row of a blob is gone",
            |_| "DELETE FROM blob WHERE content IS NOT NULL".into(),
            &["LINK_BROKEN"],
        ),
        (
            "nobody collects a link",
            |_| "DELETE FROM image_blob; DELETE FROM blob_review".into(),
            &["LINK_UNUSED", "REFERENCES_DIFFER"],
        ),
        (
            "a manifest has changed",
            |_| "UPDATE image SET manifest = BYTES('{}')".into(),
            &["MANIFEST_DAMAGED"],
        ),
        (
            "a needed blob is not written down",
            |_| {
                "INSERT INTO blob_review (repository_id, digest, due_ms) SELECT repository_id, digest, 0 FROM repository_blob;
                 DELETE FROM image_blob"
                    .into()
            },
            &["REFERENCES_DIFFER"],
        ),
        (
            "a child is not written down",
            |_| "DELETE FROM image_child".into(),
            &["REFERENCES_DIFFER"],
        ),
        (
            "a needed blob is not linked",
            |_| "DELETE FROM repository_blob".into(),
            &["BLOB_UNLINKED", "REFERENCE_BROKEN"],
        ),
        (
            "an image is gone",
            |world| format!("DELETE FROM image WHERE digest = '{}'", world.image),
            &["REFERENCE_BROKEN", "TAG_BROKEN"],
        ),
        (
            "a tag has moved without its history",
            |_| "UPDATE tag_move SET to_digest = NULL".into(),
            &["TAG_BROKEN"],
        ),
    ];
    let engine = engine_of(database);
    for (what, plant, want) in cases {
        let database = Database::open(engine).await.unwrap();
        let world = World::new(&database).await;
        // What a collector would have taken from the queue by then.
        world.execute("DELETE FROM blob_review").await;
        let sql = plant(&world);
        if !sql.is_empty() {
            world.execute(&sql).await;
        }
        assert_eq!(world.kinds().await, *want, "{what}");
        drop(world);
        database.finish().await;
    }
    deleted_images_are_checked_too(database).await;
}

/// The same of an image that was deleted and can be restored.
async fn deleted_images_are_checked_too(database: &Database) {
    let cases: &[(&str, &str, &[&str])] = &[
        ("all is well", "", &[]),
        (
            "the manifest of a deleted image has changed",
            "UPDATE deleted_image SET manifest = BYTES('{}')",
            &["MANIFEST_DAMAGED"],
        ),
        (
            "a deleted image lost a blob",
            "DELETE FROM deleted_image_blob",
            &["LINK_UNUSED", "REFERENCES_DIFFER"],
        ),
        (
            "a blob of a deleted image has no row",
            "DELETE FROM repository_blob; DELETE FROM blob WHERE content IS NOT NULL",
            &["REFERENCE_BROKEN"],
        ),
    ];
    let engine = engine_of(database);
    for (what, sql, want) in cases {
        let database = Database::open(engine).await.unwrap();
        let world = World::new(&database).await;
        for tag in ["all", "v1"] {
            let reference = hythe_model::Reference::Tag(tag.parse().unwrap());
            let deleted = world
                .store
                .delete_image(&world.repository, &reference, now(), "me")
                .await;
            assert!(deleted.unwrap().unwrap().is_image_gone, "{tag}");
        }
        world.execute("DELETE FROM blob_review").await;
        if !sql.is_empty() {
            world.execute(sql).await;
        }
        assert_eq!(world.kinds().await, *want, "{what}");
        drop(world);
        database.finish().await;
    }
}

/// Moves bytes to where they belong, and images with them.
async fn settle(world: &World<'_>) {
    let limit = BlobMoveLimit {
        blobs: 10,
        bytes: u64::MAX,
    };
    let store = &world.store;
    for blob in store
        .claim_blob_moves("a", now(), now() + SignedDuration::from_secs(60), limit)
        .await
        .unwrap()
    {
        world.files.place(&blob.digest, blob.to).await.unwrap();
        store.complete_blob_move("a", &blob).await.unwrap();
    }
    store.finish_activations(None, 10, now()).await.unwrap();
}

async fn transit(world: &World<'_>, class: StorageClass) {
    let done = world
        .store
        .transition_images(&world.repository, &[world.index], class, now())
        .await;
    assert!(matches!(done.unwrap().unwrap()[..], [Transition::Done(_)]));
}

async fn what_is_in_the_wrong_storage_class_is_found(database: &Database) {
    use StorageClass::{Archive, Standard};
    let world = World::new(database).await;
    let none: [&str; 0] = [];
    transit(&world, Archive).await;
    assert_eq!(world.kinds().await, none, "before the bytes are moved");
    settle(&world).await;
    assert_eq!(world.files.classes(&world.large).await.unwrap(), [Archive]);
    assert_eq!(world.kinds().await, none, "archived");

    world.files.place(&world.large, Standard).await.unwrap();
    assert_eq!(world.kinds().await, ["BLOB_MISPLACED"], "they belong into the archive");
    world.files.place(&world.large, Archive).await.unwrap();
    assert_eq!(world.kinds().await, none);

    transit(&world, Standard).await;
    assert_eq!(world.kinds().await, none, "they will come back");
    world.execute("UPDATE blob_tier SET due_ms = NULL").await;
    assert_eq!(world.kinds().await, ["BLOB_MISPLACED"], "nobody brings them back");
    world.execute("DELETE FROM blob_tier").await;
    assert_eq!(
        world.kinds().await,
        ["BLOB_MISPLACED"],
        "nobody knows that they are in the archive"
    );
    world.files.place(&world.large, Standard).await.unwrap();
    settle(&world).await;
    assert_eq!(world.kinds().await, none, "active again");

    // The only image that needs the bytes is archived behind everybody's back.
    let archived =
        "UPDATE image SET status = 'ARCHIVED' WHERE media_type NOT IN ('application/vnd.oci.image.index.v1+json' )";
    world.execute(archived).await;
    assert_eq!(world.kinds().await, ["BLOB_MISPLACED", "REFERENCE_BROKEN"]);
    // Unless somebody is about to bring it back.
    let follow = "INSERT INTO image_follow (repository_id, image_digest, storage_class)
                  SELECT repository_id, image_digest, 'STANDARD' FROM image_child";
    world.execute(follow).await;
    assert_eq!(world.kinds().await, ["BLOB_MISPLACED"]);
}

async fn damaged_files_are_put_aside_on_request_only_and_a_push_mends_them(database: &Database) {
    let world = World::new(database).await;
    change_last_byte(&world.file(&world.large));
    let (_, findings) = world.scrub(false).await;
    assert!(!findings[0].finding.is_quarantined);
    assert!(world.file(&world.large).exists());
    let (scrub, findings) = world.scrub(true).await;
    assert_eq!(findings.len(), 1, "{findings:?}");
    assert!(findings[0].finding.is_quarantined);
    assert_eq!(scrub.quarantined, 1);
    assert!(!world.file(&world.large).exists());
    assert!(!world.files.is_sound(&world.large, None).await.unwrap());
    world.push(&vec![7; LARGE], true).await;
    let (_, findings) = world.scrub(true).await;
    assert!(findings.is_empty(), "{findings:?}");
}

async fn a_sample_hashes_a_part_and_still_misses_no_missing_file(database: &Database) {
    let world = World::new(database).await;
    change_last_byte(&world.file(&world.large));
    let started = world.store.start_scrub("root", 0, false, now()).await.unwrap();
    world.verifier.pass(&CancellationToken::new()).await.unwrap();
    let scrub = world.store.scrub(&started.id).await.unwrap().unwrap();
    assert_eq!((scrub.findings, scrub.progress.counts.bytes), (0, 0));
    std::fs::remove_file(world.file(&world.large)).unwrap();
    let started = world.store.start_scrub("root", 0, false, now()).await.unwrap();
    world.verifier.pass(&CancellationToken::new()).await.unwrap();
    assert_eq!(world.store.scrub(&started.id).await.unwrap().unwrap().findings, 1);
}

async fn a_scrub_that_is_stopped_or_cancelled_ends_and_is_gone_on_with(database: &Database) {
    let world = World::new(database).await;
    let started = world.store.start_scrub("root", 100, false, now()).await.unwrap();
    assert!(
        world.store.start_scrub("root", 100, false, now()).await.is_err(),
        "one at a time"
    );
    let stop = CancellationToken::new();
    stop.cancel();
    assert!(world.verifier.pass(&stop).await.unwrap());
    let scrub = world.store.scrub(&started.id).await.unwrap().unwrap();
    assert_eq!(scrub.status, ScrubStatus::Running);
    // Another node has it until its lease is over.
    let lease = now() + SignedDuration::from_secs(60);
    assert!(world.store.take_scrub("b", now(), lease).await.unwrap().is_some());
    assert!(!world.verifier.pass(&CancellationToken::new()).await.unwrap());
    let cancelled = world.store.cancel_scrub(&started.id, now()).await.unwrap().unwrap();
    assert_eq!(cancelled.status, ScrubStatus::Cancelled);
    let progress = &scrub.progress;
    let moved = world
        .store
        .advance_scrub(&started.id, "b", progress, Vec::new(), now(), lease)
        .await
        .unwrap();
    assert!(!moved, "it is cancelled");
    assert_eq!(world.verifier.metrics().completed.load(Ordering::Relaxed), 0);
}

async fn a_row_that_cannot_be_read_is_a_finding_and_does_not_hide_others(database: &Database) {
    // (what is wrong, the table that the finding names, whether it knows the repository, what else is found)
    let cases: &[(&str, &str, bool, &[&str])] = &[
        (
            "UPDATE blob SET size = -1 WHERE content IS NOT NULL",
            "`blob`",
            false,
            &[],
        ),
        (
            "UPDATE blob SET digest = 'sha256:none' WHERE content IS NOT NULL",
            "`blob`",
            false,
            &["LINK_BROKEN"],
        ),
        (
            "UPDATE repository_blob SET digest = 'none' WHERE digest IN (SELECT digest FROM blob WHERE content IS NOT NULL)",
            "`repository_blob`",
            true,
            &["BLOB_UNLINKED", "REFERENCE_BROKEN"],
        ),
        (
            "UPDATE image SET digest = 'a\nb' WHERE digest IN (SELECT child_digest FROM image_child)",
            "`image`",
            true,
            &["REFERENCE_BROKEN", "TAG_BROKEN"],
        ),
        (
            "UPDATE image_child SET child_digest = 'none'",
            "`image_child`",
            true,
            &[],
        ),
        (
            "UPDATE image_blob SET blob_digest = 'x' || blob_digest",
            "`image_blob`",
            true,
            &["LINK_UNUSED"],
        ),
        ("UPDATE tag SET digest = 'none' WHERE name = 'v1'", "`tag`", true, &[]),
        (
            "UPDATE tag_move SET to_digest = 'none' WHERE name = 'v1'",
            "`tag`",
            true,
            &[],
        ),
    ];
    let engine = engine_of(database);
    for (sql, table, has_repository, others) in cases {
        let database = Database::open(engine).await.unwrap();
        let world = World::new(&database).await;
        world.execute("DELETE FROM blob_review").await;
        world.execute(sql).await;
        // Of what comes after it.
        world
            .execute("UPDATE tag_move SET to_digest = NULL WHERE name = 'all'")
            .await;
        let (scrub, findings) = world.scrub(true).await;
        assert_eq!(scrub.progress.phase, hythe_meta::ScrubPhase::Replicas, "{sql}");
        let mut kinds: Vec<_> = findings.iter().map(|found| found.finding.kind.as_str()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        let mut want = [others, &["ROW_UNREADABLE", "TAG_BROKEN"][..]].concat();
        want.sort_unstable();
        want.dedup();
        assert_eq!(kinds, want, "{sql}: {findings:?}");
        let is_it =
            |found: &&ScrubFinding| found.finding.kind == "ROW_UNREADABLE" && found.finding.detail.contains(table);
        let found = findings
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{sql}: {findings:?}"));
        assert_eq!(found.finding.repository.is_some(), *has_repository, "{sql}: {found:?}");
        drop(world);
        database.finish().await;
    }
}

/// Manifests and tags that came through the cache, and replicas.
async fn what_came_from_other_registries_is_checked_too(database: &Database) {
    let cases: &[(&str, &[&str])] = &[
        ("", &[]),
        // The client asked for its head only, or the image was deleted here: it is asked for again.
        ("DELETE FROM upstream_manifest", &[]),
        ("DELETE FROM replica", &[]),
        (
            "UPDATE upstream_manifest SET content = BYTES('{}')",
            &["MANIFEST_DAMAGED"],
        ),
        (
            "UPDATE upstream_manifest SET media_type = 'none'",
            &["MANIFEST_DAMAGED"],
        ),
        ("UPDATE upstream_manifest SET digest = 'none'", &["ROW_UNREADABLE"]),
        ("UPDATE upstream_tag SET digest = 'none'", &["ROW_UNREADABLE"]),
        ("UPDATE upstream_tag SET tag = '-'", &["ROW_UNREADABLE"]),
        ("UPDATE replica SET path = 'none'", &["ROW_UNREADABLE"]),
        ("UPDATE replica SET repository_id = 'none'", &["REFERENCE_BROKEN"]),
        ("UPDATE upstream_tag SET repository_id = 'none'", &["TAG_BROKEN"]),
        (
            "UPDATE upstream_manifest SET repository_id = 'none'",
            &["REFERENCE_BROKEN"],
        ),
    ];
    let engine = engine_of(database);
    for (sql, want) in cases {
        let database = Database::open(engine).await.unwrap();
        let world = World::new(&database).await;
        // An index whose images nobody has pulled.
        let child = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": sha256(b"elsewhere"), "size": 1 });
        let index = json!({ "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [child] }).to_string();
        let manifest = ImageRecord {
            digest: sha256(index.as_bytes()),
            media_type: MediaType::OCI_INDEX.parse().unwrap(),
            bytes: Bytes::from(index.into_bytes()),
        };
        let tag = ("latest".parse().unwrap(), manifest.digest);
        let kept = world
            .store
            .keep_upstream(&world.repository, Some(tag), Some(manifest), now(), now());
        assert!(kept.await.unwrap());
        world
            .execute(&format!(
                "INSERT INTO replica (repository_id, digest, path, arrived_ms)
                 SELECT repository_id, digest, 'eu-west-1/{}', 0 FROM image",
                world.repository.account
            ))
            .await;
        if !sql.is_empty() {
            world.execute(sql).await;
        }
        let (scrub, _) = world.scrub(false).await;
        let counts = scrub.progress.counts;
        if sql.is_empty() {
            assert_eq!((counts.images, counts.tags, counts.references), (3, 3, 2 + 2 + 1 + 2));
        }
        assert_eq!(world.kinds().await, *want, "{sql}");
        drop(world);
        database.finish().await;
    }
}
