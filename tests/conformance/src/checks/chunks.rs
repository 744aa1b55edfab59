// SPDX-License-Identifier: Apache-2.0
//! "Pushing a blob in chunks": sessions, their state and their end.

use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::Level::{May, Must, Should};
use crate::content::{Algorithm, Content, OCTETS};
use crate::table::Check;
use crate::target::RepositoryOptions;
use crate::wire::{Answer, Ask, Connection, Framing};
use crate::world::{World, for_each_algorithm};

const SECTION: &str = "Pushing a blob in chunks";

/// Sizes of whole blobs: one that is kept beside its row, and one that is not.
const SIZES: [usize; 2] = [3000, 200_000];

pub(super) const CHECKS: &[Check] = &[
    Check::writing(
        "chunked",
        SECTION,
        Must,
        "each chunk is answered 202 with `Location` and with `Range` up to its last byte; a PUT with `digest` closes with 201 and a `Location` to pull from",
        chunked,
    ),
    Check::writing(
        "chunked-last-in-put",
        SECTION,
        May,
        "the closing PUT may bring the last chunk, with its `Content-Range`",
        last_in_put,
    ),
    Check::writing(
        "chunked-single",
        SECTION,
        Must,
        "one chunk can be all of the blob",
        single,
    ),
    Check::writing(
        "chunked-digest-algorithm",
        SECTION,
        Should,
        "`digest-algorithm` says which algorithm the blob will be named with",
        digest_algorithm,
    ),
    Check::writing(
        "chunked-other-algorithm",
        SECTION,
        Must,
        "a session ends with a digest of either algorithm, whichever it began with",
        other_algorithm,
    ),
    Check::writing(
        "chunk-min-length",
        SECTION,
        Should,
        "`OCI-Chunk-Min-Length` is a number of bytes, and chunks of that size are taken",
        min_length,
    ),
    Check::writing(
        "streamed",
        SECTION,
        Must,
        "a PATCH without `Content-Range`, in chunked transfer coding, brings the blob as a stream",
        streamed,
    ),
    Check::writing(
        "streamed-length",
        SECTION,
        Must,
        "a PATCH with `Content-Length` and without `Content-Range` goes on where the last one ended",
        streamed_length,
    ),
    Check::writing(
        "chunk-out-of-order",
        SECTION,
        Must,
        "a chunk that does not start behind the last one is 416, ahead and back and as the first; the session stays as it was and says where to go on",
        out_of_order,
    ),
    Check::writing(
        "chunk-out-of-order-put",
        SECTION,
        Must,
        "the same for a last chunk in the closing PUT",
        out_of_order_put,
    ),
    Check::writing(
        "chunk-malformed-range",
        SECTION,
        Must,
        "a `Content-Range` that is none, or of another length than the body, is 400, and the session stays as it was",
        malformed_range,
    ),
    Check::writing(
        "chunked-bad-digest",
        SECTION,
        Should,
        "closing with a digest that the chunks do not have is 400, with and without a last chunk, and nothing is stored",
        bad_digest,
    ),
    Check::writing(
        "streamed-bad-digest",
        SECTION,
        Should,
        "closing a streamed upload with a digest that it does not have is 400",
        streamed_bad_digest,
    ),
    Check::writing(
        "upload-status",
        SECTION,
        Must,
        "GET of a session answers 204 with `Location`, and with `Range` up to the last byte that arrived",
        status,
    ),
    Check::writing(
        "upload-resume",
        SECTION,
        Must,
        "after a connection broke, GET says how much arrived, and the upload goes on there",
        resume,
    ),
    Check::writing(
        "upload-unknown",
        SECTION,
        Must,
        "a session that does not exist is 404 for GET, PATCH, PUT and DELETE; so is one of another repository",
        unknown,
    ),
    Check::writing("upload-over", SECTION, Must, "a finished session is over: 404", over),
    Check::writing(
        "upload-cancel",
        SECTION,
        Should,
        "DELETE of a session answers 204, and it is over: 404",
        cancel,
    ),
];

fn chunk(location: &str, blob: &Content, part: Range<usize>) -> Result<Ask> {
    let bytes = blob.bytes.get(part.clone()).context("the test is wrong")?;
    Ok(Ask::new("PATCH", location)
        .header("Content-Type", OCTETS)
        .header(
            "Content-Range",
            format!("{}-{}", part.start, part.end.saturating_sub(1)),
        )
        .body(bytes))
}

fn close(location: &str, digest: &str) -> Ask {
    Ask::new("PUT", location).query("digest", digest)
}

