// SPDX-License-Identifier: Apache-2.0
//! What other registries got wrong, step by step.

use http::StatusCode;

use crate::contents::{BLOB, IMAGE, path};
use crate::door::{Outcome, Way};
use crate::harness::Engine;
use crate::operation::Operation;
use crate::world::World;

/// Makes each into two tests.
macro_rules! regressions {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::on(crate::harness::Engine::Sqlite, super::$name).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::on(crate::harness::Engine::Postgres, super::$name).await;
            })*
        }
    };
}

regressions!(
    a_blob_that_a_node_remembers_is_gone_when_it_is_deleted,
    nothing_is_lost_with_what_nodes_remember,
    a_deletion_that_is_cut_off_is_whole_or_has_not_happened,
    a_layer_that_is_pushed_while_it_is_collected_is_whole,
    a_layer_that_is_collected_while_it_is_pushed_is_whole,
    a_collection_that_is_cut_off_loses_nothing_and_is_gone_on_with,
);

async fn on(engine: Engine, test: impl AsyncFnOnce(&mut World) -> Outcome<()>) {
    let Some(mut world) = World::new(engine, None).await else {
        return;
    };
    if let Err(what) = test(&mut world).await {
        panic!("{what}\n{}", world.history.join("\n"));
    }
    world.end().await;
}

/// Layers 0 and 1, which are files, and 4.
const IMAGE_OF_TEST: usize = 1;

pub fn push(repository: &'static str) -> Operation {
    Operation::Push {
        repository,
        image: IMAGE_OF_TEST,
        tag: "v1",
        from: repository,
        way: Way::Chunks,
    }
}

pub fn pushed(world: &World, repository: &str) -> bool {
    let image = &IMAGE[IMAGE_OF_TEST].digest;
    world.oracle.since(&path(repository), image).is_some()
}

/// What a node says of a layer.
pub async fn head(world: &mut World, node: usize, repository: &str, blob: usize) -> Outcome<StatusCode> {
    let door = world.door(node);
    let id = door.gated.pass.id;
    let path = format!("/v2/{repository}/blobs/{}", BLOB[blob].digest);
    let asked = world.nodes[node].runtime().spawn(async move { door.head(&path).await });
    while world.turnstile.ready().iter().any(|(ready, _)| *ready == id) || !asked.is_finished() {
        world.turnstile.quiet().await;
        if world.turnstile.ready().iter().any(|(ready, _)| *ready == id) {
            world.turnstile.release(id);
        }
        tokio::task::yield_now().await;
    }
    Ok(asked.await.unwrap()?.status)
}

/// A client that is told that a blob is there, by a node that remembers it, does not send it, and its manifest is
/// refused for ever.
async fn a_blob_that_a_node_remembers_is_gone_when_it_is_deleted(world: &mut World) -> Outcome<()> {
    let (last, repository) = (world.nodes.len() - 1, "web");
    world.alone(0, push(repository)).await?;
    for node in 0..=last {
        for blob in IMAGE[IMAGE_OF_TEST].blobs {
            assert_eq!(head(world, node, repository, *blob).await?, StatusCode::OK);
        }
    }
    let image = IMAGE_OF_TEST;
    world.alone(0, Operation::DeleteImage { repository, image }).await?;
    world.alone(0, Operation::Purge { repository, image }).await?;
    for blob in IMAGE[image].blobs {
        world
            .alone(
                0,
                Operation::DeleteBlob {
                    repository,
                    blob: *blob,
                },
            )
            .await?;
    }
    for node in 0..=last {
        for blob in IMAGE[image].blobs {
            assert_eq!(head(world, node, repository, *blob).await?, StatusCode::NOT_FOUND);
        }
    }
    world.alone(last, push(repository)).await?;
    assert!(pushed(world, repository));
    world.check().await?;
    world.scrub().await
}

/// A registry whose cache is the only one to know something loses it when the cache is wiped.
async fn nothing_is_lost_with_what_nodes_remember(world: &mut World) -> Outcome<()> {
    world.alone(0, push("web")).await?;
    // Half-way through a push, after the layers.
    let id = world.next_id();
    world.begin(0, push("api"));
    assert!(world.until(id, "put image").await?);
    for node in 0..world.nodes.len() {
        world.crash(node).await;
    }
    world.quiet().await?;
    world.check().await?;
    world.scrub().await?;
    assert!(pushed(world, "web") && !pushed(world, "api"));
    // The layers are there, and not sent again.
    let id = world.next_id();
    world.begin(0, push("api"));
    assert!(!world.until(id, "append bytes").await?, "layers are sent again");
    assert!(pushed(world, "api"));
    world.check().await?;
    world.scrub().await
}

