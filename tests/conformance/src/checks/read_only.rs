// SPDX-License-Identifier: Apache-2.0
//! What somebody who may only read is refused.

use anyhow::{Result, ensure};

use crate::Level::Must;
use crate::Mode;
use crate::content::{Algorithm, OCTETS};
use crate::table::Check;
use crate::target::RepositoryOptions;
use crate::wire::Ask;
use crate::world::World;

const SECTION: &str = "Reading only";

/// A check of the read-only mode.
const fn refusal(id: &'static str, text: &'static str, run: fn(&World<'_>) -> Result<()>) -> Check {
    Check::reading(id, SECTION, Must, text, run).in_modes(&[Mode::ReadOnly])
}

pub(super) const CHECKS: &[Check] = &[
    refusal("read-only-post", "beginning an upload is 403", post),
    refusal(
        "read-only-post-only",
        "an upload in one request is 403, and nothing is stored",
        post_only,
    ),
    refusal("read-only-mount", "a mount is 403, and nothing is linked", mount),
    refusal(
        "read-only-session",
        "PATCH, PUT, GET and DELETE of a session are 403, and it stays as it was",
        session,
    ),
    refusal(
        "read-only-manifest",
        "PUT of a manifest is 403, by tag and by digest, and nothing changes",
        manifest,
    ),
    refusal(
        "read-only-tag-parameters",
        "tags cannot be set by parameters either",
        tag_parameters,
    ),
    refusal(
        "read-only-delete",
        "DELETE of a tag, a manifest and a blob is 403, and nothing is gone",
        delete,
    ),
    refusal(
        "read-only-hides",
        "a refusal is the same whether the repository exists or not",
        hides,
    ),
    refusal(
        "read-only-reads",
        "the rest works: ping, manifests, blobs, ranges, tags, referrers",
        reads,
    ),
];

fn refused(world: &World<'_>, ask: &Ask) -> Result<()> {
    world.send(ask)?.refused(403, "DENIED")?;
    Ok(())
}

fn post(world: &World<'_>) -> Result<()> {
    refused(world, &world.ask("POST", "blobs/uploads/"))?;
    refused(
        world,
        &world.ask("POST", "blobs/uploads/").query("digest-algorithm", "sha512"),
    )
}

fn post_only(world: &World<'_>) -> Result<()> {
    let blob = world.blob(Algorithm::Sha256, 100);
    let ask = world.ask("POST", "blobs/uploads/").query("digest", &blob.digest);
    refused(world, &ask.header("Content-Type", OCTETS).body(blob.bytes.clone()))?;
    world.expect_absent(&format!("blobs/{}", blob.digest))
}

fn mount(world: &World<'_>) -> Result<()> {
    let source = world.another("source", RepositoryOptions::default())?;
    let blob = world.blob(Algorithm::Sha256, 100);
    world.keep_blob_in(&source, &blob)?;
    let ask = world.ask("POST", "blobs/uploads/").query("mount", &blob.digest);
    refused(world, &ask)?;
    refused(world, &ask.query("from", &source))?;
    world.expect_absent(&format!("blobs/{}", blob.digest))
}

fn session(world: &World<'_>) -> Result<()> {
    let blob = world.blob(Algorithm::Sha256, 100);
    let begun = world.keep(&world.ask("POST", "blobs/uploads/"))?.expect(202)?;
    let location = begun.location()?;
    refused(world, &Ask::new("PATCH", location.as_str()).body(blob.bytes.clone()))?;
    let put = Ask::new("PUT", location.as_str()).query("digest", &blob.digest);
    refused(world, &put.clone().body(blob.bytes.clone()))?;
    refused(world, &Ask::new("GET", location.as_str()))?;
    refused(world, &Ask::new("DELETE", location.as_str()))?;
    world.keep(&put.body(blob.bytes.clone()))?.expect(201)?;
    world.expect_blob(&blob)
}

fn manifest(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let other = world.prepare_image(Algorithm::Sha256, &serde_json::Value::Null)?;
    refused(world, &world.put("v1", &other.manifest))?;
    refused(world, &world.put("v2", &image.manifest))?;
    refused(world, &world.put(&other.manifest.digest, &other.manifest))?;
    world.expect_manifest("v1", &image.manifest)?;
    world.expect_absent("manifests/v2")?;
    world.expect_absent(&format!("manifests/{}", other.manifest.digest))
}

fn tag_parameters(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let put = world.put(&image.manifest.digest, &image.manifest).query("tag", "v2");
    refused(world, &put)?;
    world.expect_absent("manifests/v2")
}

fn delete(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let by_digest = format!("manifests/{}", image.manifest.digest);
    let layer = format!("blobs/{}", image.layer.digest);
    for rest in ["manifests/v1", &by_digest, &layer] {
        refused(world, &world.ask("DELETE", rest))?;
    }
    let blob = world.keep_blob(Algorithm::Sha256, 100)?;
    refused(world, &world.ask("DELETE", &format!("blobs/{}", blob.digest)))?;
    world.expect_manifest("v1", &image.manifest)?;
    world.expect_blob(&image.layer)?;
    world.expect_blob(&blob)
}

fn hides(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let (here, nowhere) = (world.repository(), world.nowhere());
    for ask in [
        world.ask("POST", "blobs/uploads/"),
        world.put("v1", &image.manifest),
        world.ask("DELETE", "manifests/v1"),
        world.ask("DELETE", &format!("blobs/{}", image.layer.digest)),
    ] {
        let mut absent = ask.clone();
        absent.target = ask.target.replace(&here, &nowhere);
        let (there, absent) = (world.send(&ask)?.expect(403)?, world.send(&absent)?.expect(403)?);
        let there = there.text_without_id();
        let cleaned = absent.text_without_id().replace(&nowhere, &here);
        ensure!(
            there == cleaned,
            "{} {} tells: {there} {cleaned}",
            ask.method,
            ask.target,
        );
    }
    Ok(())
}

fn reads(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    let layer = format!("blobs/{}", image.layer.digest);
    world.send(&Ask::new("GET", "/v2/"))?.expect(200)?;
    world.expect_manifest("v1", &image.manifest)?;
    world.expect_blob(&image.layer)?;
    world.head(&layer)?.expect(200)?;
    world
        .send(&world.ask("GET", &layer).header("Range", "bytes=0-9"))?
        .expect(206)?;
    world.get("tags/list")?.expect(200)?;
    world
        .get(&format!("referrers/{}", image.manifest.digest))?
        .expect(200)?;
    Ok(())
}
