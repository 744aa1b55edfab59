// SPDX-License-Identifier: Apache-2.0
//! "Pushing Manifests".

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::Level::{May, Must, Should};
use crate::content::{Algorithm, Content, OCI_INDEX, OCI_MANIFEST, image, index};
use crate::table::Check;
use crate::wire::{Answer, Ask, Framing};
use crate::world::{World, for_each_algorithm};

const SECTION: &str = "Pushing Manifests";

/// The largest manifest that a registry should take, in bytes.
const MANIFEST_BYTES: usize = 4 * 1024 * 1024;

pub(super) const CHECKS: &[Check] = &[
    Check::writing(
        "manifest-put-by-tag",
        SECTION,
        Must,
        "PUT under a tag answers 201 with a `Location` that the manifest can be pulled from, and its digest",
        by_tag,
    ),
    Check::writing(
        "manifest-put-by-digest",
        SECTION,
        Must,
        "PUT under a digest answers 201 with `Location` and that digest, for sha256 and for sha512",
        by_digest,
    ),
    Check::writing(
        "manifest-bytes",
        SECTION,
        Must,
        "a manifest is kept byte for byte, white space and unknown members included",
        byte_for_byte,
    ),
    Check::writing(
        "manifest-read-after-push",
        SECTION,
        Must,
        "a manifest is there for every reader as soon as its push is answered; a tag has moved by then",
        read_after_push,
    ),
    Check::writing(
        "manifest-push-twice",
        SECTION,
        Must,
        "a manifest that is there already can be pushed again",
        push_twice,
    ),
    Check::writing(
        "manifest-put-chunked",
        SECTION,
        Must,
        "a manifest whose length is not known before is taken (chunked transfer coding)",
        put_chunked,
    ),
    Check::writing(
        "manifest-content-type-parameters",
        SECTION,
        Should,
        "parameters of `Content-Type` are passed over",
        content_type_parameters,
    ),
    Check::writing(
        "manifest-without-media-type",
        SECTION,
        Should,
        "a manifest without `mediaType` is of the type that `Content-Type` says",
        without_media_type,
    ),
    Check::writing(
        "manifest-other-media-type",
        SECTION,
        Must,
        "a manifest whose `mediaType` is not its `Content-Type` is 400",
        other_media_type,
    ),
    Check::writing(
        "manifest-invalid",
        SECTION,
        Must,
        "what is no manifest is 400, `MANIFEST_INVALID`, and moves no tag",
        invalid,
    ),
    Check::writing(
        "manifest-put-bad-digest",
        SECTION,
        Must,
        "PUT under the digest of other bytes is 400, and nothing is stored",
        bad_digest,
    ),
    Check::writing(
        "manifest-put-malformed-reference",
        SECTION,
        Must,
        "PUT under a malformed digest or tag is 400",
        malformed_reference,
    ),
    Check::writing(
        "manifest-unknown-blobs",
        SECTION,
        Must,
        "a manifest that is refused because of blobs or manifests that are not there is `MANIFEST_BLOB_UNKNOWN`",
        unknown_blobs,
    ),
    Check::writing(
        "manifest-put-unknown-repository",
        SECTION,
        Must,
        "a push to a repository that does not exist is 404",
        unknown_repository,
    ),
    Check::writing("manifest-large", SECTION, Should, "a manifest of 4 MiB is taken", large),
    Check::writing(
        "manifest-too-large",
        SECTION,
        Should,
        "a manifest that is too large is 413",
        too_large,
    ),
    Check::writing(
        "manifest-sha512-all-the-way",
        SECTION,
        Must,
        "an index, its images, their blobs and a tag can all be of sha512",
        sha512_all_the_way,
    ),
    Check::writing(
        "tag-parameters",
        SECTION,
        May,
        "`tag` parameters of a push by digest tag the manifest, ten and more at once, and each is confirmed by `OCI-Tag`; for sha256 and for sha512",
        tag_parameters,
    ),
    Check::writing(
        "tag-parameters-none-or-all",
        SECTION,
        Must,
        "a malformed `tag` parameter is 400, and no tag of that push is set",
        tag_parameters_none_or_all,
    ),
    Check::writing(
        "tag-parameters-too-many",
        SECTION,
        May,
        "more `tag` parameters than the registry takes are 414",
        tag_parameters_too_many,
    ),
];

fn expect_created(world: &World<'_>, answer: Answer, manifest: &Content) -> Result<()> {
    let answer = answer.expect(201)?.with("docker-content-digest", &manifest.digest)?;
    world
        .send(&Ask::new("GET", answer.location()?))?
        .expect(200)?
        .with("content-type", &manifest.media_type)?
        .with_body(&manifest.bytes)?;
    world.expect_manifest(&manifest.digest, manifest)
}

fn by_tag(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    expect_created(world, world.send(&world.put("v1", &image.manifest))?, &image.manifest)?;
    world.expect_manifest("v1", &image.manifest)
}

fn by_digest(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let image = world.prepare_image(algorithm, &Value::Null)?;
        let put = world.put(&image.manifest.digest, &image.manifest);
        expect_created(world, world.send(&put)?, &image.manifest)
    })
}

