// SPDX-License-Identifier: Apache-2.0
//! "Mounting a blob from another repository".

use anyhow::Result;

use crate::Level::{May, Must, Should};
use crate::content::Content;
use crate::table::Check;
use crate::target::RepositoryOptions;
use crate::wire::{Answer, Ask};
use crate::world::{World, for_each_algorithm};

const SECTION: &str = "Mounting a blob from another repository";

/// One that is kept beside its row, and one that is not.
const SIZES: [usize; 2] = [512, 200_000];

pub(super) const CHECKS: &[Check] = &[
    Check::writing(
        "mount",
        SECTION,
        Must,
        "POST with `mount` and `from` answers 201 with a `Location` that the blob can be pulled from, and its digest",
        mount,
    ),
    Check::writing(
        "mount-without-source",
        SECTION,
        May,
        "POST with `mount` alone finds the blob in any repository that the caller may read (automatic content discovery)",
        without_source,
    ),
    Check::writing(
        "mount-into-itself",
        SECTION,
        May,
        "a blob that is there already is there: 201",
        into_itself,
    ),
    Check::writing(
        "mount-absent-blob",
        SECTION,
        Should,
        "a blob that the source does not have begins an upload instead: 202, with or without `from`",
        absent_blob,
    ),
    Check::writing(
        "mount-absent-source",
        SECTION,
        Should,
        "a source that does not exist, or cannot, begins an upload instead: 202",
        absent_source,
    ),
    Check::writing(
        "mount-unknown-repository",
        SECTION,
        Must,
        "a mount into a repository that does not exist is 404",
        unknown_repository,
    ),
    Check::writing(
        "mount-stays",
        SECTION,
        Must,
        "a mounted blob stays when it is deleted where it came from",
        stays,
    ),
];

fn ask(world: &World<'_>, digest: &str, from: Option<&str>) -> Ask {
    let post = world.ask("POST", "blobs/uploads/").query("mount", digest);
    match from {
        Some(from) => post.query("from", from),
        None => post,
    }
}

/// A blob in another repository.
fn elsewhere(world: &World<'_>, source: &str, blob: &Content) -> Result<()> {
    world.keep_blob_in(source, blob)?;
    world.expect_absent(&format!("blobs/{}", blob.digest))
}

fn expect_mounted(world: &World<'_>, answer: Answer, blob: &Content) -> Result<()> {
    let answer = answer.expect(201)?.with("docker-content-digest", &blob.digest)?;
    world
        .send(&Ask::new("GET", answer.location()?))?
        .expect(200)?
        .with_body(&blob.bytes)?;
    world.head(&format!("blobs/{}", blob.digest))?.expect(200)?;
    world.expect_blob(blob)
}

/// Insists that an upload began, and ends it.
fn expect_upload(world: &World<'_>, answer: Answer, blob: &Content) -> Result<()> {
    let put = Ask::new("PUT", answer.expect(202)?.location()?).query("digest", &blob.digest);
    world.send(&put.body(blob.bytes.clone()))?.expect(201)?;
    world.expect_blob(blob)
}

fn mount(world: &World<'_>) -> Result<()> {
    let source = world.another("source", RepositoryOptions::default())?;
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            elsewhere(world, &source, &blob)?;
            expect_mounted(world, world.send(&ask(world, &blob.digest, Some(&source)))?, &blob)?;
        }
        Ok(())
    })
}

fn without_source(world: &World<'_>) -> Result<()> {
    let source = world.another("source", RepositoryOptions::default())?;
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            elsewhere(world, &source, &blob)?;
            expect_mounted(world, world.send(&ask(world, &blob.digest, None))?, &blob)?;
        }
        Ok(())
    })
}

fn into_itself(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let blob = world.keep_blob(algorithm, 512)?;
        let own = world.repository();
        expect_mounted(world, world.send(&ask(world, &blob.digest, Some(&own)))?, &blob)
    })
}

fn absent_blob(world: &World<'_>) -> Result<()> {
    let source = world.another("source", RepositoryOptions::default())?;
    for_each_algorithm(|algorithm| {
        for from in [Some(source.as_str()), None] {
            let blob = world.blob(algorithm, 512);
            expect_upload(world, world.send(&ask(world, &blob.digest, from))?, &blob)?;
        }
        Ok(())
    })
}

fn absent_source(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for from in [world.nowhere().as_str(), "Not/A/Name", ""] {
            let blob = world.blob(algorithm, 512);
            expect_upload(world, world.send(&ask(world, &blob.digest, Some(from)))?, &blob)?;
        }
        Ok(())
    })
}

fn unknown_repository(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let blob = world.keep_blob(algorithm, 512)?;
        for from in [Some(world.repository()), None] {
            let post = Ask::new("POST", format!("/v2/{}/blobs/uploads/", world.nowhere()));
            let post = post.query("mount", &blob.digest);
            let post = from.into_iter().fold(post, |post, from| post.query("from", &from));
            world.send(&post)?.refused(404, "NAME_UNKNOWN")?;
        }
        Ok(())
    })
}

fn stays(world: &World<'_>) -> Result<()> {
    let source = world.another("source", RepositoryOptions::default())?;
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            elsewhere(world, &source, &blob)?;
            world.send(&ask(world, &blob.digest, Some(&source)))?.expect(201)?;
            let there = format!("/v2/{source}/blobs/{}", blob.digest);
            world.send(&Ask::new("DELETE", there.as_str()))?.expect(202)?;
            world.send(&Ask::new("HEAD", there))?.expect(404)?;
            world.expect_blob(&blob)?;
        }
        Ok(())
    })
}
