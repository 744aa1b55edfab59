// SPDX-License-Identifier: Apache-2.0
//! "Pushing blobs", each in one piece.

use anyhow::{Result, ensure};

use crate::Level::{May, Must, Should};
use crate::content::{Algorithm, Content, OCTETS};
use crate::table::Check;
use crate::wire::{Ask, Framing};
use crate::world::{World, for_each_algorithm};

const SECTION: &str = "Pushing a blob monolithically";

/// Nothing, the empty JSON document, a little, and more than is kept in memory or beside a row.
const SIZES: [usize; 4] = [0, 2, 512, 200_000];

pub(super) const CHECKS: &[Check] = &[
    Check::writing(
        "blob-post-put",
        SECTION,
        Must,
        "POST answers 202 with a `Location`; PUT of the bytes there, with `digest`, answers 201 with a `Location` that the blob can be pulled from",
        post_put,
    ),
    Check::writing(
        "upload-id-header",
        SECTION,
        May,
        "`Docker-Upload-UUID` names the session that `Location` leads to",
        upload_id,
    ),
    Check::writing(
        "blob-put-digest-header",
        SECTION,
        Should,
        "the answer to a finished upload has the blob's digest in `Docker-Content-Digest`",
        put_digest_header,
    ),
    Check::writing(
        "blob-post-without-length",
        SECTION,
        Must,
        "a POST that says nothing of a body begins a session too",
        post_without_length,
    ),
    Check::writing(
        "blob-put-parameter-order",
        SECTION,
        Must,
        "`Location` is used as it came, with `digest` among other parameters",
        put_parameter_order,
    ),
    Check::writing(
        "uploads-at-once",
        SECTION,
        Must,
        "uploads go on at once, each with a `Location` of its own",
        at_once,
    ),
    Check::writing(
        "blob-post-only",
        SECTION,
        May,
        "POST with `digest` and the bytes answers 201 with a `Location` that the blob can be pulled from",
        post_only,
    ),
    Check::writing(
        "blob-post-only-chunked",
        SECTION,
        May,
        "the same, of a length that is not known before (chunked transfer coding)",
        post_only_chunked,
    ),
    Check::writing(
        "blob-post-put-chunked",
        SECTION,
        May,
        "PUT of bytes whose length is not known before",
        post_put_chunked,
    ),
    Check::writing(
        "blob-push-twice",
        SECTION,
        Must,
        "a blob that is there already can be pushed again",
        push_twice,
    ),
    Check::writing(
        "blob-read-after-push",
        SECTION,
        Must,
        "a blob is there for every reader as soon as its push is answered",
        read_after_push,
    ),
    Check::writing(
        "blob-post-only-bad-digest",
        SECTION,
        Must,
        "POST of bytes that have another digest is 400, and nothing is stored",
        post_only_bad_digest,
    ),
    Check::writing(
        "blob-post-put-bad-digest",
        SECTION,
        Should,
        "PUT of bytes that have another digest is 400, and nothing is stored",
        post_put_bad_digest,
    ),
    Check::writing(
        "upload-malformed-digest",
        SECTION,
        Should,
        "a malformed digest, or one of an unknown algorithm, is 400 on every way to upload: `digest` of POST and PUT, `mount`, `digest-algorithm`",
        malformed_digest,
    ),
    Check::writing(
        "blob-put-without-digest",
        SECTION,
        Must,
        "a PUT without `digest` is 400, and the session stays",
        put_without_digest,
    ),
    Check::writing(
        "upload-unknown-repository",
        SECTION,
        Must,
        "an upload to a repository that does not exist is 404",
        unknown_repository,
    ),
];

fn finish(location: &str, blob: &Content) -> Ask {
    Ask::new("PUT", location)
        .query("digest", &blob.digest)
        .header("Content-Type", OCTETS)
        .body(blob.bytes.clone())
}

/// POST with `digest` and the bytes.
fn whole(world: &World<'_>, blob: &Content) -> Ask {
    let ask = world.ask("POST", "blobs/uploads/").query("digest", &blob.digest);
    ask.header("Content-Type", OCTETS).body(blob.bytes.clone())
}

/// Insists that a `Location` leads to the blob.
fn expect_at(world: &World<'_>, location: &str, blob: &Content) -> Result<()> {
    world
        .send(&Ask::new("GET", location))?
        .expect(200)?
        .with_body(&blob.bytes)?;
    world.expect_blob(blob)
}

/// A blob whose bytes are not those that its digest is of.
fn corrupt(world: &World<'_>, algorithm: Algorithm, size: usize) -> Content {
    let mut blob = world.blob(algorithm, size);
    blob.bytes.extend(b"oh no");
    blob
}

fn post_put(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let location = world.begin("")?;
            let answer = world.send(&finish(&location, &blob))?.expect(201)?;
            expect_at(world, &answer.location()?, &blob)?;
        }
        Ok(())
    })
}

fn upload_id(world: &World<'_>) -> Result<()> {
    let answer = world.send(&world.ask("POST", "blobs/uploads/"))?.expect(202)?;
    let (id, location) = (answer.need("docker-upload-uuid")?, answer.location()?);
    ensure!(location.contains(id), "`{location}` is not of session `{id}`");
    Ok(())
}

fn put_digest_header(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let put = finish(&world.begin("")?, &blob);
            world
                .send(&put)?
                .expect(201)?
                .with("docker-content-digest", &blob.digest)?;
        }
        Ok(())
    })
}

fn post_without_length(world: &World<'_>) -> Result<()> {
    let ask = world.ask("POST", "blobs/uploads/").framed(Framing::None);
    let location = world.send(&ask)?.expect(202)?.location()?;
    let blob = world.blob(Algorithm::Sha256, 100);
    world.send(&finish(&location, &blob))?.expect(201)?;
    world.expect_blob(&blob)
}

