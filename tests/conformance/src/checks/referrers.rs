// SPDX-License-Identifier: Apache-2.0
//! "Pushing Manifests with Subject" and "Listing Referrers".

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::tags::next;
use crate::Level::{May, Must, Should};
use crate::content::{ARTIFACT, Algorithm, Content, OCI_EMPTY, OCI_INDEX, OCI_MANIFEST, OTHER_ARTIFACT, image, index};
use crate::table::Check;
use crate::target::RepositoryOptions;
use crate::wire::{Answer, Ask};
use crate::world::{World, for_each_algorithm};

const PUSHING: &str = "Pushing Manifests with Subject";
const LISTING: &str = "Listing Referrers";

pub(super) const CHECKS: &[Check] = &[
    Check::writing(
        "manifest-put-subject",
        PUSHING,
        Must,
        "a manifest with `subject`, image or index, is confirmed by `OCI-Subject` with the subject's digest; one without is not",
        put_subject,
    ),
    Check::writing(
        "manifest-missing-subject",
        PUSHING,
        Must,
        "a manifest is taken before its subject is there, and is its referrer when it comes",
        missing_subject,
    ),
    Check::reading(
        "referrers-none",
        LISTING,
        Must,
        "a subject without referrers, there or not, has an empty index: 200, never 404",
        none,
    ),
    Check::reading(
        "referrers-never-404",
        LISTING,
        Must,
        "not even in a repository that does not exist: clients take 404 for a registry without this API",
        never_404,
    ),
    Check::reading(
        "referrers-list",
        LISTING,
        Must,
        "the referrers are an index, each with media type, digest, size, `artifactType` and all annotations",
        list,
    ),
    Check::reading(
        "referrers-artifact-type",
        LISTING,
        Must,
        "without `artifactType`, an image has that of its configuration, and an index has none",
        artifact_type,
    ),
    Check::reading(
        "referrers-filter",
        LISTING,
        Should,
        "`artifactType` lists only those of that type, and `OCI-Filters-Applied` says so, also if there are none",
        filter,
    ),
    Check::reading(
        "referrers-link",
        LISTING,
        Must,
        "a list that is too long for one answer goes on where `Link` leads, each referrer once, with the same filter",
        link,
    ),
    Check::reading(
        "referrers-malformed-digest",
        LISTING,
        Must,
        "a malformed digest is 400",
        malformed_digest,
    ),
    Check::reading(
        "referrers-of-this-repository",
        LISTING,
        Must,
        "manifests of other repositories are not listed",
        of_this_repository,
    ),
    Check::writing(
        "referrers-after-delete",
        LISTING,
        Must,
        "a referrer that was deleted is not listed any more; one that stays is",
        after_delete,
    ),
    Check::writing(
        "referrers-after-push",
        LISTING,
        May,
        "a referrer is listed as soon as its push is answered",
        after_push,
    ),
];

/// A referrer as it should be listed.
fn listed(manifest: &Content, artifact_type: Option<&str>, annotations: &Value) -> Value {
    let mut descriptor = manifest.descriptor();
    if let Some(members) = descriptor.as_object_mut() {
        members.extend(artifact_type.map(|text| ("artifactType".to_owned(), text.into())));
        if annotations.as_object().is_some_and(|it| !it.is_empty()) {
            members.insert("annotations".to_owned(), annotations.clone());
        }
    }
    descriptor
}

fn sorted(mut descriptors: Vec<Value>) -> Vec<Value> {
    descriptors.sort_by_key(|it| it.get("digest").map(Value::to_string));
    descriptors
}

fn descriptors(answer: &Answer) -> Result<Vec<Value>> {
    let body = answer.json()?;
    let is_index = body.get("schemaVersion") == Some(&json!(2)) && body.get("mediaType") == Some(&json!(OCI_INDEX));
    ensure!(is_index, "not an index: {}", answer.text());
    let manifests = body.get("manifests").and_then(Value::as_array);
    manifests.cloned().context("an index without `manifests`")
}

/// The referrers of a subject, by digest.
fn referrers(world: &World<'_>, subject: &str, query: &str) -> Result<(Answer, Vec<Value>)> {
    let answer = world.get(&format!("referrers/{subject}{query}"))?.expect(200)?;
    let answer = answer.with("content-type", OCI_INDEX)?;
    let found = sorted(descriptors(&answer)?);
    Ok((answer, found))
}

fn expect_referrers(world: &World<'_>, subject: &str, query: &str, wanted: &[Value]) -> Result<Answer> {
    let (answer, found) = referrers(world, subject, query)?;
    let wanted = sorted(wanted.to_vec());
    ensure!(found == wanted, "found {}, not {}", json!(found), json!(wanted));
    Ok(answer)
}

