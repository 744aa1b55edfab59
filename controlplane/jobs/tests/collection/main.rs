// SPDX-License-Identifier: Apache-2.0
//! The collector over a real store and real files, on SQLite and on PostgreSQL, beside whatever may come in its way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::too_many_lines,
    dead_code,
    reason = "test code, of which the harness of the metadata store is a part"
)]

#[path = "../../../meta/tests/store/contents.rs"]
mod contents;
#[path = "../../../meta/tests/store/harness.rs"]
mod harness;
mod interleaving;
mod world;

use std::sync::Arc;

use futures::future::join_all;
use hythe_blobs::delete_blob;
use hythe_blobs::faults::{EIO, Fault, Faults};
use hythe_catalog::{BlobCatalog, CatalogError, ImageCatalog, PutImageError, Unlinked, UploadCatalog};
use hythe_meta::{RestoreImageError, StoreConfig};

use contents::{create, path};
use harness::{Database, on_each_engine};
use interleaving::{Mistake, Step};
use world::{Session, World, bytes, digest_of, image_of};

on_each_engine!(
    what_an_image_needs_stays_and_the_rest_goes,
    a_link_is_spared_while_it_is_young,
    a_condemned_link_is_not_told_of_and_still_usable,
    a_blob_that_another_repository_links_keeps_its_bytes,
    a_sealed_session_keeps_its_bytes,
    a_session_that_ended_leaves_bytes_that_are_collected,
    a_deleted_image_keeps_its_blobs_until_it_is_purged,
    what_cannot_be_restored_any_more_is_garbage,
    what_a_session_was_sealed_as_before_goes_with_it,
    a_push_of_what_is_being_deleted_waits,
    a_collector_that_was_held_up_deletes_nothing_new,
    a_collector_that_is_held_up_while_it_deletes_is_waited_for,
    no_order_of_steps_loses_anything_or_leaves_anything,
    a_deletion_that_fails_is_not_taken_for_done,
    a_deletion_that_was_begun_is_finished_by_another,
    a_blob_that_was_read_from_memory_is_gone_for_all,
    two_collectors_beside_pushes_lose_nothing_and_leave_nothing,
    a_run_ends_when_nothing_is_left,
);

async fn what_an_image_needs_stays_and_the_rest_goes(database: &Database) {
    let world = World::new(database).await;
    let (layer, other) = (bytes("layer"), bytes("other"));
    world.push("web", &layer).await;
    world.push("web", &other).await;
    world.put("web", &[&layer], "v1").await;
    world.settle().await;
    assert!(world.has("web", &layer).await && world.has_file(&layer).await);
    assert!(!world.has("web", &other).await && !world.has_file(&other).await);
    world.delete("web", "v1").await;
    world.purge("web", &image_of(&[&layer], "v1").digest).await;
    world.settle().await;
    world.assert_empty().await;
}

async fn a_deleted_image_keeps_its_blobs_until_it_is_purged(database: &Database) {
    let world = World::new(database).await;
    let layer = bytes("layer");
    let image = image_of(&[&layer], "v1").digest;
    world.push("web", &layer).await;
    world.put("web", &[&layer], "v1").await;
    world.delete("web", "v1").await;
    world.settle().await;
    assert!(world.has_file(&layer).await);
    // Also if its link goes: the restoration makes it again.
    let unlinked = world
        .store
        .unlink_blob(&path("web"), &digest_of(&layer), world.now())
        .await;
    assert_eq!(unlinked.unwrap(), Unlinked::Done);
    world.settle().await;
    assert!(!world.has("web", &layer).await && world.has_file(&layer).await);
    world.restore("web", &image).await;
    world.settle().await;
    assert!(world.has("web", &layer).await && world.has_file(&layer).await);

    world.delete("web", "v1").await;
    world.purge("web", &image).await;
    world.settle().await;
    world.assert_empty().await;
    let restored = world
        .store
        .restore_image(&path("web"), &image, None, world.now(), "me")
        .await;
    assert!(matches!(restored, Err(RestoreImageError::Unknown)), "{restored:?}");
}

