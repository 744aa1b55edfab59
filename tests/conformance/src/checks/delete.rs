// SPDX-License-Identifier: Apache-2.0
//! "Deleting tags", "Deleting Manifests" and "Deleting Blobs".

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::Level::{May, Must};
use crate::content::{Algorithm, Content, index};
use crate::table::Check;
use crate::target::RepositoryOptions;
use crate::wire::Ask;
use crate::world::{World, for_each_algorithm};

const TAGS: &str = "Deleting tags";
const MANIFESTS: &str = "Deleting Manifests";
const BLOBS: &str = "Deleting Blobs";

pub(super) const CHECKS: &[Check] = &[
    Check::writing(
        "tag-delete",
        TAGS,
        Must,
        "DELETE of a tag answers 202; the tag is gone at once, from the list too; other tags and the manifest they name stay",
        tag,
    ),
    Check::writing(
        "tag-delete-unknown",
        TAGS,
        Must,
        "a tag that is not there is 404",
        tag_unknown,
    ),
    Check::writing(
        "tag-delete-and-set",
        TAGS,
        May,
        "a deleted tag can be set again",
        tag_delete_and_set,
    ),
    Check::writing(
        "manifest-delete",
        MANIFESTS,
        Must,
        "DELETE of a manifest by digest answers 202; it is gone at once, and every tag of it",
        manifest,
    ),
    Check::writing(
        "manifest-delete-unknown",
        MANIFESTS,
        Must,
        "a manifest that is not there, or in a repository that does not exist, is 404",
        manifest_unknown,
    ),
    Check::writing(
        "manifest-delete-malformed",
        MANIFESTS,
        Must,
        "a malformed digest is 400",
        manifest_malformed,
    ),
    Check::writing(
        "manifest-delete-and-push",
        MANIFESTS,
        May,
        "a deleted manifest can be pushed again, its blobs are still there",
        manifest_delete_and_push,
    ),
    Check::writing(
        "manifest-delete-protected",
        MANIFESTS,
        May,
        "a manifest that an index lists is kept: 405, which says what is possible, and nothing is lost; after the index, it goes",
        manifest_protected,
    ),
    Check::writing(
        "blob-delete",
        BLOBS,
        Must,
        "DELETE of a blob answers 202, and it is gone at once; for sha256 and for sha512",
        blob,
    ),
    Check::writing(
        "blob-delete-unknown",
        BLOBS,
        Must,
        "a blob that is not there, or in a repository that does not exist, is 404",
        blob_unknown,
    ),
    Check::writing(
        "blob-delete-malformed",
        BLOBS,
        Must,
        "a malformed digest is 400",
        blob_malformed,
    ),
    Check::writing(
        "blob-delete-and-push",
        BLOBS,
        May,
        "a deleted blob can be pushed again",
        blob_delete_and_push,
    ),
    Check::writing(
        "blob-delete-protected",
        BLOBS,
        May,
        "a blob that an image of the repository needs is kept: 405, which says what is possible; after the image, it goes",
        blob_protected,
    ),
    Check::writing(
        "blob-delete-elsewhere",
        BLOBS,
        Must,
        "a blob of another repository is not deleted",
        blob_elsewhere,
    ),
];

fn listed(world: &World<'_>) -> Result<Value> {
    let list = world.get("tags/list")?.expect(200)?.json()?;
    Ok(list.get("tags").cloned().unwrap_or_default())
}

fn tag(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    world.keep_manifest("v2", &image.manifest)?;
    world.delete("manifests/v1")?.expect(202)?;
    world.expect_absent("manifests/v1")?;
    ensure!(listed(world)? == json!(["v2"]), "the tag is still listed");
    world.expect_manifest("v2", &image.manifest)?;
    world.expect_manifest(&image.manifest.digest, &image.manifest)?;
    world.delete("manifests/v2")?.expect(202)?;
    world.expect_absent("manifests/v2")?;
    ensure!(listed(world)? == json!([]), "the tag is still listed");
    Ok(())
}

fn tag_unknown(world: &World<'_>) -> Result<()> {
    world.delete("manifests/none")?.refused(404, "MANIFEST_UNKNOWN")?;
    let ask = Ask::new("DELETE", format!("/v2/{}/manifests/v1", world.nowhere()));
    world.send(&ask)?.refused(404, "NAME_UNKNOWN")?;
    Ok(())
}

fn tag_delete_and_set(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    for _ in 0..2 {
        world.delete("manifests/v1")?.expect(202)?;
        world.expect_absent("manifests/v1")?;
        world.send(&world.put("v1", &image.manifest))?.expect(201)?;
        world.expect_manifest("v1", &image.manifest)?;
    }
    Ok(())
}

fn manifest(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let image = world.prepare_image(algorithm, &Value::Null)?;
        let put = world.put(&image.manifest.digest, &image.manifest);
        world.send(&put.query("tag", "v1").query("tag", "v2"))?.expect(201)?;
        let path = format!("manifests/{}", image.manifest.digest);
        world.delete(&path)?.expect(202)?;
        for path in [path.as_str(), "manifests/v1", "manifests/v2"] {
            world.expect_absent(path)?;
        }
        ensure!(listed(world)? == json!([]), "its tags are still listed");
        Ok(())
    })
}