/// A deletion that a crash cuts off leaves a tag without an image, or an image that cannot be pushed again.
async fn a_deletion_that_is_cut_off_is_whole_or_has_not_happened(world: &mut World) -> Outcome<()> {
    let (repository, image) = ("web", IMAGE_OF_TEST);
    for steps in 0.. {
        world.alone(0, push(repository)).await?;
        let id = world.next_id();
        world.begin(0, Operation::DeleteImage { repository, image });
        let mut done = 0;
        world.quiet().await?;
        while done < steps && world.turnstile.count() > 0 {
            world.turnstile.release(id);
            world.quiet().await?;
            done += 1;
        }
        let is_over = world.turnstile.count() == 0;
        world.crash(0).await;
        world.quiet().await?;
        world.check().await?;
        world.scrub().await?;
        world.alone(0, Operation::DeleteImage { repository, image }).await?;
        assert!(!pushed(world, repository));
        world.alone(0, Operation::Restore { repository, image }).await?;
        assert!(pushed(world, repository));
        world.check().await?;
        if is_over {
            assert!(steps > 0, "a deletion has a step");
            return Ok(());
        }
    }
    Ok(())
}

/// What collection does about a blob, in this order.
const COLLECTING: [&str; 5] = [
    "collect",
    "lock deletion",
    "deletion is locked",
    "delete bytes",
    "bytes are deleted",
];

/// An image was pushed and deleted, and the next collection takes its layers away.
async fn garbage(world: &mut World) -> Outcome<()> {
    let (repository, image) = ("web", IMAGE_OF_TEST);
    world.alone(0, push(repository)).await?;
    world.alone(0, Operation::DeleteImage { repository, image }).await?;
    world.alone(0, Operation::Purge { repository, image }).await?;
    world.clock.advance_seconds(2000);
    // Nobody is told of the layers any more.
    world.alone(0, Operation::Collect).await?;
    world.clock.advance_seconds(2000);
    Ok(())
}

/// Pushes until the registry takes it, as clients do that are told to come back.
async fn push_until_done(world: &mut World) -> Outcome<()> {
    for _ in 0..10 {
        world.alone(0, push("web")).await?;
        if pushed(world, "web") {
            return Ok(());
        }
        // A node that came back goes on with what it had begun when its lease ends.
        world.pass_time(120).await?;
    }
    Err("it cannot be pushed".into())
}

/// The collector has decided that a layer is garbage, and deletes the bytes that were pushed since.
async fn a_layer_that_is_pushed_while_it_is_collected_is_whole(world: &mut World) -> Outcome<()> {
    for step in COLLECTING {
        garbage(world).await?;
        let collecting = world.next_id();
        world.begin(0, Operation::Collect);
        assert!(world.until(collecting, step).await?, "it never comes to `{step}`");
        // As far as it comes by itself; what it is refused it asks for again.
        let pushing = world.next_id();
        world.begin(world.nodes.len() - 1, push("web"));
        world.until(pushing, "nothing else").await?;
        world.check().await?;
        world.scrub().await?;
        world.drain().await?;
        push_until_done(world).await?;
        world.check().await?;
        world.scrub().await?;
        world.settle().await?;
        world.check().await?;
        world.check_no_garbage().await?;
        let (repository, image) = ("web", IMAGE_OF_TEST);
        world.alone(0, Operation::DeleteImage { repository, image }).await?;
    }
    Ok(())
}

/// The push has come so far, and the collector finds nobody who needs the layer yet.
async fn a_layer_that_is_collected_while_it_is_pushed_is_whole(world: &mut World) -> Outcome<()> {
    for step in ["seal upload", "publish bytes", "link blob", "put image"] {
        garbage(world).await?;
        let pushing = world.next_id();
        world.begin(world.nodes.len() - 1, push("web"));
        assert!(world.until(pushing, step).await?, "it never comes to `{step}`");
        let collecting = world.next_id();
        world.begin(0, Operation::Collect);
        assert!(!world.until(collecting, "nothing else").await?);
        world.check().await?;
        world.scrub().await?;
        world.drain().await?;
        push_until_done(world).await?;
        world.settle().await?;
        world.check().await?;
        world.scrub().await?;
        world.check_no_garbage().await?;
        let (repository, image) = ("web", IMAGE_OF_TEST);
        world.alone(0, Operation::DeleteImage { repository, image }).await?;
    }
    Ok(())
}

/// A crash in the middle of a collection leaves a blob half deleted that can never be pushed, or garbage for ever.
async fn a_collection_that_is_cut_off_loses_nothing_and_is_gone_on_with(world: &mut World) -> Outcome<()> {
    for step in COLLECTING {
        garbage(world).await?;
        let collecting = world.next_id();
        world.begin(0, Operation::Collect);
        assert!(world.until(collecting, step).await?, "it never comes to `{step}`");
        world.crash(0).await;
        world.quiet().await?;
        world.check().await?;
        world.scrub().await?;
        push_until_done(world).await?;
        world.check().await?;
        let (repository, image) = ("web", IMAGE_OF_TEST);
        world.alone(0, Operation::DeleteImage { repository, image }).await?;
        world.settle().await?;
        world.scrub().await?;
        world.check_no_garbage().await?;
    }
    Ok(())
}