/// A pass purges what nobody can restore any more, so that a run that is asked for takes it in.
async fn what_cannot_be_restored_any_more_is_garbage(database: &Database) {
    let world = World::new(database).await;
    let layer = bytes("layer");
    world.push("web", &layer).await;
    world.put("web", &[&layer], "v1").await;
    world.delete("web", "v1").await;
    world.clock.advance_seconds(8 * 24 * 3600);
    world.collect().await;
    assert_eq!(database.count("deleted_image").await, 0);
    world.settle().await;
    world.assert_empty().await;
}

async fn a_link_is_spared_while_it_is_young(database: &Database) {
    let world = World::new(database).await;
    let layer = bytes("layer");
    world.push("web", &layer).await;
    world.clock.advance_seconds(world::GRACE - 1);
    world.collect().await;
    assert!(world.has("web", &layer).await);
    // Pushed again, it is as good as new.
    world.push("web", &layer).await;
    world.clock.advance_seconds(2);
    world.collect().await;
    assert!(world.has("web", &layer).await);
    world.put("web", &[&layer], "v1").await;
}

async fn a_condemned_link_is_not_told_of_and_still_usable(database: &Database) {
    let world = World::new(database).await;
    let (used, unused) = (bytes("used"), bytes("unused"));
    for layer in [&used, &unused] {
        world.push("web", layer).await;
        // Remembered, on the embedded database.
        assert!(world.has("web", layer).await);
    }
    world.clock.advance_seconds(world::GRACE + 1);
    world.collect().await;
    for layer in [&used, &unused] {
        assert!(!world.has("web", layer).await, "who asks sends it again");
        assert!(world.has_file(layer).await);
    }
    // Who was told before that it is there.
    world.put("web", &[&used], "v1").await;
    assert!(world.has("web", &used).await);
    world.clock.advance_seconds(world::CONDEMNED + 1);
    world.collect().await;
    assert!(world.has("web", &used).await && world.has_file(&used).await);
    assert!(!world.has_file(&unused).await);
    let put = world.store.put_image(&path("web"), image_of(&[&unused], "v2")).await;
    assert!(matches!(put, Err(PutImageError::BlobsUnknown(_))), "{put:?}");
}

async fn a_blob_that_another_repository_links_keeps_its_bytes(database: &Database) {
    let world = World::new(database).await;
    create(&world.store, "other").await;
    let layer = bytes("layer");
    world.push("web", &layer).await;
    let digest = digest_of(&layer);
    let mounted = world
        .store
        .mount_blob(&path("web"), &path("other"), &digest, world.now())
        .await;
    assert!(mounted.unwrap());
    world.put("other", &[&layer], "v1").await;
    world.settle().await;
    assert!(!world.has("web", &layer).await);
    assert!(world.has("other", &layer).await && world.has_file(&layer).await);
}

async fn a_sealed_session_keeps_its_bytes(database: &Database) {
    let world = World::new(database).await;
    let layer = bytes("layer");
    world.push("web", &layer).await;
    let session = Session::begin(&world, "web", &layer).await;
    session.seal().await.unwrap();
    session.publish().await;
    world
        .store
        .unlink_blob(&path("web"), &digest_of(&layer), world.now())
        .await
        .unwrap();
    world.collect().await;
    assert!(world.has_file(&layer).await);
    session.link().await.unwrap();
    assert!(world.has("web", &layer).await && world.has_file(&layer).await);
}

async fn a_session_that_ended_leaves_bytes_that_are_collected(database: &Database) {
    let world = World::new(database).await;
    let layer = bytes("layer");
    let session = Session::begin(&world, "web", &layer).await;
    session.seal().await.unwrap();
    session.publish().await;
    world.clock.advance_seconds(world::EXPIRY + 1);
    assert_eq!(world.store.expire_uploads(world.now(), 10).await.unwrap().len(), 1);
    assert!(matches!(session.link().await, Err(CatalogError::Conflict)));
    assert!(!world.has("web", &layer).await);
    world.settle().await;
    world.assert_empty().await;
}

