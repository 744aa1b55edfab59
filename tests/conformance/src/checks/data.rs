// SPDX-License-Identifier: Apache-2.0
//! Kinds of content: each is pushed, listed, asked for, pulled and deleted.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Level::{May, Must};
use crate::content::{
    ARTIFACT, Algorithm, Content, DOCKER_CONFIG, DOCKER_LAYER, DOCKER_LIST, DOCKER_MANIFEST, OCI_EMPTY, OCI_LAYER,
    OCI_LAYER_ELSEWHERE, OCI_LAYER_GZIP, OCTETS, image, index, merged,
};
use crate::table::Check;
use crate::target::RepositoryOptions;
use crate::wire::Ask;
use crate::world::{World, for_each_algorithm};

const SECTION: &str = "Kinds of content";

pub(super) const CHECKS: &[Check] = &[
    Check::writing(
        "data-image",
        SECTION,
        Must,
        "an image with compressed layers",
        plain_image,
    ),
    Check::writing(
        "data-image-uncompressed",
        SECTION,
        Must,
        "an image with layers that are not compressed",
        uncompressed,
    ),
    Check::writing(
        "data-index",
        SECTION,
        Must,
        "an index over images of two platforms",
        plain_index,
    ),
    Check::writing(
        "data-nested-index",
        SECTION,
        Must,
        "an index over indexes",
        nested_index,
    ),
    Check::writing("data-empty-index", SECTION, Must, "an index over nothing", empty_index),
    Check::writing(
        "data-artifact",
        SECTION,
        Must,
        "an artifact: an image manifest with `artifactType` and the empty configuration",
        artifact,
    ),
    Check::writing(
        "data-artifact-index",
        SECTION,
        Must,
        "an index over artifacts, with `artifactType`",
        artifact_index,
    ),
    Check::writing(
        "data-artifact-without-layers",
        SECTION,
        Must,
        "an artifact whose only layer is the empty document",
        artifact_without_layers,
    ),
    Check::writing("data-no-layers", SECTION, Must, "an image with no layers", no_layers),
    Check::writing(
        "data-custom-config",
        SECTION,
        Must,
        "an image whose configuration is of a type that nobody knows",
        custom_config,
    ),
    Check::writing(
        "data-field",
        SECTION,
        Must,
        "descriptors that carry their content in `data`",
        data_field,
    ),
    Check::writing(
        "data-custom-fields",
        SECTION,
        Must,
        "an index, images and configurations with members that the image specification does not know",
        custom_fields,
    ),
    Check::writing(
        "data-non-distributable",
        SECTION,
        Must,
        "an image with layers to be fetched elsewhere, which are not pushed",
        non_distributable,
    ),
    Check::writing("data-docker", SECTION, May, "a Docker schema 2 image and list", docker),
    Check::writing(
        "data-sparse-index",
        SECTION,
        May,
        "an index over an image that is not there, in a repository that allows it, and nowhere else; an image without its blobs nowhere",
        sparse_index,
    ),
    Check::writing(
        "data-shared-blobs",
        SECTION,
        Must,
        "two images that share their blobs",
        shared_blobs,
    ),
];

/// Pushes blobs and manifests, the last one under a tag as well, and lets them go through all there is to do with them.
fn go_through(world: &World<'_>, blobs: &[Content], manifests: &[Content]) -> Result<()> {
    for blob in blobs {
        let put = world.ask("POST", "blobs/uploads/").query("digest", &blob.digest);
        world.send(&put.body(blob.bytes.clone()))?.expect(201)?;
    }
    let top = manifests.last().context("the test is wrong")?;
    for manifest in manifests {
        let answer = world.send(&world.put(&manifest.digest, manifest))?.expect(201)?;
        answer.with("docker-content-digest", &manifest.digest)?;
    }
    let tag = "data";
    let is_tagged_by_name = top.digest.starts_with("sha256:");
    let put = if is_tagged_by_name {
        world.put(tag, top)
    } else {
        world.put(&top.digest, top).query("tag", tag)
    };
    world.send(&put)?.expect(201)?;
    let tags = world.get("tags/list")?.expect(200)?.json()?;
    ensure!(tags.get("tags") == Some(&json!([tag])), "the tag is not listed: {tags}");

    world.expect_manifest(tag, top)?;
    for manifest in manifests {
        let path = format!("manifests/{}", manifest.digest);
        let answer = world.head(&path)?.expect(200)?;
        answer.with("content-length", &manifest.bytes.len().to_string())?;
        world.expect_manifest(&manifest.digest, manifest)?;
    }
    for blob in blobs {
        world.head(&format!("blobs/{}", blob.digest))?.expect(200)?;
        world.expect_blob(blob)?;
    }

    world.delete(&format!("manifests/{tag}"))?.expect(202)?;
    world.expect_absent(&format!("manifests/{tag}"))?;
    for manifest in manifests.iter().rev() {
        let path = format!("manifests/{}", manifest.digest);
        // The last tag may have taken its image along.
        world.delete(&path)?.expect_one_of(&[202, 404])?;
        world.expect_absent(&path)?;
    }
    for blob in blobs {
        let path = format!("blobs/{}", blob.digest);
        world.delete(&path)?.expect(202)?;
        world.expect_absent(&path)?;
    }
    Ok(())
}

