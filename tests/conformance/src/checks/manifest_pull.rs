// SPDX-License-Identifier: Apache-2.0
//! "Pulling manifests".

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Level::{May, Must, Should};
use crate::content::{DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST};
use crate::table::Check;
use crate::target::RepositoryOptions;
use crate::wire::Ask;
use crate::world::{World, for_each_algorithm};

const SECTION: &str = "Pulling manifests";

pub(super) const CHECKS: &[Check] = &[
    Check::reading(
        "manifest-get-by-digest",
        SECTION,
        Must,
        "GET of a manifest by its digest answers 200 with the bytes that were pushed, for sha256 and for sha512",
        get_by_digest,
    ),
    Check::reading(
        "manifest-get-by-tag",
        SECTION,
        Must,
        "GET of a manifest by a tag answers 200 with the bytes that were pushed",
        get_by_tag,
    ),
    Check::reading(
        "manifest-digest-header",
        SECTION,
        Must,
        "the answer has the manifest's digest in `Docker-Content-Digest`, whether it was asked for by tag or by digest",
        digest_header,
    ),
    Check::reading(
        "manifest-content-type",
        SECTION,
        Should,
        "`Content-Type` is the media type that the manifest was pushed as, without parameters",
        content_type,
    ),
    Check::reading(
        "manifest-any-accept",
        SECTION,
        Should,
        "a manifest is served to clients that accept it, however they say so: in one header or several, with weights, or not at all",
        any_accept,
    ),
    Check::reading(
        "manifest-unknown",
        SECTION,
        Must,
        "a manifest that is not in the repository is 404, by tag and by digest",
        unknown,
    ),
    Check::reading(
        "manifest-of-another-repository",
        SECTION,
        Must,
        "a manifest of another repository is not in this one",
        of_another_repository,
    ),
    Check::reading(
        "manifest-unknown-repository",
        SECTION,
        Must,
        "a pull from a repository that does not exist is 404",
        unknown_repository,
    ),
    Check::reading(
        "manifest-reference-format",
        SECTION,
        Must,
        "a reference that is neither digest nor tag finds nothing: 400 for a malformed digest, 404 for a malformed tag",
        reference_format,
    ),
    Check::reading(
        "manifest-longest-tag",
        SECTION,
        Must,
        "a tag of 128 characters, of every kind the grammar has, can be pulled",
        longest_tag,
    ),
    Check::reading(
        "name-grammar",
        SECTION,
        Must,
        "names of the grammar are taken, other names are refused with 400",
        name_grammar,
    ),
    Check::reading(
        "manifest-escaped-reference",
        "Pulling manifests",
        Should,
        "a percent-encoded reference is the same reference (RFC 3986)",
        escaped_reference,
    ),
    Check::reading(
        "manifest-conditional",
        SECTION,
        May,
        "`ETag` and `If-None-Match` save a client from reading a manifest twice (RFC 9110, section 13)",
        conditional,
    ),
];

fn get_by_digest(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let image = world.prepare_image(algorithm, &Value::Null)?;
        world.keep_manifest(&image.manifest.digest, &image.manifest)?;
        world.expect_manifest(&image.manifest.digest, &image.manifest)
    })
}

fn get_by_tag(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    world.expect_manifest("v1", &image.manifest)
}

fn digest_header(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let digest = &image.manifest.digest;
    for reference in ["v1", digest] {
        let answer = world.get(&format!("manifests/{reference}"))?.expect(200)?;
        answer.with("docker-content-digest", digest)?;
    }
    Ok(())
}

fn content_type(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let index = crate::content::index(std::slice::from_ref(&image.manifest), &Value::Null);
    let index = crate::content::Content::manifest(crate::content::Algorithm::Sha256, &index);
    world.keep_manifest("index", &index)?;
    world
        .get("manifests/v1")?
        .expect(200)?
        .with("content-type", OCI_MANIFEST)?;
    world
        .get("manifests/index")?
        .expect(200)?
        .with("content-type", OCI_INDEX)?;
    Ok(())
}

