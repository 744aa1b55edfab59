// SPDX-License-Identifier: Apache-2.0
//! "Pulling blobs", with ranges of them.

use anyhow::{Context, Result, ensure};

use crate::Level::{May, Must, Should};
use crate::content::{Algorithm, Content, OCTETS};
use crate::table::Check;
use crate::target::RepositoryOptions;
use crate::wire::Ask;
use crate::world::{World, for_each_algorithm};

const SECTION: &str = "Pulling blobs";

/// Nothing, little, a page, and more than is kept in memory or beside a row.
const SIZES: [usize; 4] = [0, 2, 4096, 200_000];

pub(super) const CHECKS: &[Check] = &[
    Check::reading(
        "blob-get",
        SECTION,
        Must,
        "GET of a blob answers 200 with its bytes, whatever its size, for sha256 and for sha512",
        get,
    ),
    Check::reading(
        "blob-digest-header",
        SECTION,
        Must,
        "the answer has the blob's digest in `Docker-Content-Digest`, in the algorithm that it was asked for with",
        digest_header,
    ),
    Check::reading("blob-empty", SECTION, Must, "a blob of no bytes can be read", empty),
    Check::reading(
        "blob-unknown",
        SECTION,
        Must,
        "a blob that is not in the repository is 404",
        unknown,
    ),
    Check::reading(
        "blob-of-another-repository",
        SECTION,
        Must,
        "a blob of another repository is not in this one",
        of_another_repository,
    ),
    Check::reading(
        "blob-malformed-digest",
        SECTION,
        Should,
        "a malformed digest, or one of an unknown algorithm, is 400",
        malformed_digest,
    ),
    Check::reading(
        "blob-range-first-last",
        SECTION,
        Should,
        "`Range: bytes=<first>-<last>` answers 206 with those bytes, their `Content-Range` and their length",
        range_first_last,
    ),
    Check::reading(
        "blob-range-open",
        SECTION,
        Should,
        "`Range: bytes=<first>-` answers 206 with all bytes from there",
        range_open,
    ),
    Check::reading(
        "blob-range-suffix",
        SECTION,
        Should,
        "`Range: bytes=-<count>` answers 206 with the last bytes",
        range_suffix,
    ),
    Check::reading(
        "blob-range-clamped",
        SECTION,
        Should,
        "a range that ends behind the blob ends with it",
        range_clamped,
    ),
    Check::reading(
        "blob-range-beyond",
        SECTION,
        Should,
        "a range that starts behind the blob is 416, with the blob's size in `Content-Range`",
        range_beyond,
    ),
    Check::reading(
        "blob-range-reversed",
        SECTION,
        Should,
        "a range that ends before it starts is 416",
        range_reversed,
    ),
    Check::reading(
        "blob-range-if-range",
        SECTION,
        Should,
        "`If-Range` with another entity tag voids the range (RFC 9110, section 13.1.5)",
        range_if_range,
    ),
    Check::reading(
        "blob-range-several",
        SECTION,
        Should,
        "several ranges come as `multipart/byteranges`, with exactly what was asked for (RFC 9110, section 14.6)",
        range_several,
    ),
    Check::reading(
        "blob-conditional",
        SECTION,
        May,
        "`ETag` and `If-None-Match` save a client from reading a blob twice (RFC 9110, section 13)",
        conditional,
    ),
];

fn path(blob: &Content) -> String {
    format!("blobs/{}", blob.digest)
}

fn get(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.keep_blob(algorithm, size)?;
            let answer = world.get(&path(&blob))?.expect(200)?.with_body(&blob.bytes)?;
            answer.with("content-length", &size.to_string())?;
        }
        Ok(())
    })
}

fn digest_header(world: &World<'_>) -> Result<()> {
    let bytes = world.bytes(100);
    for_each_algorithm(|algorithm| {
        let blob = Content::new(algorithm, OCTETS, bytes.clone());
        world.keep_blobs(&[&blob])?;
        world
            .get(&path(&blob))?
            .expect(200)?
            .with("docker-content-digest", &blob.digest)?;
        Ok(())
    })
}

fn empty(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let blob = Content::new(algorithm, OCTETS, Vec::new());
        world.keep_blobs(&[&blob])?;
        for method in ["GET", "HEAD"] {
            let answer = world.send(&world.ask(method, &path(&blob)))?.expect(200)?;
            answer.with_body(b"")?.with("content-length", "0")?;
        }
        Ok(())
    })
}

fn unknown(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        world
            .get(&path(&world.blob(algorithm, 8)))?
            .refused(404, "BLOB_UNKNOWN")?;
        Ok(())
    })
}

fn of_another_repository(world: &World<'_>) -> Result<()> {
    let other = world.another("other", RepositoryOptions::default())?;
    for size in SIZES {
        let blob = world.blob(Algorithm::Sha256, size.max(8));
        world.keep_blob_in(&other, &blob)?;
        world.expect_absent(&path(&blob))?;
        let ask = Ask::new("GET", format!("/v2/{other}/{}", path(&blob)));
        world.send(&ask)?.expect(200)?.with_body(&blob.bytes)?;
    }
    Ok(())
}

fn malformed_digest(world: &World<'_>) -> Result<()> {
    let hex = "0123456789abcdef".repeat(4);
    let (upper, short) = (hex.to_uppercase(), hex.get(1..).unwrap_or_default());
    for digest in [
        format!("sha256:{short}"),
        format!("sha256:{upper}"),
        format!("sha256:{hex}0"),
        format!("sha512:{hex}"),
        format!("sha384:{hex}{hex}"),
        format!("md5:{hex}"),
        format!("SHA256:{hex}"),
        hex.clone(),
        "sha256:baddigeststring".to_owned(),
        "sha256".to_owned(),
    ] {
        world.get(&format!("blobs/{digest}"))?.refused(400, "DIGEST_INVALID")?;
        world.head(&format!("blobs/{digest}"))?.expect(400)?;
    }
    Ok(())
}