fn put_parameter_order(world: &World<'_>) -> Result<()> {
    let blob = world.blob(Algorithm::Sha256, 100);
    let location = world.begin("")?;
    let put = Ask::new("PUT", location)
        .query("_state", "a b&c")
        .query("digest", &blob.digest);
    world.send(&put.body(blob.bytes.clone()))?.expect(201)?;
    world.expect_blob(&blob)
}

fn at_once(world: &World<'_>) -> Result<()> {
    let blobs: Vec<Content> = (0..4).map(|_| world.blob(Algorithm::Sha256, 1000)).collect();
    let locations = blobs.iter().map(|_| world.begin("")).collect::<Result<Vec<_>>>()?;
    for (nth, location) in locations.iter().enumerate() {
        ensure!(
            !locations.iter().skip(nth + 1).any(|it| it == location),
            "two uploads share `{location}`"
        );
    }
    for half in [0..500, 500..1000] {
        for (blob, location) in blobs.iter().zip(&locations) {
            let part = blob.bytes.get(half.clone()).unwrap_or_default();
            world
                .send(&Ask::new("PATCH", location.as_str()).body(part))?
                .expect(202)?;
        }
    }
    for (blob, location) in blobs.iter().zip(&locations) {
        let put = Ask::new("PUT", location.as_str()).query("digest", &blob.digest);
        world.send(&put)?.expect(201)?;
        world.expect_blob(blob)?;
    }
    Ok(())
}

fn post_only(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let answer = world.send(&whole(world, &blob))?.expect(201)?;
            let answer = answer.with("docker-content-digest", &blob.digest)?;
            expect_at(world, &answer.location()?, &blob)?;
        }
        Ok(())
    })
}

fn post_only_chunked(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let answer = world.send(&whole(world, &blob).framed(Framing::Chunked))?.expect(201)?;
            expect_at(world, &answer.location()?, &blob)?;
        }
        Ok(())
    })
}

fn post_put_chunked(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let put = finish(&world.begin("")?, &blob).framed(Framing::Chunked);
            world.send(&put)?.expect(201)?;
            world.expect_blob(&blob)?;
        }
        Ok(())
    })
}

fn push_twice(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            for _ in 0..2 {
                world.send(&finish(&world.begin("")?, &blob))?.expect(201)?;
                world.send(&whole(world, &blob))?.expect(201)?;
            }
            world.expect_blob(&blob)?;
        }
        Ok(())
    })
}

fn read_after_push(world: &World<'_>) -> Result<()> {
    for size in SIZES {
        let blob = world.blob(Algorithm::Sha256, size.max(8));
        let path = format!("blobs/{}", blob.digest);
        world.expect_absent(&path)?;
        world.send(&finish(&world.begin("")?, &blob))?.expect(201)?;
        world.head(&path)?.expect(200)?;
        world.expect_blob(&blob)?;
    }
    Ok(())
}

fn post_only_bad_digest(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = corrupt(world, algorithm, size.max(8));
            world.send(&whole(world, &blob))?.refused(400, "DIGEST_INVALID")?;
            world.expect_absent(&format!("blobs/{}", blob.digest))?;
            world.expect_absent(&format!("blobs/{}", algorithm.digest(&blob.bytes)))?;
        }
        Ok(())
    })
}

fn post_put_bad_digest(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = corrupt(world, algorithm, size.max(8));
            world
                .send(&finish(&world.begin("")?, &blob))?
                .refused(400, "DIGEST_INVALID")?;
            world.expect_absent(&format!("blobs/{}", blob.digest))?;
            world.expect_absent(&format!("blobs/{}", algorithm.digest(&blob.bytes)))?;
        }
        Ok(())
    })
}

fn malformed_digest(world: &World<'_>) -> Result<()> {
    let hex = "0123456789abcdef".repeat(4);
    for digest in [
        "sha256:baddigeststring",
        "",
        "sha256",
        &format!("md5:{hex}"),
        &format!("sha512:{hex}"),
    ] {
        let post = world.ask("POST", "blobs/uploads/");
        for name in ["digest", "mount"] {
            world
                .send(&post.clone().query(name, digest))?
                .refused(400, "DIGEST_INVALID")?;
        }
        let location = world.begin("")?;
        let put = Ask::new("PUT", location.as_str()).query("digest", digest).body("x");
        world.send(&put)?.refused(400, "DIGEST_INVALID")?;
    }
    for algorithm in ["md5", "sha384", "", "SHA256"] {
        let post = world.ask("POST", "blobs/uploads/").query("digest-algorithm", algorithm);
        world.send(&post)?.refused(400, "DIGEST_INVALID")?;
    }
    Ok(())
}

fn put_without_digest(world: &World<'_>) -> Result<()> {
    let blob = world.blob(Algorithm::Sha256, 100);
    let location = world.begin("")?;
    world
        .send(&Ask::new("PATCH", location.as_str()).body(blob.bytes.clone()))?
        .expect(202)?;
    world
        .send(&Ask::new("PUT", location.as_str()))?
        .refused(400, "DIGEST_INVALID")?;
    world
        .send(&Ask::new("PUT", location).query("digest", &blob.digest))?
        .expect(201)?;
    world.expect_blob(&blob)
}

fn unknown_repository(world: &World<'_>) -> Result<()> {
    let blob = world.blob(Algorithm::Sha256, 100);
    let ask = Ask::new("POST", format!("/v2/{}/blobs/uploads/", world.nowhere()));
    world.send(&ask)?.refused(404, "NAME_UNKNOWN")?;
    let ask = ask.query("digest", &blob.digest).body(blob.bytes);
    world.send(&ask)?.refused(404, "NAME_UNKNOWN")?;
    Ok(())
}