async fn what_a_session_was_sealed_as_before_goes_with_it(database: &Database) {
    let world = World::new(database).await;
    let (layer, other) = (bytes("layer"), digest_of(b"another name for it"));
    let session = Session::begin(&world, "web", &layer).await;
    let version = session.seal().await.unwrap();
    session.publish().await;
    world.clock.advance_seconds(world::EXPIRY / 2);
    let version = session.seal_as(&other, version).await.unwrap();
    world.clock.advance_seconds(world::EXPIRY / 2);
    session.seal_as(&other, version).await.unwrap();
    // Looked at while the session is there.
    world.clock.advance_seconds(world::EXPIRY / 2 + 1);
    world.collect().await;
    assert!(world.has_file(&layer).await);
    assert_eq!(database.count("upload_seal").await, 1);
    world.clock.advance_seconds(world::EXPIRY);
    assert_eq!(world.store.expire_uploads(world.now(), 10).await.unwrap().len(), 1);
    world.settle().await;
    world.assert_empty().await;
    assert_eq!(database.count("upload_seal").await, 0);
}

async fn a_push_of_what_is_being_deleted_waits(database: &Database) {
    let world = World::new(database).await;
    let layer = bytes("layer");
    world.push("web", &layer).await;
    world
        .store
        .unlink_blob(&path("web"), &digest_of(&layer), world.now())
        .await
        .unwrap();
    let claimed = world.claim("first").await;
    assert_eq!(claimed.len(), 1);
    let session = Session::begin(&world, "web", &layer).await;
    // It waits, and is told to come back if that takes too long.
    assert!(matches!(session.seal().await, Err(CatalogError::Busy)));
    let (sealed, ()) = tokio::join!(session.seal(), async {
        delete_blob(&*world.blobs, &digest_of(&layer)).await.unwrap();
        world.store.end_deletions(&claimed).await.unwrap();
    });
    sealed.unwrap();
    session.publish().await;
    session.link().await.unwrap();
    assert!(world.has("web", &layer).await && world.has_file(&layer).await);
}

async fn a_deletion_that_fails_is_not_taken_for_done(database: &Database) {
    let faults = Arc::new(Faults::default());
    let world = World::with(database, Some(&faults)).await;
    for fault in [
        Fault::LockDeletion,
        Fault::Delete,
        Fault::DiskRemove,
        Fault::DiskSyncDir,
    ] {
        let layer = bytes(&format!("{fault:?}"));
        world.push("web", &layer).await;
        world
            .store
            .unlink_blob(&path("web"), &digest_of(&layer), world.now())
            .await
            .unwrap();
        faults.plan(fault, 0, EIO);
        let collected = world.collect().await;
        assert!(faults.is_over(), "{fault:?}");
        assert_eq!((collected.totals.failures, collected.totals.blobs), (1, 0), "{fault:?}");
        // Nobody says that it is gone for good: a row leads to it.
        let rows = database.count("blob_review").await + database.count("blob_deletion").await;
        assert_eq!(rows, 1, "{fault:?}");
        world.clock.advance_seconds(120);
        assert_eq!(world.collect().await.totals.blobs, 1, "{fault:?}");
        world.assert_empty().await;
    }
}

async fn a_deletion_that_was_begun_is_finished_by_another(database: &Database) {
    let world = World::new(database).await;
    let layer = bytes("layer");
    world.push("web", &layer).await;
    world
        .store
        .unlink_blob(&path("web"), &digest_of(&layer), world.now())
        .await
        .unwrap();
    assert_eq!(world.claim("dead").await.len(), 1);
    world.collect().await;
    assert!(world.has_file(&layer).await, "its lease has not ended");
    world.clock.advance_seconds(120);
    world.collect().await;
    world.assert_empty().await;
}

async fn a_collector_that_was_held_up_deletes_nothing_new(database: &Database) {
    let faults = Arc::new(Faults::default());
    let world = World::with(database, Some(&faults)).await;
    let second = world.another(database).await;
    let layer = bytes("layer");
    world.push("web", &layer).await;
    world
        .store
        .unlink_blob(&path("web"), &digest_of(&layer), world.now())
        .await
        .unwrap();
    let gate = faults.hold(Fault::LockDeletion);
    let (late, ()) = tokio::join!(world.collect(), async {
        gate.reached().await;
        world.clock.advance_seconds(120);
        assert_eq!(second.collect().await.totals.blobs, 1);
        second.push("web", &layer).await;
        gate.open();
    });
    assert_eq!((late.totals.blobs, late.totals.failures), (0, 0));
    assert!(world.has("web", &layer).await && world.has_file(&layer).await);
    second.store.close().await;
}