/// Reads a range of a small and of a large blob and compares it with that part of the blob.
fn expect_range(world: &World<'_>, range: impl Fn(usize) -> (String, usize, usize)) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in [2048, 200_000] {
            let blob = world.keep_blob(algorithm, size)?;
            let (header, start, end) = range(size);
            let ask = world.ask("GET", &path(&blob)).header("Range", header.clone());
            let wanted = blob.bytes.get(start..end).context("the test is wrong")?;
            world
                .send(&ask)?
                .expect(206)?
                .with("content-range", &format!("bytes {start}-{}/{size}", end - 1))?
                .with("content-length", &(end - start).to_string())?
                .with_body(wanted)
                .with_context(|| format!("{header} of {size}"))?;
            world.get(&path(&blob))?.expect(200)?.with("accept-ranges", "bytes")?;
        }
        Ok(())
    })
}

fn range_first_last(world: &World<'_>) -> Result<()> {
    expect_range(world, |_| ("bytes=500-1499".to_owned(), 500, 1500))?;
    expect_range(world, |_| ("bytes=0-0".to_owned(), 0, 1))
}

fn range_open(world: &World<'_>) -> Result<()> {
    expect_range(world, |size| ("bytes=500-".to_owned(), 500, size))
}

fn range_suffix(world: &World<'_>) -> Result<()> {
    expect_range(world, |size| ("bytes=-500".to_owned(), size - 500, size))?;
    expect_range(world, |size| ("bytes=-999999999".to_owned(), 0, size))
}

fn range_clamped(world: &World<'_>) -> Result<()> {
    expect_range(world, |size| (format!("bytes=2000-{}", size + 3000), 2000, size))
}

fn expect_unsatisfiable(world: &World<'_>, ranges: &[&str]) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in [2048, 200_000] {
            let blob = world.keep_blob(algorithm, size)?;
            for range in ranges {
                let ask = world.ask("GET", &path(&blob)).header("Range", *range);
                let answer = world.send(&ask)?.expect(416).with_context(|| (*range).to_owned())?;
                answer.with("content-range", &format!("bytes */{size}"))?;
            }
        }
        Ok(())
    })
}

fn range_beyond(world: &World<'_>) -> Result<()> {
    expect_unsatisfiable(world, &["bytes=500000-1000000", "bytes=200000-"])
}

fn range_reversed(world: &World<'_>) -> Result<()> {
    expect_unsatisfiable(world, &["bytes=500-0"])
}

fn range_if_range(world: &World<'_>) -> Result<()> {
    let blob = world.keep_blob(Algorithm::Sha256, 2048)?;
    let etag = world.get(&path(&blob))?.expect(200)?.need("etag")?.to_owned();
    let ask = |tag: &str| {
        let ask = world.ask("GET", &path(&blob)).header("Range", "bytes=0-9");
        ask.header("If-Range", tag)
    };
    world.send(&ask(&etag))?.expect(206)?.with("content-length", "10")?;
    world.send(&ask("\"other\""))?.expect(200)?.with_body(&blob.bytes)?;
    Ok(())
}

fn range_several(world: &World<'_>) -> Result<()> {
    for size in [2048, 200_000] {
        let blob = world.keep_blob(Algorithm::Sha256, size)?;
        let ask = world.ask("GET", &path(&blob)).header("Range", "bytes=0-9,1000-1009");
        let answer = world.send(&ask)?.expect(206)?;
        let boundary = answer
            .need("content-type")?
            .strip_prefix("multipart/byteranges; boundary=");
        let boundary = boundary.context("a part of several ranges is not `multipart/byteranges`")?;
        let mut rest = answer.body.as_slice();
        for start in [0, 1000] {
            let head = format!("Content-Range: bytes {start}-{}/{size}\r\n", start + 9);
            let at = find(rest, format!("--{}\r\n", boundary.trim_matches('"')).as_bytes()).context("no boundary")?;
            rest = rest.get(at..).unwrap_or_default();
            let body_at = find(rest, b"\r\n\r\n").context("a part has no head")? + 4;
            let part = String::from_utf8_lossy(rest.get(..body_at).unwrap_or_default()).to_lowercase();
            ensure!(
                part.contains(&head.to_lowercase()),
                "a part is of another range: {part}"
            );
            let wanted = blob.bytes.get(start..start + 10).context("the test is wrong")?;
            let found = rest.get(body_at..body_at + 10);
            ensure!(found == Some(wanted), "a part has other bytes");
            rest = rest.get(body_at + 10..).unwrap_or_default();
        }
        ensure!(
            rest == format!("\r\n--{}--\r\n", boundary.trim_matches('"')).as_bytes(),
            "the parts do not end"
        );
    }
    Ok(())
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn conditional(world: &World<'_>) -> Result<()> {
    let blob = world.keep_blob(Algorithm::Sha256, 2048)?;
    let etag = world.get(&path(&blob))?.expect(200)?.need("etag")?.to_owned();
    for method in ["GET", "HEAD"] {
        let ask = |tag: &str| world.ask(method, &path(&blob)).header("If-None-Match", tag);
        world.send(&ask(&etag))?.expect(304)?.with("etag", &etag)?;
        world.send(&ask("\"other\""))?.expect(200)?;
    }
    Ok(())
}