/// The blobs and the manifest of an image with two layers.
fn parts(world: &World<'_>, algorithm: Algorithm, layer: &str, more: &Value) -> (Vec<Content>, Content) {
    let config = world.config(algorithm);
    let layers = [0, 1].map(|_| Content::new(algorithm, layer, world.bytes(700)));
    let manifest = Content::manifest(algorithm, &image(&config, &layers, more));
    ([vec![config], layers.to_vec()].concat(), manifest)
}

/// The same for an artifact.
fn artifact_parts(world: &World<'_>, algorithm: Algorithm, layer: &Content) -> (Vec<Content>, Content) {
    let config = Content::new(algorithm, OCI_EMPTY, b"{}".to_vec());
    let unique = json!({ "org.example.serial": algorithm.digest(&world.bytes(8)) });
    let more = json!({ "artifactType": ARTIFACT, "annotations": unique });
    let manifest = Content::manifest(algorithm, &image(&config, std::slice::from_ref(layer), &more));
    let mut blobs = vec![config];
    if layer.digest != blobs.first().map(|it| it.digest.clone()).unwrap_or_default() {
        blobs.push(layer.clone());
    }
    (blobs, manifest)
}

/// The same for an index over two images.
fn index_parts(world: &World<'_>, algorithm: Algorithm, more: &Value) -> (Vec<Content>, Vec<Content>) {
    let (mut blobs, first) = parts(world, algorithm, OCI_LAYER_GZIP, more);
    let (others, second) = parts(world, algorithm, OCI_LAYER_GZIP, more);
    blobs.extend(others);
    let index = Content::manifest(algorithm, &index(&[first.clone(), second.clone()], more));
    (blobs, vec![first, second, index])
}

fn plain_image(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let (blobs, manifest) = parts(world, algorithm, OCI_LAYER_GZIP, &Value::Null);
        go_through(world, &blobs, &[manifest])
    })
}

fn uncompressed(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let (blobs, manifest) = parts(world, algorithm, OCI_LAYER, &Value::Null);
        go_through(world, &blobs, &[manifest])
    })
}

fn plain_index(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let (blobs, manifests) = index_parts(world, algorithm, &Value::Null);
        go_through(world, &blobs, &manifests)
    })
}

fn nested_index(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let (mut blobs, mut manifests) = index_parts(world, algorithm, &Value::Null);
        let (other_blobs, others) = index_parts(world, algorithm, &Value::Null);
        let tops: Vec<Content> = manifests.last().into_iter().chain(others.last()).cloned().collect();
        blobs.extend(other_blobs);
        manifests.extend(others);
        manifests.push(Content::manifest(algorithm, &index(&tops, &Value::Null)));
        go_through(world, &blobs, &manifests)
    })
}

fn empty_index(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let empty = Content::manifest(algorithm, &index(&[], &Value::Null));
        go_through(world, &[], &[empty])
    })
}

fn artifact(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let layer = Content::new(algorithm, ARTIFACT, world.bytes(700));
        let (blobs, manifest) = artifact_parts(world, algorithm, &layer);
        go_through(world, &blobs, &[manifest])
    })
}

fn artifact_index(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let layer = Content::new(algorithm, ARTIFACT, world.bytes(700));
        let (blobs, first) = artifact_parts(world, algorithm, &layer);
        let (_, second) = artifact_parts(world, algorithm, &layer);
        let index = index(&[first.clone(), second.clone()], &json!({ "artifactType": ARTIFACT }));
        go_through(world, &blobs, &[first, second, Content::manifest(algorithm, &index)])
    })
}

fn artifact_without_layers(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let layer = Content::new(algorithm, OCI_EMPTY, b"{}".to_vec());
        let (blobs, manifest) = artifact_parts(world, algorithm, &layer);
        go_through(world, &blobs, &[manifest])
    })
}

fn no_layers(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let config = world.config(algorithm);
        let manifest = Content::manifest(algorithm, &image(&config, &[], &Value::Null));
        go_through(world, &[config], &[manifest])
    })
}

fn custom_config(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let config = Content::new(algorithm, ARTIFACT, world.bytes(100));
        let layer = Content::new(algorithm, OCTETS, world.bytes(700));
        let manifest = image(&config, std::slice::from_ref(&layer), &Value::Null);
        go_through(world, &[config, layer], &[Content::manifest(algorithm, &manifest)])
    })
}