/// An artifact that refers to a subject; its blob is put into the repository by the keeper.
fn artifact(world: &World<'_>, algorithm: Algorithm, subject: &Content, kind: &str) -> Result<(Content, Value)> {
    let config = Content::new(algorithm, OCI_EMPTY, b"{}".to_vec());
    world.keep_blobs(&[&config])?;
    let annotations =
        json!({ "org.example.serial": algorithm.digest(&world.bytes(8)), "org.example.text": "\u{e9}\"\\" });
    let more = json!({ "artifactType": kind, "subject": subject.descriptor(), "annotations": annotations });
    let manifest = image(&config, std::slice::from_ref(&config), &more);
    let manifest = Content::manifest(algorithm, &manifest);
    let listed = listed(&manifest, Some(kind), &annotations);
    Ok((manifest, listed))
}

/// An image in the repository, to refer to.
fn subject(world: &World<'_>, algorithm: Algorithm) -> Result<Content> {
    let subject = world.prepare_image(algorithm, &Value::Null)?.manifest;
    world.keep_manifest(&subject.digest, &subject)?;
    Ok(subject)
}

/// A manifest that is in no repository.
fn absent(world: &World<'_>, algorithm: Algorithm) -> Content {
    Content::new(algorithm, OCI_MANIFEST, world.bytes(123))
}

fn put_subject(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for subject in [subject(world, algorithm)?, absent(world, algorithm)] {
            let (image, _) = artifact(world, algorithm, &subject, ARTIFACT)?;
            let index = index(
                &[],
                &json!({ "subject": subject.descriptor(), "artifactType": ARTIFACT }),
            );
            for manifest in [image, Content::manifest(algorithm, &index)] {
                let answer = world.send(&world.put(&manifest.digest, &manifest))?.expect(201)?;
                answer.with("oci-subject", &subject.digest)?;
                let answer = world.send(&world.put(algorithm.name(), &manifest))?.expect(201)?;
                answer.with("oci-subject", &subject.digest)?;
            }
        }
        let plain = world.prepare_image(algorithm, &Value::Null)?.manifest;
        let answer = world.send(&world.put(&plain.digest, &plain))?.expect(201)?;
        ensure!(answer.header("oci-subject").is_none(), "there is no subject");
        Ok(())
    })
}

fn missing_subject(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let subject = world.prepare_image(algorithm, &Value::Null)?.manifest;
        let (manifest, listed) = artifact(world, algorithm, &subject, ARTIFACT)?;
        world.send(&world.put(&manifest.digest, &manifest))?.expect(201)?;
        world.expect_absent(&format!("manifests/{}", subject.digest))?;
        expect_referrers(world, &subject.digest, "", std::slice::from_ref(&listed))?;
        world.send(&world.put(&subject.digest, &subject))?.expect(201)?;
        expect_referrers(world, &subject.digest, "", &[listed])?;
        Ok(())
    })
}

fn none(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        for subject in [subject(world, algorithm)?, absent(world, algorithm)] {
            let answer = expect_referrers(world, &subject.digest, "", &[])?;
            ensure!(answer.header("link").is_none(), "an empty list has a `Link`");
        }
        Ok(())
    })
}

fn never_404(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let digest = absent(world, algorithm).digest;
        let ask = Ask::new("GET", format!("/v2/{}/referrers/{digest}", world.nowhere()));
        let found = descriptors(&world.send(&ask)?.expect(200)?)?;
        ensure!(found.is_empty(), "referrers out of nowhere: {found:?}");
        Ok(())
    })
}

fn list(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let subject = subject(world, algorithm)?;
        let mut wanted = Vec::new();
        for kind in [ARTIFACT, OTHER_ARTIFACT] {
            let (manifest, listed) = artifact(world, algorithm, &subject, kind)?;
            world.keep_manifest(&manifest.digest, &manifest)?;
            wanted.push(listed);
        }
        let annotations = json!({ "a": "b" });
        let more = json!({ "subject": subject.descriptor(), "artifactType": ARTIFACT, "annotations": annotations });
        let index = Content::manifest(algorithm, &index(std::slice::from_ref(&subject), &more));
        world.keep_manifest("index", &index)?;
        // Under a tag, a manifest is of sha256.
        let index = Content::new(Algorithm::Sha256, OCI_INDEX, index.bytes);
        wanted.push(listed(&index, Some(ARTIFACT), &annotations));
        expect_referrers(world, &subject.digest, "", &wanted)?;
        Ok(())
    })
}

fn artifact_type(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let subject = subject(world, algorithm)?;
        let more = json!({ "subject": subject.descriptor() });
        let image = world.prepare_image(algorithm, &more)?;
        let index = Content::manifest(algorithm, &index(&[], &more));
        world.keep_manifest(&image.manifest.digest, &image.manifest)?;
        world.keep_manifest(&index.digest, &index)?;
        let wanted = [
            listed(&image.manifest, Some(&image.config.media_type), &Value::Null),
            listed(&index, None, &Value::Null),
        ];
        expect_referrers(world, &subject.digest, "", &wanted)?;
        let query = format!("?artifactType={}", e2e::http::percent_encode(&image.config.media_type));
        expect_referrers(world, &subject.digest, &query, wanted.get(..1).unwrap_or_default())?;
        Ok(())
    })
}