/// Three parts of a blob, the last one shorter.
fn parts(size: usize) -> [Range<usize>; 3] {
    let third = size / 3 + 1;
    [0..third, third..2 * third, 2 * third..size]
}

/// Sends a chunk and looks at the answer; returns where the next one goes.
fn send_chunk(world: &World<'_>, location: &str, blob: &Content, part: Range<usize>) -> Result<String> {
    let last = part.end - 1;
    let answer = world.send(&chunk(location, blob, part)?)?.expect(202)?;
    answer.with("range", &format!("0-{last}"))?.location()
}

fn expect_created(world: &World<'_>, answer: Answer, blob: &Content) -> Result<()> {
    let answer = answer.expect(201)?.with("docker-content-digest", &blob.digest)?;
    world
        .send(&Ask::new("GET", answer.location()?))?
        .expect(200)?
        .with_body(&blob.bytes)?;
    world.expect_blob(blob)
}

fn chunked(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let mut location = world.begin("")?;
            for part in parts(size) {
                location = send_chunk(world, &location, &blob, part)?;
            }
            expect_created(world, world.send(&close(&location, &blob.digest))?, &blob)?;
        }
        Ok(())
    })
}

fn last_in_put(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let mut location = world.begin("")?;
            let [first, second, last] = parts(size);
            for part in [first, second] {
                location = send_chunk(world, &location, &blob, part)?;
            }
            let mut put = chunk(&location, &blob, last)?.query("digest", &blob.digest);
            put.method = "PUT";
            expect_created(world, world.send(&put)?, &blob)?;
        }
        Ok(())
    })
}

fn single(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in [1, 512, 200_000] {
            let blob = world.blob(algorithm, size);
            let location = send_chunk(world, &world.begin("")?, &blob, 0..size)?;
            expect_created(world, world.send(&close(&location, &blob.digest))?, &blob)?;
        }
        Ok(())
    })
}

fn digest_algorithm(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let mut location = world.begin(&format!("?digest-algorithm={}", algorithm.name()))?;
            for part in parts(size) {
                location = send_chunk(world, &location, &blob, part)?;
            }
            expect_created(world, world.send(&close(&location, &blob.digest))?, &blob)?;
        }
        Ok(())
    })
}

fn other_algorithm(world: &World<'_>) -> Result<()> {
    for (begun, ended) in [
        (Algorithm::Sha256, Algorithm::Sha512),
        (Algorithm::Sha512, Algorithm::Sha256),
    ] {
        for size in SIZES {
            let blob = world.blob(ended, size);
            let mut location = world.begin(&format!("?digest-algorithm={}", begun.name()))?;
            for part in parts(size) {
                location = send_chunk(world, &location, &blob, part)?;
            }
            expect_created(world, world.send(&close(&location, &blob.digest))?, &blob)?;
            // Only the name that was asked for.
            let mut wrong = blob.clone();
            wrong.bytes.push(0);
            let location = send_chunk(world, &world.begin("")?, &wrong, 0..size + 1)?;
            world
                .send(&close(&location, &blob.digest))?
                .refused(400, "DIGEST_INVALID")?;
        }
    }
    Ok(())
}

fn min_length(world: &World<'_>) -> Result<()> {
    let answer = world.send(&world.ask("POST", "blobs/uploads/"))?.expect(202)?;
    let min: usize = answer
        .need("oci-chunk-min-length")?
        .parse()
        .context("not a number of bytes")?;
    ensure!(
        (1..1 << 20).contains(&min),
        "no client would send chunks of {min} bytes"
    );
    let blob = world.blob(Algorithm::Sha256, 3 * min);
    let mut location = answer.location()?;
    for nth in 0..3 {
        location = send_chunk(world, &location, &blob, nth * min..(nth + 1) * min)?;
    }
    expect_created(world, world.send(&close(&location, &blob.digest))?, &blob)
}

fn streamed(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let patch = Ask::new("PATCH", world.begin("")?).header("Content-Type", OCTETS);
            let patch = patch.body(blob.bytes.clone()).framed(Framing::Chunked);
            let answer = world.send(&patch)?.expect(202)?;
            let answer = answer.with("range", &format!("0-{}", size - 1))?;
            let put = close(&answer.location()?, &blob.digest);
            expect_created(world, world.send(&put)?, &blob)?;
        }
        Ok(())
    })
}