fn byte_for_byte(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let image = world.prepare_image(algorithm, &json!({ "x-unknown": [1.50, "\u{e9}"] }))?;
        let text = String::from_utf8(image.manifest.bytes)?;
        let odd = text.replacen('{', "{\r\n\t ", 1).replace(",\"", " ,\n\"") + "\n \n";
        let odd = Content::new(algorithm, OCI_MANIFEST, odd.into_bytes());
        expect_created(world, world.send(&world.put(&odd.digest, &odd))?, &odd)
    })
}

fn read_after_push(world: &World<'_>) -> Result<()> {
    world.expect_absent("manifests/v1")?;
    for _ in 0..3 {
        let image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
        world.expect_absent(&format!("manifests/{}", image.manifest.digest))?;
        world.send(&world.put("v1", &image.manifest))?.expect(201)?;
        let answer = world.head("manifests/v1")?.expect(200)?;
        answer.with("docker-content-digest", &image.manifest.digest)?;
        world.expect_manifest("v1", &image.manifest)?;
        let tags = world.get("tags/list")?.expect(200)?.json()?;
        ensure!(
            tags.get("tags") == Some(&json!(["v1"])),
            "the tag is not listed: {tags}"
        );
    }
    Ok(())
}

fn push_twice(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    for reference in ["v1", "v1", &image.manifest.digest, "v2", "v1"] {
        expect_created(
            world,
            world.send(&world.put(reference, &image.manifest))?,
            &image.manifest,
        )?;
    }
    Ok(())
}

fn put_chunked(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    let put = world.put("v1", &image.manifest).framed(Framing::Chunked);
    expect_created(world, world.send(&put)?, &image.manifest)
}

fn content_type_parameters(world: &World<'_>) -> Result<()> {
    let mut image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    image.manifest.media_type = format!("{OCI_MANIFEST}; charset=utf-8");
    world.send(&world.put("v1", &image.manifest))?.expect(201)?;
    let answer = world.get("manifests/v1")?.expect(200)?;
    answer
        .with("content-type", OCI_MANIFEST)?
        .with_body(&image.manifest.bytes)?;
    Ok(())
}

fn without_media_type(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    let mut document: Value = serde_json::from_slice(&image.manifest.bytes)?;
    document.as_object_mut().context("no object")?.remove("mediaType");
    let bare = Content::new(Algorithm::Sha256, OCI_MANIFEST, document.to_string().into_bytes());
    expect_created(world, world.send(&world.put("v1", &bare))?, &bare)
}

fn other_media_type(world: &World<'_>) -> Result<()> {
    let mut image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    OCI_INDEX.clone_into(&mut image.manifest.media_type);
    world
        .send(&world.put("v1", &image.manifest))?
        .refused(400, "MANIFEST_INVALID")?;
    world.expect_absent("manifests/v1")
}

fn invalid(world: &World<'_>) -> Result<()> {
    let image = world.keep_image("v1")?;
    for (media_type, text) in [
        (OCI_MANIFEST, ""),
        (OCI_MANIFEST, "{"),
        (OCI_MANIFEST, "[]"),
        (OCI_MANIFEST, "{\"schemaVersion\":2}"),
        (OCI_INDEX, "{\"schemaVersion\":2}"),
        ("text/plain", "{\"schemaVersion\":2}"),
    ] {
        let wrong = Content::new(Algorithm::Sha256, media_type, text.as_bytes().to_vec());
        world.send(&world.put("v1", &wrong))?.refused(400, "MANIFEST_INVALID")?;
    }
    world.expect_manifest("v1", &image.manifest)
}

fn bad_digest(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let mut image = world.prepare_image(algorithm, &Value::Null)?;
        image.manifest.bytes.extend(b"  ");
        let put = world.put(&image.manifest.digest, &image.manifest);
        world.send(&put)?.expect(400)?;
        world.expect_absent(&format!("manifests/{}", image.manifest.digest))?;
        let actual = algorithm.digest(&image.manifest.bytes);
        world.expect_absent(&format!("manifests/{actual}"))
    })
}

fn malformed_reference(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    let md5 = "md5:d41d8cd98f00b204e9800998ecf8427e";
    for reference in [
        "sha256:baddigeststring",
        "sha256:",
        md5,
        ".v1",
        "-v1",
        "v%201",
        &"v".repeat(129),
    ] {
        world
            .send(&world.put(reference, &image.manifest))?
            .expect(400)
            .context(reference.to_owned())?;
    }
    let tags = world.get("tags/list")?.expect(200)?.json()?;
    ensure!(tags.get("tags") == Some(&json!([])), "a tag was set: {tags}");
    Ok(())
}