fn filter(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let subject = subject(world, algorithm)?;
        let mut of_kind = Vec::new();
        for kind in [ARTIFACT, OTHER_ARTIFACT, ARTIFACT] {
            let (manifest, listed) = artifact(world, algorithm, &subject, kind)?;
            world.keep_manifest(&manifest.digest, &manifest)?;
            if kind == ARTIFACT {
                of_kind.push(listed);
            }
        }
        let answer = expect_referrers(world, &subject.digest, &format!("?artifactType={ARTIFACT}"), &of_kind)?;
        answer.with("oci-filters-applied", "artifactType")?;
        let nothing = "?artifactType=application/vnd.example.nothing";
        let answer = expect_referrers(world, &subject.digest, nothing, &[])?;
        answer.with("oci-filters-applied", "artifactType")?;
        let (answer, all) = referrers(world, &subject.digest, "")?;
        ensure!(
            answer.header("oci-filters-applied").is_none(),
            "no filter was asked for"
        );
        ensure!(all.len() == 3, "there are three referrers");
        Ok(())
    })
}

fn link(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let subject = subject(world, algorithm)?;
        let (mut all, mut of_kind) = (Vec::new(), Vec::new());
        for nth in 0..7 {
            let kind = if nth % 2 == 0 { ARTIFACT } else { OTHER_ARTIFACT };
            let (manifest, listed) = artifact(world, algorithm, &subject, kind)?;
            world.keep_manifest(&manifest.digest, &manifest)?;
            if kind == ARTIFACT {
                of_kind.push(listed.clone());
            }
            all.push(listed);
        }
        for (query, wanted) in [("n=2", &all), (&format!("n=2&artifactType={ARTIFACT}"), &of_kind)] {
            let mut found = Vec::new();
            let mut pages = 0;
            let mut target = Some(
                world
                    .ask("GET", &format!("referrers/{}?{query}", subject.digest))
                    .target,
            );
            while let Some(page) = target {
                let answer = world.send(&Ask::new("GET", page))?.expect(200)?;
                found.extend(descriptors(&answer)?);
                target = next(&answer)?;
                pages += 1;
                ensure!(pages <= wanted.len(), "the pages do not end");
            }
            ensure!(
                pages == wanted.len().div_ceil(2),
                "{} referrers came in {pages} pages",
                wanted.len()
            );
            ensure!(
                sorted(found) == sorted(wanted.clone()),
                "`{query}`: not every referrer came once"
            );
        }
        Ok(())
    })
}

fn malformed_digest(world: &World<'_>) -> Result<()> {
    for digest in [
        "sha256:baddigeststring",
        "v1",
        "sha512:00",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
    ] {
        world
            .get(&format!("referrers/{digest}"))?
            .refused(400, "DIGEST_INVALID")?;
    }
    Ok(())
}

fn of_this_repository(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let other = world.another(algorithm.name(), RepositoryOptions::default())?;
        let subject = subject(world, algorithm)?;
        let (manifest, _) = artifact(world, algorithm, &subject, ARTIFACT)?;
        world.keep_blob_in(&other, &Content::new(algorithm, OCI_EMPTY, b"{}".to_vec()))?;
        let mut put = world.put(&manifest.digest, &manifest);
        put.target = format!("/v2/{other}/manifests/{}", manifest.digest);
        world.keep(&put)?.expect(201)?;
        expect_referrers(world, &subject.digest, "", &[])?;
        Ok(())
    })
}

fn after_delete(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let subject = subject(world, algorithm)?;
        let (first, _) = artifact(world, algorithm, &subject, ARTIFACT)?;
        let (second, stays) = artifact(world, algorithm, &subject, ARTIFACT)?;
        for manifest in [&first, &second] {
            world.send(&world.put(&manifest.digest, manifest))?.expect(201)?;
        }
        world.delete(&format!("manifests/{}", first.digest))?.expect(202)?;
        expect_referrers(world, &subject.digest, "", &[stays])?;
        world.delete(&format!("manifests/{}", second.digest))?.expect(202)?;
        expect_referrers(world, &subject.digest, "", &[])?;
        Ok(())
    })
}

fn after_push(world: &World<'_>) -> Result<()> {
    for_each_algorithm(|algorithm| {
        let subject = subject(world, algorithm)?;
        let mut wanted = Vec::new();
        for _ in 0..3 {
            let (manifest, listed) = artifact(world, algorithm, &subject, ARTIFACT)?;
            world.send(&world.put(&manifest.digest, &manifest))?.expect(201)?;
            wanted.push(listed);
            expect_referrers(world, &subject.digest, "", &wanted)?;
        }
        Ok(())
    })
}