fn streamed_length(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let mut location = world.begin("")?;
            for part in parts(size) {
                let patch = Ask::new("PATCH", location).body(blob.bytes.get(part).unwrap_or_default());
                location = world.send(&patch)?.expect(202)?.location()?;
            }
            expect_created(world, world.send(&close(&location, &blob.digest))?, &blob)?;
        }
        Ok(())
    })
}

/// Insists that a session has come so far, and returns where to go on.
fn expect_status(world: &World<'_>, location: &str, received: usize) -> Result<String> {
    let answer = world.send(&Ask::new("GET", location))?.expect(204)?;
    let range = format!("0-{}", received.saturating_sub(1));
    answer.with("range", &range)?.location()
}

fn out_of_order(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let [first, second, last] = parts(size);
            let location = world.begin("")?;
            world.send(&chunk(&location, &blob, second.clone())?)?.expect(416)?;
            let location = expect_status(world, &location, 0)?;
            let location = send_chunk(world, &location, &blob, first.clone())?;
            for wrong in [last.clone(), first.clone()] {
                let answer = world.send(&chunk(&location, &blob, wrong)?)?.expect(416)?;
                answer.with("range", &format!("0-{}", first.end - 1))?.location()?;
            }
            let location = expect_status(world, &location, first.end)?;
            let location = send_chunk(world, &location, &blob, second)?;
            let location = send_chunk(world, &location, &blob, last)?;
            expect_created(world, world.send(&close(&location, &blob.digest))?, &blob)?;
        }
        Ok(())
    })
}

fn out_of_order_put(world: &World<'_>) -> Result<()> {
    for size in SIZES {
        let blob = world.blob(Algorithm::Sha256, size);
        let [first, second, last] = parts(size);
        let location = send_chunk(world, &world.begin("")?, &blob, first.clone())?;
        let mut put = chunk(&location, &blob, last.clone())?.query("digest", &blob.digest);
        put.method = "PUT";
        let answer = world.send(&put)?.expect(416)?;
        answer.with("range", &format!("0-{}", first.end - 1))?.location()?;
        let location = expect_status(world, &location, first.end)?;
        let location = send_chunk(world, &location, &blob, second)?;
        let mut put = chunk(&location, &blob, last)?.query("digest", &blob.digest);
        put.method = "PUT";
        expect_created(world, world.send(&put)?, &blob)?;
    }
    Ok(())
}

fn malformed_range(world: &World<'_>) -> Result<()> {
    let blob = world.blob(Algorithm::Sha256, 30);
    let location = world.begin("")?;
    for range in ["x", "0", "-9", "0-", "9-0", "0-8", "0-10", "0-99999999999999999999999"] {
        let patch = Ask::new("PATCH", location.as_str()).header("Content-Range", range);
        world
            .send(&patch.body(blob.bytes.get(..10).unwrap_or_default()))?
            .expect(400)
            .context(range)?;
    }
    for range in ["0-8", "0-10"] {
        let patch = Ask::new("PATCH", location.as_str()).header("Content-Range", range);
        let patch = patch.body(blob.bytes.get(..10).unwrap_or_default());
        world
            .send(&patch.framed(Framing::Chunked))?
            .expect(400)
            .with_context(|| format!("{range}, in chunked coding"))?;
    }
    let location = world.begin("")?;
    let location = expect_status(world, &location, 0)?;
    let location = send_chunk(world, &location, &blob, 0..30)?;
    expect_created(world, world.send(&close(&location, &blob.digest))?, &blob)
}

fn bad_digest(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let wrong = algorithm.digest(&world.bytes(8));
            let [first, second, last] = parts(size);
            for is_last_in_put in [false, true] {
                let mut location = world.begin("")?;
                for part in [first.clone(), second.clone()] {
                    location = send_chunk(world, &location, &blob, part)?;
                }
                let put = if is_last_in_put {
                    let mut put = chunk(&location, &blob, last.clone())?.query("digest", &wrong);
                    put.method = "PUT";
                    put
                } else {
                    close(&send_chunk(world, &location, &blob, last.clone())?, &wrong)
                };
                world.send(&put)?.refused(400, "DIGEST_INVALID")?;
                world.expect_absent(&format!("blobs/{wrong}"))?;
                world.expect_absent(&format!("blobs/{}", blob.digest))?;
            }
        }
        Ok(())
    })
}