fn unknown_blobs(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let (config, layer) = (world.config(algorithm), world.layer(algorithm));
        let without_config = image(&config, &[], &Value::Null);
        world.keep_blobs(&[&config])?;
        let without_layer = image(&config, std::slice::from_ref(&layer), &Value::Null);
        let child = Content::manifest(algorithm, &image(&config, &[], &Value::Null));
        let without_child = index(&[child], &Value::Null);
        let other = world.config(algorithm);
        for document in [image(&other, &[], &Value::Null), without_layer, without_child] {
            let manifest = Content::manifest(algorithm, &document);
            let answer = world.send(&world.put(&manifest.digest, &manifest))?;
            let answer = answer.expect_one_of(&[400, 404])?;
            ensure!(
                answer.code() == "MANIFEST_BLOB_UNKNOWN",
                "another code: {}",
                answer.text()
            );
            world.expect_absent(&format!("manifests/{}", manifest.digest))?;
        }
        let now = Content::manifest(algorithm, &without_config);
        expect_created(world, world.send(&world.put(&now.digest, &now))?, &now)
    })
}

fn unknown_repository(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    for reference in ["v1", &image.manifest.digest] {
        let mut put = world.put(reference, &image.manifest);
        put.target = format!("/v2/{}/manifests/{reference}", world.nowhere());
        world.send(&put)?.refused(404, "NAME_UNKNOWN")?;
    }
    Ok(())
}

/// An image whose manifest has exactly so many bytes, of annotations nearly all.
fn image_of(world: &World<'_>, bytes: usize) -> Result<Content> {
    let mut annotations = serde_json::Map::new();
    let count = bytes / 10_100;
    for nth in 0..count {
        annotations.insert(format!("large-annotation-{nth}"), "A".repeat(10_000).into());
    }
    let image = world.prepare_image(Algorithm::Sha256, &json!({ "annotations": annotations }))?;
    let mut manifest = image.manifest.bytes;
    ensure!(manifest.len() <= bytes, "the test is wrong: {}", manifest.len());
    manifest.resize(bytes, b' ');
    Ok(Content::new(Algorithm::Sha256, OCI_MANIFEST, manifest))
}

fn large(world: &World<'_>) -> Result<()> {
    for bytes in [3_950_000, MANIFEST_BYTES] {
        let manifest = image_of(world, bytes)?;
        expect_created(world, world.send(&world.put("v1", &manifest))?, &manifest)?;
    }
    Ok(())
}

fn too_large(world: &World<'_>) -> Result<()> {
    let manifest = image_of(world, MANIFEST_BYTES + 1)?;
    world.send(&world.put("v1", &manifest))?.expect(413)?;
    let chunked = world.put("v1", &manifest).framed(Framing::Chunked);
    world.send(&chunked)?.expect(413)?;
    world.expect_absent("manifests/v1")
}

fn sha512_all_the_way(world: &World<'_>) -> Result<()> {
    let images = [
        world.prepare_image(Algorithm::Sha512, &Value::Null)?,
        world.prepare_image(Algorithm::Sha512, &Value::Null)?,
    ];
    for image in &images {
        let put = world.put(&image.manifest.digest, &image.manifest);
        expect_created(world, world.send(&put)?, &image.manifest)?;
        world.expect_blob(&image.config)?;
        world.expect_blob(&image.layer)?;
    }
    let index = index(&images.map(|image| image.manifest), &Value::Null);
    let index = Content::manifest(Algorithm::Sha512, &index);
    let put = world.put(&index.digest, &index).query("tag", "v1");
    expect_created(world, world.send(&put)?, &index)?;
    world.expect_manifest("v1", &index)
}

fn tag_parameters(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let image = world.prepare_image(algorithm, &Value::Null)?;
        for count in [1, 2, 15] {
            let tags: Vec<String> = (0..count)
                .map(|nth| format!("{}-{count}.{nth}", algorithm.name()))
                .collect();
            let put = world.put(&image.manifest.digest, &image.manifest);
            let put = tags.iter().fold(put, |put, tag| put.query("tag", tag));
            let answer = world.send(&put)?;
            let confirmed: Vec<&str> = answer
                .all("oci-tag")
                .flat_map(|tags| tags.split(','))
                .map(str::trim)
                .collect();
            for tag in &tags {
                ensure!(
                    confirmed.contains(&tag.as_str()),
                    "`{tag}` is not confirmed: {confirmed:?}"
                );
            }
            ensure!(
                confirmed.len() == count,
                "more is confirmed than was asked for: {confirmed:?}"
            );
            expect_created(world, answer, &image.manifest)?;
            for tag in &tags {
                world.expect_manifest(tag, &image.manifest)?;
            }
        }
        Ok(())
    })
}

fn tag_parameters_none_or_all(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    let put = world.put(&image.manifest.digest, &image.manifest);
    let put = put.query("tag", "good").query("tag", "-bad");
    world.send(&put)?.expect(400)?;
    world.expect_absent("manifests/good")?;
    world.expect_absent(&format!("manifests/{}", image.manifest.digest))
}

fn tag_parameters_too_many(world: &World<'_>) -> Result<()> {
    let image = world.prepare_image(Algorithm::Sha256, &Value::Null)?;
    let put = world.put(&image.manifest.digest, &image.manifest);
    let put = (0..200).fold(put, |put, nth| put.query("tag", &format!("t{nth}")));
    world.send(&put)?.expect(414)?;
    world.expect_absent("manifests/t0")
}
