// SPDX-License-Identifier: Apache-2.0
//! What is read from memory is what was acknowledged last: on SQLite, where this process is the only writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use hythe_catalog::{BlobCatalog, Catalog, ImageCatalog, Unlinked};
use hythe_meta::{DEFAULT_CACHE_BYTES, Store};
use hythe_model::{Digest, Reference};
use tokio::task::JoinSet;

use crate::contents::{create, digest, image, index, link, now, path, push, tag};
use crate::harness::{Database, Engine};

async fn database() -> Database {
    Database::open(Engine::Sqlite).await.unwrap()
}

async fn by_tag(store: &Store, repository: &str, name: &str) -> Option<Digest> {
    let reference = Reference::Tag(tag(name));
    let image = store.image(&path(repository), &reference).await.unwrap();
    image.map(|image| image.digest)
}

async fn is_there(store: &Store, number: u64) -> bool {
    let reference = Reference::Digest(digest(number));
    store.image(&path("web"), &reference).await.unwrap().is_some()
}

#[tokio::test]
async fn what_was_read_once_is_read_from_memory() {
    let database = database().await;
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    let before = store.cache_stats();
    for _ in 0..10 {
        assert_eq!(by_tag(store, "web", "v1").await, Some(digest(10)));
        assert!(is_there(store, 10).await);
        let blob = store.blob(&path("web"), &digest(1)).await.unwrap().unwrap();
        assert_eq!(blob.inline.unwrap(), "blob");
        assert!(store.repository_exists(&path("web")).await.unwrap());
        // What is absent is asked each time.
        assert_eq!(by_tag(store, "web", "v2").await, None);
    }
    let after = store.cache_stats();
    assert_eq!((after.hits - before.hits, after.misses - before.misses), (36, 14));
    assert_eq!(after.entries, 4);
    assert!(after.bytes > 0 && after.bytes < DEFAULT_CACHE_BYTES);

    // What adds to the repository does not make it forget.
    link(store, "web", 2).await;
    push(store, "web", image(11, &[1, 2], &["v2"])).await;
    assert_eq!(by_tag(store, "web", "v1").await, Some(digest(10)));
    store.blob(&path("web"), &digest(1)).await.unwrap();
    assert_eq!(store.cache_stats().misses, after.misses);
    database.finish().await;
}

#[tokio::test]
async fn what_changes_is_seen_at_once() {
    let database = database().await;
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1", "v2"])).await;
    push(store, "web", image(11, &[1], &["v3"])).await;
    push(store, "web", index(12, &[11], &["list"])).await;
    let warm = async || {
        for name in ["v1", "v2", "v3", "list"] {
            by_tag(store, "web", name).await;
        }
        for number in 10..=12 {
            is_there(store, number).await;
        }
        store.blob(&path("web"), &digest(1)).await.unwrap();
        store.repository_exists(&path("web")).await.unwrap();
    };
    let delete = async |reference| store.delete_image(&path("web"), &reference, now(), "me").await.unwrap();

    warm().await;
    push(store, "web", image(11, &[1], &["v1"])).await;
    assert_eq!(by_tag(store, "web", "v1").await, Some(digest(11)), "moved");
    assert_eq!(by_tag(store, "web", "v2").await, Some(digest(10)), "not moved");

    warm().await;
    delete(Reference::Tag(tag("v3"))).await;
    assert_eq!(by_tag(store, "web", "v3").await, None);
    delete(Reference::Tag(tag("v2"))).await;
    assert_eq!(by_tag(store, "web", "v2").await, None);
    assert!(!is_there(store, 10).await, "gone with its last tag");

    warm().await;
    delete(Reference::Digest(digest(12))).await;
    assert_eq!(by_tag(store, "web", "list").await, None);
    delete(Reference::Digest(digest(11))).await;
    assert!(!is_there(store, 11).await);
    assert_eq!(by_tag(store, "web", "v1").await, None);

    warm().await;
    let unlinked = store.unlink_blob(&path("web"), &digest(1), now()).await.unwrap();
    assert_eq!(unlinked, Unlinked::Done);
    assert_eq!(store.blob(&path("web"), &digest(1)).await.unwrap(), None);

    link(store, "web", 1).await;
    push(store, "web", image(10, &[1], &["v1"])).await;
    warm().await;
    store.delete_repository(&path("web"), true, None, now()).await.unwrap();
    assert!(!store.repository_exists(&path("web")).await.unwrap());
    assert_eq!(by_tag(store, "web", "v1").await, None);
    assert!(!is_there(store, 10).await);
    assert_eq!(store.blob(&path("web"), &digest(1)).await.unwrap(), None);
    create(store, "web").await;
    assert!(!is_there(store, 10).await, "of the repository before");
    database.finish().await;
}