fn data_field(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let config = Content::new(algorithm, ARTIFACT, b"conform".to_vec());
        let with_data = merged(&config.descriptor(), &json!({ "data": "Y29uZm9ybQ==" }));
        let more = json!({ "config": with_data.clone(), "layers": [with_data] });
        let manifest = Content::manifest(algorithm, &image(&config, &[], &more));
        go_through(world, &[config], &[manifest])
    })
}

fn custom_fields(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let more = json!({ "org.example.unknown": { "a": [1, null, "x"] }, "size": "large", "urls": 7 });
        let (blobs, manifests) = index_parts(world, algorithm, &more);
        go_through(world, &blobs, &manifests)
    })
}

fn non_distributable(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let config = world.config(algorithm);
        let layer = world.layer(algorithm);
        let elsewhere = |media_type: &str| {
            let absent = Content::new(algorithm, media_type, world.bytes(50));
            let urls = json!({ "urls": [format!("https://store.example.com/{}", absent.digest)], "size": 123_456 });
            merged(&absent.descriptor(), &urls)
        };
        let gzip = format!("{OCI_LAYER_ELSEWHERE}+gzip");
        let layers = json!([elsewhere(&gzip), elsewhere(OCI_LAYER_ELSEWHERE), layer.descriptor()]);
        let manifest = Content::manifest(algorithm, &image(&config, &[], &json!({ "layers": layers })));
        go_through(world, &[config, layer], &[manifest])
    })
}

fn docker(world: &World<'_>) -> Result<()> {
    let algorithm = Algorithm::Sha256;
    let config = Content::new(algorithm, DOCKER_CONFIG, world.config(algorithm).bytes);
    let layer = Content::new(algorithm, DOCKER_LAYER, world.bytes(700));
    let docker = image(
        &config,
        std::slice::from_ref(&layer),
        &json!({ "mediaType": DOCKER_MANIFEST }),
    );
    let manifest = Content::manifest(algorithm, &docker);
    go_through(world, &[config.clone(), layer.clone()], std::slice::from_ref(&manifest))?;
    let list = index(std::slice::from_ref(&manifest), &json!({ "mediaType": DOCKER_LIST }));
    let list = Content::manifest(algorithm, &list);
    go_through(world, &[config, layer], &[manifest, list])
}

fn sparse_index(world: &World<'_>) -> Result<()> {
    let options = RepositoryOptions {
        allows_sparse_indexes: true,
    };
    let sparse = world.another("sparse", options)?;
    for_each_algorithm(|algorithm| {
        let (blobs, there) = parts(world, algorithm, OCI_LAYER_GZIP, &Value::Null);
        let (_, absent) = parts(world, algorithm, OCI_LAYER_GZIP, &Value::Null);
        let index = Content::manifest(algorithm, &index(&[there.clone(), absent.clone()], &Value::Null));
        for blob in &blobs {
            world.keep_blob_in(&sparse, blob)?;
        }
        let at = |reference: &str| format!("/v2/{sparse}/manifests/{reference}");
        for manifest in [&there, &index] {
            let mut put = world.put(&manifest.digest, manifest);
            put.target = at(&manifest.digest);
            world.send(&put)?.expect(201)?;
        }
        let answer = world.send(&Ask::new("GET", at(&index.digest)))?.expect(200)?;
        answer.with_body(&index.bytes)?;
        world.send(&Ask::new("GET", at(&absent.digest)))?.expect(404)?;
        world.send(&Ask::new("DELETE", at(&index.digest)))?.expect(202)?;
        let mut put = world.put(&absent.digest, &absent);
        put.target = at(&absent.digest);
        world.send(&put)?.expect_one_of(&[400, 404])?;

        world.keep_blobs(&blobs.iter().collect::<Vec<_>>())?;
        world.send(&world.put(&there.digest, &there))?.expect(201)?;
        let refused = world.send(&world.put(&index.digest, &index))?;
        refused.expect_one_of(&[400, 404])?;
        Ok(())
    })
}

fn shared_blobs(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let first = world.prepare_image(algorithm, &Value::Null)?;
        let second = image(
            &first.config,
            std::slice::from_ref(&first.layer),
            &json!({ "annotations": { "a": "b" } }),
        );
        let second = Content::manifest(algorithm, &second);
        world
            .send(&world.put(&first.manifest.digest, &first.manifest))?
            .expect(201)?;
        world.send(&world.put(&second.digest, &second))?.expect(201)?;
        world
            .delete(&format!("manifests/{}", first.manifest.digest))?
            .expect(202)?;
        world.expect_manifest(&second.digest, &second)?;
        world.expect_blob(&first.layer)?;
        world.expect_blob(&first.config)
    })
}