async fn a_collector_that_is_held_up_while_it_deletes_is_waited_for(database: &Database) {
    let faults = Arc::new(Faults::default());
    let world = World::with(database, Some(&faults)).await;
    let second = world.another(database).await;
    let layer = bytes("layer");
    world.push("web", &layer).await;
    world
        .store
        .unlink_blob(&path("web"), &digest_of(&layer), world.now())
        .await
        .unwrap();
    let gate = faults.hold(Fault::Delete);
    tokio::join!(world.collect(), async {
        gate.reached().await;
        world.clock.advance_seconds(120);
        // It has the lock, so that whoever takes over waits for it, and the push for him.
        assert!(matches!(second.try_push("web", &layer).await, Err(CatalogError::Busy)));
        tokio::join!(second.collect(), second.push_until_done("web", &layer), async {
            gate.open();
        });
    });
    assert!(world.has("web", &layer).await && world.has_file(&layer).await);
    world.put("web", &[&layer], "v1").await;
    second.store.close().await;
}

async fn no_order_of_steps_loses_anything_or_leaves_anything(database: &Database) {
    // A look behind the store's back costs more on the one than on the other.
    let orders = match database.config {
        StoreConfig::Sqlite { .. } => 25,
        StoreConfig::Postgres { .. } => 4,
    };
    let broken = interleaving::explore(database, Mistake::None, orders).await;
    assert!(broken.is_none(), "{}", broken.unwrap());
}

/// What each part of the protocol is there for: the same order does no harm without the mistake.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_loses_bytes_in_an_order_of_its_own() {
    let pushed = [Step::Push(0); 4];
    let next_push = [Step::Push(1); 4];
    let claimed = [Step::Unlink, Step::Collect(0), Step::Collect(0)];
    let taken_over = [Step::Pass(61)].into_iter().chain([Step::Collect(1); 5]);
    let held_up: Vec<Step> = pushed.into_iter().chain(claimed).collect();
    let overtaken: Vec<Step> = taken_over.chain(next_push).collect();
    let late = [Step::Collect(0); 4];
    let orders = [
        (Mistake::DoesNotLook, [&held_up[..], &overtaken, &late].concat()),
        (
            Mistake::LooksBeforeItLocks,
            [&held_up[..], &[Step::Collect(0)], &overtaken, &late].concat(),
        ),
        // It locks, looks, and is held up where it should delete.
        (
            Mistake::EndsBeforeItDeletes,
            [&held_up[..], &[Step::Collect(0); 3], &next_push, &late].concat(),
        ),
        // The bytes of the second push are there and nobody knows of it.
        (
            Mistake::LinksWithoutSession,
            [&pushed[..], &[Step::Push(1); 3], &claimed, &late, &[Step::Push(1)]].concat(),
        ),
    ];
    for (mistake, steps) in orders {
        harness::run(harness::Engine::Sqlite, async |database: &Database| {
            let broken = interleaving::replay(database, mistake, &steps).await;
            assert!(broken.is_some(), "{mistake:?} does no harm");
        })
        .await;
        harness::run(harness::Engine::Sqlite, async |database: &Database| {
            let broken = interleaving::replay(database, Mistake::None, &steps).await;
            assert!(broken.is_none(), "{}", broken.unwrap());
        })
        .await;
    }
}