/// A fact that is switched on and off. It is absent at 0, present at 2, and nobody knows in between (modulo 4).
#[derive(Debug, Default)]
struct Switch(AtomicU64);

impl Switch {
    async fn turn(&self, change: impl Future<Output = ()>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        change.await;
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    /// Reads, and compares if nobody changed it meanwhile.
    async fn check(&self, what: &str, read: impl Future<Output = bool>) {
        let before = self.0.load(Ordering::SeqCst);
        let is_there = read.await;
        if before.is_multiple_of(2) && self.0.load(Ordering::SeqCst) == before {
            assert_eq!(is_there, before % 4 == 2, "{what} at {before}");
        }
    }
}

const MOVERS: usize = 3;
const MOVES: u64 = 120;
const READERS: usize = 6;

#[derive(Debug, Default)]
struct Expected {
    is_over: AtomicBool,
    /// The latest move of each tag that was acknowledged, or that anybody has read.
    moves: [AtomicU64; MOVERS],
    tag: Switch,
    blob: Switch,
    repository: Switch,
}

async fn move_a_tag(store: Store, expected: Arc<Expected>, mover: usize) {
    let name = format!("moving-{mover}");
    for number in 1..=MOVES {
        let of_mover = 10_000 * (mover as u64 + 1);
        push(&store, "web", image(of_mover + number, &[1], &[&name])).await;
        expected.moves[mover].fetch_max(number, Ordering::SeqCst);
    }
}

async fn switch(store: Store, expected: Arc<Expected>) {
    for number in 0..MOVES / 2 {
        let tagging = push(&store, "web", image(1, &[1], &["switched"]));
        expected.tag.turn(tagging).await;
        expected.blob.turn(link(&store, "web", 2)).await;
        let creating = async { drop(create(&store, "switched").await) };
        expected.repository.turn(creating).await;
        let untag = async {
            let reference = Reference::Tag(tag("switched"));
            let deleted = store.delete_image(&path("web"), &reference, now(), "me").await;
            assert!(deleted.unwrap().is_some());
        };
        expected.tag.turn(untag).await;
        let unlink = async {
            let unlinked = store.unlink_blob(&path("web"), &digest(2), now()).await;
            assert_eq!(unlinked.unwrap(), Unlinked::Done, "{number}");
        };
        expected.blob.turn(unlink).await;
        let delete = async {
            let deleted = store.delete_repository(&path("switched"), true, None, now()).await;
            assert!(deleted.is_ok());
        };
        expected.repository.turn(delete).await;
    }
}

async fn read_all(store: Store, expected: Arc<Expected>) -> u64 {
    let mut reads = 0;
    while !expected.is_over.load(Ordering::SeqCst) {
        for (mover, known) in expected.moves.iter().enumerate() {
            let least = known.load(Ordering::SeqCst);
            let found = by_tag(&store, "web", &format!("moving-{mover}")).await;
            let hash: [u8; 8] = found.map_or([0; 8], |digest| digest.hash()[..8].try_into().unwrap());
            let number = u64::from_be_bytes(hash) % 10_000;
            assert!(number >= least, "tag {mover}: read {number}, and {least} was known");
            // What one has read no other may read an older one of.
            known.fetch_max(number, Ordering::SeqCst);
        }
        let switched = async { by_tag(&store, "web", "switched").await.is_some() };
        expected.tag.check("tag", switched).await;
        let linked = async { store.blob(&path("web"), &digest(2)).await.unwrap().is_some() };
        expected.blob.check("blob", linked).await;
        let exists = async { store.repository_exists(&path("switched")).await.unwrap() };
        expected.repository.check("repository", exists).await;
        reads += 1;
        tokio::task::yield_now().await;
    }
    reads
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_reads_what_is_over() {
    let database = database().await;
    let store = &database.store;
    create(store, "web").await;
    link(store, "web", 1).await;
    let expected = Arc::new(Expected::default());
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(read_all(store.clone(), Arc::clone(&expected)));
    }
    let mut writers = JoinSet::new();
    for mover in 0..MOVERS {
        writers.spawn(move_a_tag(store.clone(), Arc::clone(&expected), mover));
    }
    writers.spawn(switch(store.clone(), Arc::clone(&expected)));
    writers.join_all().await;
    expected.is_over.store(true, Ordering::SeqCst);
    let reads: u64 = readers.join_all().await.into_iter().sum();
    let stats = store.cache_stats();
    assert!(reads > 0 && stats.hits > stats.misses / 10, "{reads} {stats:?}");
    database.finish().await;
}