fn any_accept(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let several = format!("{DOCKER_MANIFEST};q=0.5, {OCI_INDEX}, {OCI_MANIFEST};q=0.9");
    let cases: [&[&str]; 4] = [&[], &["*/*"], &[OCI_INDEX, OCI_MANIFEST], &[&several]];
    for accept in cases {
        let ask = accept.iter().fold(world.ask("GET", "manifests/v1"), |ask, value| {
            ask.header("Accept", *value)
        });
        let answer = world.send(&ask)?.expect(200)?;
        answer
            .with_body(&image.manifest.bytes)?
            .with("content-type", OCI_MANIFEST)?;
    }
    Ok(())
}

fn unknown(world: &World<'_>) -> Result<()> {
    world.get("manifests/none")?.refused(404, "MANIFEST_UNKNOWN")?;
    for_each_algorithm(|algorithm| {
        let digest = algorithm.digest(&world.bytes(8));
        world
            .get(&format!("manifests/{digest}"))?
            .refused(404, "MANIFEST_UNKNOWN")?;
        Ok(())
    })
}

fn of_another_repository(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let other = world.another("other", RepositoryOptions::default())?;
    for reference in ["v1", &image.manifest.digest] {
        let ask = Ask::new("GET", format!("/v2/{other}/manifests/{reference}"));
        world.send(&ask)?.refused(404, "MANIFEST_UNKNOWN")?;
    }
    Ok(())
}

fn unknown_repository(world: &World<'_>) -> Result<()> {
    let digest = crate::content::Algorithm::Sha256.digest(b"none");
    for rest in [
        "manifests/v1",
        &format!("manifests/{digest}"),
        &format!("blobs/{digest}"),
    ] {
        let ask = Ask::new("GET", format!("/v2/{}/{rest}", world.nowhere()));
        world.send(&ask)?.refused(404, "NAME_UNKNOWN")?;
    }
    Ok(())
}

fn reference_format(world: &World<'_>) -> Result<()> {
    world.keep_image("v1")?;
    let short = "0".repeat(63);
    for digest in [
        "sha256:baddigeststring",
        "sha256:",
        ":x",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        &format!("sha256:{short}"),
    ] {
        world
            .get(&format!("manifests/{digest}"))?
            .refused(400, "DIGEST_INVALID")?;
    }
    for tag in [".v1", "-v1", "v%401", "v%201", &"v".repeat(129)] {
        world
            .get(&format!("manifests/{tag}"))?
            .refused(404, "MANIFEST_UNKNOWN")?;
    }
    Ok(())
}

fn longest_tag(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let tag = format!("_aZ09.-{}", "x".repeat(121));
    ensure!(tag.len() == 128, "the test is wrong");
    world.keep_manifest(&tag, &image.manifest)?;
    world.expect_manifest(&tag, &image.manifest)
}

fn name_grammar(world: &World<'_>) -> Result<()> {
    for suffix in ["a.b", "a_b", "a__b", "a---b", "0/1/2"] {
        let name = world.another(suffix, RepositoryOptions::default())?;
        world
            .send(&Ask::new("GET", format!("/v2/{name}/tags/list")))?
            .expect(200)?;
    }
    for name in ["Upper", "-a", "a-", "a..b", "a___b", "a/%2Fb", "a%20b", "a/-/b", ".a"] {
        for rest in ["tags/list", "manifests/v1"] {
            let ask = Ask::new("GET", format!("/v2/{name}/{rest}"));
            world.send(&ask)?.refused(400, "NAME_INVALID")?;
        }
    }
    Ok(())
}

fn escaped_reference(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(crate::content::Algorithm::Sha256, &json!({}))?;
    world.keep_manifest(&image.manifest.digest, &image.manifest)?;
    let escaped = image.manifest.digest.replace(':', "%3A");
    world.expect_manifest(&escaped, &image.manifest)
}

fn conditional(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let etag = world.get("manifests/v1")?.expect(200)?.need("etag")?.to_owned();
    let ask = |method, tag: &str| world.ask(method, "manifests/v1").header("If-None-Match", tag);
    for method in ["GET", "HEAD"] {
        world.send(&ask(method, &etag))?.expect(304)?.with("etag", &etag)?;
        world.send(&ask(method, "\"other\""))?.expect(200)?;
    }
    let moved = world.keep_image("v1")?;
    world
        .send(&ask("GET", &etag))?
        .expect(200)?
        .with_body(&moved.manifest.bytes)?;
    ensure!(moved.manifest != image.manifest, "the test is wrong");
    Ok(())
}