fn manifest_unknown(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let digest = algorithm.digest(&world.bytes(8));
        world
            .delete(&format!("manifests/{digest}"))?
            .refused(404, "MANIFEST_UNKNOWN")?;
        let ask = Ask::new("DELETE", format!("/v2/{}/manifests/{digest}", world.nowhere()));
        world.send(&ask)?.refused(404, "NAME_UNKNOWN")?;
        Ok(())
    })
}

fn manifest_malformed(world: &World<'_>) -> Result<()> {
    for digest in ["sha256:baddigeststring", "md5:d41d8cd98f00b204e9800998ecf8427e"] {
        world
            .delete(&format!("manifests/{digest}"))?
            .refused(400, "DIGEST_INVALID")?;
    }
    Ok(())
}

fn manifest_delete_and_push(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let image = world.prepare_image(algorithm, &Value::Null)?;
        for _ in 0..2 {
            world
                .send(&world.put(&image.manifest.digest, &image.manifest))?
                .expect(201)?;
            world.expect_manifest(&image.manifest.digest, &image.manifest)?;
            world
                .delete(&format!("manifests/{}", image.manifest.digest))?
                .expect(202)?;
            world.expect_absent(&format!("manifests/{}", image.manifest.digest))?;
            world.expect_blob(&image.layer)?;
        }
        Ok(())
    })
}

fn manifest_protected(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let image = world.prepare_image(algorithm, &Value::Null)?;
        let child = format!("manifests/{}", image.manifest.digest);
        world
            .send(&world.put(&image.manifest.digest, &image.manifest))?
            .expect(201)?;
        let index = Content::manifest(algorithm, &index(std::slice::from_ref(&image.manifest), &Value::Null));
        world.send(&world.put(&index.digest, &index))?.expect(201)?;
        let refused = world.delete(&child)?.refused(405, "UNSUPPORTED")?;
        ensure!(
            refused.text().contains(&index.digest),
            "the index is not named: {}",
            refused.text()
        );
        ensure!(
            !refused.need("allow")?.contains("DELETE"),
            "`Allow` says that it is possible"
        );
        world.expect_manifest(&image.manifest.digest, &image.manifest)?;
        world.delete(&format!("manifests/{}", index.digest))?.expect(202)?;
        world.delete(&child)?.expect(202)?;
        world.expect_absent(&child)
    })
}

/// One that is kept beside its row, and one that is not.
const SIZES: [usize; 3] = [0, 512, 200_000];

fn blob(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.keep_blob(algorithm, size)?;
            let path = format!("blobs/{}", blob.digest);
            world.delete(&path)?.expect(202)?;
            world.expect_absent(&path)?;
            world.delete(&path)?.refused(404, "BLOB_UNKNOWN")?;
        }
        Ok(())
    })
}

fn blob_unknown(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let digest = algorithm.digest(&world.bytes(8));
        world.delete(&format!("blobs/{digest}"))?.refused(404, "BLOB_UNKNOWN")?;
        let ask = Ask::new("DELETE", format!("/v2/{}/blobs/{digest}", world.nowhere()));
        world.send(&ask)?.refused(404, "NAME_UNKNOWN")?;
        Ok(())
    })
}

fn blob_malformed(world: &World<'_>) -> Result<()> {
    for digest in ["sha256:baddigeststring", "md5:d41d8cd98f00b204e9800998ecf8427e", "x"] {
        world
            .delete(&format!("blobs/{digest}"))?
            .refused(400, "DIGEST_INVALID")?;
    }
    Ok(())
}

fn blob_delete_and_push(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for size in SIZES {
            let blob = world.blob(algorithm, size);
            for _ in 0..2 {
                world.keep_blobs(&[&blob])?;
                world.expect_blob(&blob)?;
                world.delete(&format!("blobs/{}", blob.digest))?.expect(202)?;
                world.expect_absent(&format!("blobs/{}", blob.digest))?;
            }
        }
        Ok(())
    })
}

fn blob_protected(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let image = world.prepare_image(algorithm, &Value::Null)?;
        world
            .send(&world.put(&image.manifest.digest, &image.manifest))?
            .expect(201)?;
        for blob in [&image.config, &image.layer] {
            let refused = world.delete(&format!("blobs/{}", blob.digest))?;
            let refused = refused.refused(405, "UNSUPPORTED")?;
            ensure!(
                !refused.need("allow")?.contains("DELETE"),
                "`Allow` says that it is possible"
            );
            world.expect_blob(blob)?;
        }
        world
            .delete(&format!("manifests/{}", image.manifest.digest))?
            .expect(202)?;
        for blob in [&image.config, &image.layer] {
            world.delete(&format!("blobs/{}", blob.digest))?.expect(202)?;
            world.expect_absent(&format!("blobs/{}", blob.digest))?;
        }
        Ok(())
    })
}

fn blob_elsewhere(world: &World<'_>) -> Result<()> {
    let other = world.another("other", RepositoryOptions::default())?;
    for size in SIZES {
        let blob = world.keep_blob(Algorithm::Sha256, size)?;
        let path = format!("/v2/{other}/blobs/{}", blob.digest);
        world
            .send(&Ask::new("DELETE", path.as_str()))?
            .refused(404, "BLOB_UNKNOWN")?;
        world.keep_blob_in(&other, &blob)?;
        world.send(&Ask::new("DELETE", path))?.expect(202)?;
        world.expect_blob(&blob)?;
    }
    Ok(())
}
