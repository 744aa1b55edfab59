// SPDX-License-Identifier: Apache-2.0
//! "Checking if content exists in the registry".

use anyhow::Result;
use serde_json::Value;

use crate::Level::{Must, Should};
use crate::table::Check;
use crate::wire::Ask;
use crate::world::{World, for_each_algorithm};

const SECTION: &str = "Checking if content exists in the registry";

pub(super) const CHECKS: &[Check] = &[
    Check::reading(
        "blob-head",
        SECTION,
        Must,
        "HEAD of a blob answers 200 with its size and its digest, and no body",
        blob_head,
    ),
    Check::reading(
        "manifest-head",
        SECTION,
        Must,
        "HEAD of a manifest, by tag and by digest, answers 200 with its size, digest and media type, and no body",
        manifest_head,
    ),
    Check::reading(
        "head-unknown",
        SECTION,
        Must,
        "HEAD of what is not in the repository is 404",
        unknown,
    ),
    Check::reading(
        "head-unknown-repository",
        SECTION,
        Must,
        "HEAD in a repository that does not exist is 404",
        unknown_repository,
    ),
    Check::reading(
        "head-warning",
        "Checking if content exists in the registry",
        Should,
        "a refused HEAD, which has no body, says why in a `Warning` of the form `299 - \"text\"`",
        warning,
    ),
];

fn blob_head(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in [2, 4096, 200_000] {
            let blob = world.keep_blob(algorithm, size)?;
            let answer = world.head(&format!("blobs/{}", blob.digest))?.expect(200)?;
            answer
                .with("content-length", &size.to_string())?
                .with("docker-content-digest", &blob.digest)?;
        }
        Ok(())
    })
}

fn manifest_head(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let image = world.prepare_image(algorithm, &Value::Null)?;
        let digest = &image.manifest.digest;
        let ask = world.put(digest, &image.manifest).query("tag", algorithm.name());
        world.keep(&ask)?.expect(201)?;
        for reference in [digest, algorithm.name()] {
            let answer = world.head(&format!("manifests/{reference}"))?.expect(200)?;
            answer
                .with("content-length", &image.manifest.bytes.len().to_string())?
                .with("docker-content-digest", digest)?
                .with("content-type", &image.manifest.media_type)?;
        }
        Ok(())
    })
}

fn unknown(world: &World<'_>) -> Result<()> {
    world.head("manifests/none")?.expect(404)?;
    for_each_algorithm(|algorithm| {
        let digest = algorithm.digest(&world.bytes(8));
        world.head(&format!("manifests/{digest}"))?.expect(404)?;
        world.head(&format!("blobs/{digest}"))?.expect(404)?;
        Ok(())
    })
}

fn unknown_repository(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let digest = algorithm.digest(b"none");
        for rest in [
            "manifests/v1",
            &format!("manifests/{digest}"),
            &format!("blobs/{digest}"),
        ] {
            world
                .send(&Ask::new("HEAD", format!("/v2/{}/{rest}", world.nowhere())))?
                .expect(404)?;
        }
        Ok(())
    })
}

fn warning(world: &World<'_>) -> Result<()> {
    let answer = world.head("manifests/none")?.expect(404)?;
    anyhow::ensure!(
        answer.need("warning").is_err(),
        "clients would show their users a warning with every push"
    );
    let answer = world.head("blobs/sha256:x")?.expect(400)?;
    anyhow::ensure!(
        answer.need("warning")?.contains("DIGEST_INVALID"),
        "the warning does not say why"
    );
    Ok(())
}