fn streamed_bad_digest(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            let patch = Ask::new("PATCH", world.begin("")?).body(blob.bytes.clone());
            let location = world.send(&patch.framed(Framing::Chunked))?.expect(202)?.location()?;
            let wrong = algorithm.digest(&world.bytes(8));
            world.send(&close(&location, &wrong))?.refused(400, "DIGEST_INVALID")?;
            world.expect_absent(&format!("blobs/{}", blob.digest))?;
        }
        Ok(())
    })
}

fn status(world: &World<'_>) -> Result<()> {
    for size in SIZES {
        let blob = world.blob(Algorithm::Sha256, size);
        let mut location = expect_status(world, &world.begin("")?, 0)?;
        for part in parts(size) {
            let end = part.end;
            location = expect_status(world, &send_chunk(world, &location, &blob, part)?, end)?;
        }
        expect_created(world, world.send(&close(&location, &blob.digest))?, &blob)?;
    }
    Ok(())
}

fn resume(world: &World<'_>) -> Result<()> {
    let size = 400_000;
    let blob = world.blob(Algorithm::Sha256, size);
    let location = world.begin("")?;
    let patch = Ask::new("PATCH", location.as_str()).body(blob.bytes.clone());
    let mut connection = Connection::open(&world.target().address)?;
    connection.send(&world.authorized(&patch)?.framed(Framing::CutAfter(size / 2)))?;
    drop(connection);
    // The server keeps what had arrived when it notices.
    let mut received = None;
    e2e::process::wait_until("the broken upload is known", Duration::from_secs(30), || {
        let answer = world.send(&Ask::new("GET", location.as_str()));
        let range = answer.ok().and_then(|answer| answer.header("range").map(str::to_owned));
        let last: Option<usize> = range.and_then(|range| range.strip_prefix("0-")?.parse().ok());
        received = last.filter(|last| *last > 0).map(|last| last + 1);
        received.is_some()
    })?;
    let received = received.context("nothing arrived")?;
    ensure!(received <= size / 2, "more arrived than was sent: {received}");
    let mut put = chunk(&location, &blob, received..size)?.query("digest", &blob.digest);
    put.method = "PUT";
    // The request that broke off may not be over yet.
    let mut answer = None;
    e2e::process::wait_until("the upload goes on", Duration::from_secs(30), || {
        answer = world.send(&put).ok().filter(|answer| answer.status != 409);
        answer.is_some()
    })?;
    expect_created(world, answer.context("no answer")?, &blob)
}

fn expect_no_session(world: &World<'_>, location: &str) -> Result<()> {
    let digest = Algorithm::Sha256.digest(b"");
    let asks = [
        Ask::new("GET", location),
        Ask::new("PATCH", location).body("x"),
        close(location, &digest),
        Ask::new("DELETE", location),
    ];
    for ask in asks {
        let code = if ask.method == "HEAD" {
            ""
        } else {
            "BLOB_UPLOAD_UNKNOWN"
        };
        world
            .send(&ask)?
            .refused(404, code)
            .with_context(|| ask.method.to_owned())?;
    }
    Ok(())
}

fn unknown(world: &World<'_>) -> Result<()> {
    let own = format!("/v2/{}/blobs/uploads", world.repository());
    expect_no_session(world, &format!("{own}/01234567-89ab-7def-8123-456789abcdef"))?;
    expect_no_session(world, &format!("{own}/nonsense"))?;
    let other = world.another("other", RepositoryOptions::default())?;
    let location = world.begin("")?;
    let id = location.rsplit('/').next().unwrap_or_default();
    expect_no_session(world, &format!("/v2/{other}/blobs/uploads/{id}"))?;
    expect_status(world, &location, 0)?;
    Ok(())
}

fn over(world: &World<'_>) -> Result<()> {
    for size in SIZES {
        let blob = world.blob(Algorithm::Sha256, size);
        let location = send_chunk(world, &world.begin("")?, &blob, 0..size)?;
        expect_created(world, world.send(&close(&location, &blob.digest))?, &blob)?;
        expect_no_session(world, &location)?;
    }
    Ok(())
}

fn cancel(world: &World<'_>) -> Result<()> {
    let fresh = world.begin("")?;
    world.send(&Ask::new("DELETE", fresh.as_str()))?.expect(204)?;
    expect_no_session(world, &fresh)?;
    for size in SIZES {
        let blob = world.blob(Algorithm::Sha256, size);
        let location = send_chunk(world, &world.begin("")?, &blob, 0..size)?;
        world.send(&Ask::new("DELETE", location.as_str()))?.expect(204)?;
        expect_no_session(world, &location)?;
        world.expect_absent(&format!("blobs/{}", blob.digest))?;
    }
    Ok(())
}