/// One link that cannot be looked at does not keep the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_cannot_be_looked_at_keeps_no_others() {
    let test = async |database: &Database| {
        let world = World::new(database).await;
        let (stuck, other) = (bytes("stuck"), bytes("other"));
        for layer in [&stuck, &other] {
            world.push("web", layer).await;
            world
                .store
                .unlink_blob(&path("web"), &digest_of(layer), world.now())
                .await
                .unwrap();
        }
        let trigger = format!(
            "CREATE TRIGGER stuck BEFORE DELETE ON blob WHEN old.digest = '{}' BEGIN SELECT RAISE(ABORT, 'stuck'); END",
            digest_of(&stuck)
        );
        database.execute(trigger).await;
        let collected = world.collect().await;
        assert_eq!((collected.totals.blobs, collected.totals.failures), (1, 1));
        assert!(world.has_file(&stuck).await && !world.has_file(&other).await);
        database.execute("DROP TRIGGER stuck").await;
        world.clock.advance_seconds(120);
        assert_eq!(world.collect().await.totals.blobs, 1);
        world.assert_empty().await;
    };
    harness::run(harness::Engine::Sqlite, test).await;
}

async fn a_blob_that_was_read_from_memory_is_gone_for_all(database: &Database) {
    let world = World::new(database).await;
    let layer = bytes("layer");
    world.push("web", &layer).await;
    assert!(world.has("web", &layer).await && world.has_file(&layer).await);
    world.settle().await;
    assert!(!world.has("web", &layer).await && !world.has_file(&layer).await);
    world.push("web", &layer).await;
    world.put("web", &[&layer], "v1").await;
    assert!(world.has_file(&layer).await);
    world.store.set_cache_bytes(0);
    assert!(world.has("web", &layer).await);
}

/// Pushes, mounts and deletions of the same few layers, beside two nodes that collect without sparing anything.
async fn two_collectors_beside_pushes_lose_nothing_and_leave_nothing(database: &Database) {
    const ROUNDS: usize = 12;
    let world = World::hasty(database).await;
    create(&world.store, "other").await;
    let second = world.another(database).await;
    let layers: Vec<_> = (0..3).map(|number| bytes(&format!("layer {number}"))).collect();
    let pushes = layers.iter().enumerate().map(|(number, layer)| {
        let world = &world;
        async move {
            for round in 0..ROUNDS {
                let repository = if (number + round) % 2 == 0 { "web" } else { "other" };
                let name = format!("v{number}");
                world.push_image_until_done(repository, layer, &name).await;
                assert!(world.has(repository, layer).await, "what was acknowledged is there");
                assert!(world.has_file(layer).await, "and so are its bytes");
                let image = image_of(&[layer], &name).digest;
                world.delete(repository, &name).await;
                if round % 3 == 0 {
                    world.restore(repository, &image).await;
                    assert!(world.has(repository, layer).await && world.has_file(layer).await);
                    world.delete(repository, &name).await;
                }
                world.purge(repository, &image).await;
            }
        }
    });
    let stop = tokio_util::sync::CancellationToken::new();
    let collects = [&world, &second].map(|world| {
        let stop = stop.clone();
        async move {
            while !stop.is_cancelled() {
                world.collect().await;
                tokio::task::yield_now().await;
            }
        }
    });
    let pushing = async {
        join_all(pushes).await;
        stop.cancel();
    };
    tokio::join!(pushing, join_all(collects));
    world.clock.advance_seconds(120);
    world.collect().await;
    world.assert_empty().await;
    second.store.close().await;
}

async fn a_run_ends_when_nothing_is_left(database: &Database) {
    let world = World::new(database).await;
    for number in 0..40 {
        world.push("web", &bytes(&format!("layer {number}"))).await;
    }
    world.clock.advance_seconds(world::GRACE + world::CONDEMNED + 2);
    let run = world.store.start_collection_run("me", world.now()).await.unwrap();
    assert_eq!((run.due, run.ended_at), (40, None));
    let again = world.store.start_collection_run("you", world.now()).await.unwrap();
    assert_eq!(again.id, run.id);
    assert!(!world.store.end_collection_run(world.now()).await.unwrap());
    world.collect().await;
    let run = world.store.collection_run(&run.id).await.unwrap().unwrap();
    assert_eq!((run.ended_at, run.done.reviewed), (Some(world.now()), 40));
    assert!(world.store.open_collection_run().await.unwrap().is_none());
    assert_eq!(world.store.collection_runs(10).await.unwrap(), [run]);
}
