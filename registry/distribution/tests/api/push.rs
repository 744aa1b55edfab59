// SPDX-License-Identifier: Apache-2.0
//! Pushing: every way to upload a blob, and manifests.

use http::{HeaderName, StatusCode, header};
use hythe_model::{Algorithm, Digest, MediaType};
use serde_json::json;

use crate::support::{Ask, OWNER, Plane, content, digest_of, image, sha256, sha512};

/// Below, at and above what stays in the catalog, and several chunks of the blob store.
const SIZES: [usize; 7] = [0, 1, 100, 64 * 1024, 64 * 1024 + 1, 200_000, 1_000_000];

/// A way to push a blob.
#[derive(Clone, Copy, Debug)]
enum Way {
    PostThenPut,
    PostWithDigest,
    PatchThenPut,
    Chunks { with_range: bool },
    ChunksEndingInPut,
}

const WAYS: [Way; 6] = [
    Way::PostThenPut,
    Way::PostWithDigest,
    Way::PatchThenPut,
    Way::Chunks { with_range: false },
    Way::Chunks { with_range: true },
    Way::ChunksEndingInPut,
];

async fn push(plane: &Plane, way: Way, algorithm_said: Option<Algorithm>, content: &[u8], digest: &Digest) {
    let said = algorithm_said
        .map(|algorithm| format!("?digest-algorithm={}", algorithm.as_str()))
        .unwrap_or_default();
    let uploads = "/v2/team/web/blobs/uploads/";
    if let Way::PostWithDigest = way {
        let post = Ask::post(&format!("{uploads}?digest={digest}"))
            .by("admin")
            .body(content.to_vec());
        let answer = plane.send(post).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer}");
        return;
    }
    let begun = plane.send(Ask::post(&format!("{uploads}{said}")).by("admin")).await;
    assert_eq!(begun.status, StatusCode::ACCEPTED);
    let mut location = begun.header(&header::LOCATION);
    let chunk_bytes = match way {
        Way::PostThenPut | Way::PostWithDigest => usize::MAX,
        Way::PatchThenPut => content.len().max(1),
        Way::Chunks { .. } | Way::ChunksEndingInPut => content.len() / 3 + 1,
    };
    let mut chunks: Vec<&[u8]> = content.chunks(chunk_bytes).collect();
    let last = match way {
        Way::PostThenPut | Way::ChunksEndingInPut => chunks.pop(),
        Way::PostWithDigest | Way::PatchThenPut | Way::Chunks { .. } => None,
    };
    let mut sent = 0;
    for chunk in chunks {
        let mut patch = Ask::patch(&location).by("admin").body(chunk.to_vec());
        if let Way::Chunks { with_range: true } = way {
            patch = patch.header(header::CONTENT_RANGE, &format!("{sent}-{}", sent + chunk.len() - 1));
        }
        let answer = plane.send(patch).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer}");
        sent += chunk.len();
        assert_eq!(answer.header(&header::RANGE), format!("0-{}", sent - 1));
        location = answer.header(&header::LOCATION);
    }
    let put = Ask::put(&format!("{location}?digest={digest}")).by("admin");
    let answer = plane.send(put.body(last.unwrap_or_default().to_vec())).await;
    assert_eq!(
        answer.status,
        StatusCode::CREATED,
        "{way:?} {}: {answer}",
        content.len()
    );
    assert_eq!(answer.header(&header::LOCATION), format!("/v2/team/web/blobs/{digest}"));
}

#[tokio::test]
async fn a_blob_comes_back_as_it_was_pushed_whatever_the_way() {
    for way in WAYS {
        let plane = Plane::new();
        for size in SIZES {
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                for said in [None, Some(algorithm)] {
                    let content = content(size);
                    let digest = digest_of(algorithm, &content);
                    push(&plane, way, said, &content, &digest).await;
                    let answer = plane.get(&format!("/v2/team/web/blobs/{digest}")).await;
                    assert_eq!(answer.status, StatusCode::OK, "{way:?} {size}");
                    assert!(answer.body == content, "{way:?} {size}");
                    assert_eq!(
                        answer.header(&HeaderName::from_static("docker-content-digest")),
                        digest.to_string()
                    );
                }
            }
        }
    }
}

#[tokio::test]
async fn small_blobs_make_no_files() {
    let plane = Plane::new();
    let before = plane.files();
    for way in WAYS {
        let content = content(64 * 1024);
        push(&plane, way, None, &content, &sha256(&content)).await;
    }
    assert_eq!(plane.files(), before);
}

#[tokio::test]
async fn a_large_blob_leaves_one_file_and_no_upload() {
    let plane = Plane::new();
    let before = plane.files();
    let content = content(300_000);
    for way in WAYS {
        push(&plane, way, None, &content, &sha256(&content)).await;
    }
    assert_eq!(plane.files(), before + 1);
}

#[tokio::test]
async fn an_upload_tells_how_far_it_has_come_and_can_be_cancelled() {
    let plane = Plane::new();
    for size in [10, 100_000] {
        let location = plane.begin("team/web").await;
        plane.send(Ask::patch(&location).by("admin").body(content(size))).await;
        let status = plane.get(&location).await;
        assert_eq!(status.status, StatusCode::NO_CONTENT);
        assert_eq!(status.header(&header::RANGE), format!("0-{}", size - 1));
        assert_eq!(
            plane.send(Ask::delete(&location).by("admin")).await.status,
            StatusCode::NO_CONTENT
        );
        assert_eq!(plane.get(&location).await.status, StatusCode::NOT_FOUND);
        assert_eq!(
            plane.send(Ask::delete(&location).by("admin")).await.status,
            StatusCode::NOT_FOUND
        );
    }
    assert_eq!(plane.files(), Plane::new().files());
}

#[tokio::test]
async fn an_upload_goes_on_where_it_broke_off() {
    let plane = Plane::new();
    let content = content(400_000);
    for cut in [10, 50_000, 70_000, 300_000] {
        let location = plane.begin("team/web").await;
        let (head, tail) = content.split_at(cut);
        let broken = plane
            .send(Ask::patch(&location).by("admin").broken_body(head.to_vec()))
            .await;
        assert_eq!(broken.status, StatusCode::BAD_REQUEST);
        assert_eq!(broken.code(), "BLOB_UPLOAD_INVALID");
        let status = plane.get(&location).await;
        assert_eq!(status.header(&header::RANGE), format!("0-{}", cut - 1));
        let range = format!("{cut}-{}", content.len() - 1);
        let patch = Ask::patch(&location)
            .by("admin")
            .header(header::CONTENT_RANGE, &range)
            .body(tail.to_vec());
        assert_eq!(plane.send(patch).await.status, StatusCode::ACCEPTED);
        let put = Ask::put(&format!("{location}?digest={}", sha256(&content))).by("admin");
        assert_eq!(plane.send(put).await.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn a_last_chunk_that_breaks_off_can_be_sent_again() {
    let plane = Plane::new();
    let content = content(200_000);
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let digest = digest_of(algorithm, &content);
        let location = plane.begin("team/web").await;
        let put = Ask::put(&format!("{location}?digest={digest}")).by("admin");
        let broken = plane.send(put.broken_body(content[..150_000].to_vec())).await;
        assert_eq!(broken.status, StatusCode::BAD_REQUEST);
        assert_eq!(broken.header(&header::RANGE), "0-149999");
        let put = Ask::put(&format!("{location}?digest={digest}")).by("admin");
        let answer = plane.send(put.body(content[150_000..].to_vec())).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer}");
    }
}

#[tokio::test]
async fn a_wrong_digest_stores_nothing_and_the_right_one_still_does() {
    let plane = Plane::new();
    for size in [100, 100_000] {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let content = content(size);
            let (right, wrong) = (digest_of(algorithm, &content), digest_of(algorithm, b"other"));
            let location = plane.begin("team/web").await;
            plane
                .send(Ask::patch(&location).by("admin").body(content.clone()))
                .await;
            let refused = plane
                .send(Ask::put(&format!("{location}?digest={wrong}")).by("admin"))
                .await;
            assert_eq!(
                (refused.status, refused.code().as_str()),
                (StatusCode::BAD_REQUEST, "DIGEST_INVALID")
            );
            assert_eq!(
                plane.get(&format!("/v2/team/web/blobs/{wrong}")).await.status,
                StatusCode::NOT_FOUND
            );
            assert_eq!(
                plane.get(&format!("/v2/team/web/blobs/{right}")).await.status,
                StatusCode::NOT_FOUND
            );
            let accepted = plane
                .send(Ask::put(&format!("{location}?digest={right}")).by("admin"))
                .await;
            assert_eq!(accepted.status, StatusCode::CREATED, "{accepted}");
            // In one request there is no session to come back to, and nothing stays.
            let post = format!("/v2/team/other/blobs/uploads/?digest={wrong}");
            let refused = plane.send(Ask::post(&post).by("admin").body(content)).await;
            assert_eq!(refused.code(), "DIGEST_INVALID");
        }
    }
    // The large blob under its two names.
    assert_eq!(plane.files(), Plane::new().files() + 2);
}

#[tokio::test]
async fn blobs_are_mounted_from_where_the_caller_may_read() {
    let plane = Plane::new();
    let digest = plane.push_blob("team/web", &content(100_000)).await;
    let mount = |query: &str| Ask::post(&format!("/v2/team/other/blobs/uploads/?mount={digest}{query}")).by("admin");
    for query in [
        "&from=no/such",
        "&from=Bad..Name",
        "&from=999999999999/stranger/web",
        "&from=public/web",
    ] {
        let answer = plane.send(mount(query)).await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{query}");
        assert!(
            answer
                .header(&header::LOCATION)
                .starts_with("/v2/team/other/blobs/uploads/")
        );
    }
    assert_eq!(
        plane.get(&format!("/v2/team/other/blobs/{digest}")).await.status,
        StatusCode::NOT_FOUND
    );
    for query in [
        format!("&from={OWNER}/team/web"),
        "&from=team/web".into(),
        String::new(),
    ] {
        let answer = plane.send(mount(&query)).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{query}");
        assert_eq!(
            answer.header(&header::LOCATION),
            format!("/v2/team/other/blobs/{digest}")
        );
    }
    assert_eq!(
        plane.get(&format!("/v2/team/other/blobs/{digest}")).await.body.len(),
        100_000
    );
}

#[tokio::test]
async fn a_blob_is_found_for_a_mount_without_a_source() {
    let plane = Plane::new();
    let digest = plane.push_blob("team/web", b"layer").await;
    let post = Ask::post(&format!("/v2/public/web/blobs/uploads/?mount={digest}")).by("admin");
    assert_eq!(plane.send(post).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_mount_never_crosses_accounts() {
    let plane = Plane::new();
    let digest = plane.push_blob("team/web", b"layer").await;
    for from in ["", "&from=000000000000/team/web"] {
        let post = format!(
            "/v2/{}/stranger/web/blobs/uploads/?mount={digest}{from}",
            crate::support::STRANGER
        );
        assert_eq!(
            plane.send(Ask::post(&post).by("stranger")).await.status,
            StatusCode::ACCEPTED
        );
    }
}

#[tokio::test]
async fn an_image_goes_in_and_comes_out_by_tag_and_digest() {
    let plane = Plane::new();
    let (manifest, digest) = plane.push_image("team/web", "v1", "hello").await;
    for reference in ["v1", &digest.to_string()] {
        let answer = plane.get(&format!("/v2/team/web/manifests/{reference}")).await;
        assert!(answer.body == manifest);
        assert_eq!(answer.header(&header::CONTENT_TYPE), MediaType::OCI_MANIFEST);
    }
    insta::assert_snapshot!("manifest_put", plane.put_manifest("team/web", "v1", &manifest).await);
}

#[tokio::test]
async fn a_push_by_digest_may_carry_tags() {
    let plane = Plane::new();
    let (manifest, _) = plane.push_image("team/web", "v1", "hello").await;
    let digest = sha512(&manifest);
    let answer = plane
        .put_manifest("team/web", &format!("{digest}?tag=a&tag=b&tag=a"), &manifest)
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer}");
    let tags: Vec<_> = answer
        .headers
        .get_all("oci-tag")
        .iter()
        .map(|tag| tag.to_str().unwrap())
        .collect();
    assert_eq!(tags, ["a", "b"]);
    for reference in ["a", "b", &digest.to_string()] {
        let answer = plane.get(&format!("/v2/team/web/manifests/{reference}")).await;
        assert_eq!(
            answer.header(&HeaderName::from_static("docker-content-digest")),
            digest.to_string()
        );
    }
    // Without a tag it stays untagged.
    let (other, other_digest) = plane.push_image("team/other", "v1", "other").await;
    assert_eq!(
        plane
            .put_manifest("team/other", &other_digest.to_string(), &other)
            .await
            .status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn docker_images_and_lists_are_taken_too() {
    let plane = Plane::new();
    let blob = plane.push_blob("team/web", b"{}").await;
    let descriptor = |kind: &str| json!({ "mediaType": kind, "digest": blob, "size": 2 });
    let image = json!({
        "schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
        "config": descriptor("application/vnd.docker.container.image.v1+json"),
        "layers": [descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip")],
    });
    let image = serde_json::to_vec(&image).unwrap();
    let digest = sha256(&image);
    assert_eq!(
        plane.put_manifest("team/web", &digest.to_string(), &image).await.status,
        StatusCode::CREATED
    );
    let list = json!({
        "schemaVersion": 2, "mediaType": MediaType::DOCKER_LIST,
        "manifests": [{ "mediaType": MediaType::DOCKER_MANIFEST, "digest": digest, "size": image.len() }],
    });
    assert_eq!(
        plane
            .put_manifest("team/web", "all", &serde_json::to_vec(&list).unwrap())
            .await
            .status,
        StatusCode::CREATED
    );
    // A member of a list cannot be deleted before the list.
    let refused = plane
        .send(Ask::delete(&format!("/v2/team/web/manifests/{digest}")).by("admin"))
        .await;
    assert_eq!(
        (refused.status, refused.code().as_str()),
        (StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED")
    );
    for reference in ["all", &digest.to_string()] {
        let deleted = plane
            .send(Ask::delete(&format!("/v2/team/web/manifests/{reference}")).by("admin"))
            .await;
        assert_eq!(deleted.status, StatusCode::ACCEPTED, "{deleted}");
        assert_eq!(
            plane.get(&format!("/v2/team/web/manifests/{reference}")).await.status,
            StatusCode::NOT_FOUND
        );
    }
}

#[tokio::test]
async fn a_manifest_of_nearly_4_mib_is_taken() {
    let plane = Plane::new();
    let blob = plane.push_blob("team/web", b"{}").await;
    let mut manifest: serde_json::Value = serde_json::from_slice(&image(&blob, &blob, 2)).unwrap();
    manifest["annotations"] = json!({ "long": "a".repeat(4 * 1024 * 1024 - 1000) });
    let manifest = serde_json::to_vec(&manifest).unwrap();
    assert_eq!(
        plane.put_manifest("team/web", "large", &manifest).await.status,
        StatusCode::CREATED
    );
    assert!(plane.get("/v2/team/web/manifests/large").await.body == manifest);
}

#[tokio::test]
async fn expired_uploads_are_given_up_with_their_bytes() {
    let plane = Plane::new();
    let files = plane.files();
    let location = plane.begin("team/web").await;
    plane
        .send(Ask::patch(&location).by("admin").body(content(100_000)))
        .await;
    assert!(plane.files() > files);
    plane.clock.advance_seconds(23 * 3600);
    let pass = async |plane: &Plane| {
        let now = hythe_model::Clock::now(&*plane.clock);
        hythe_distribution::expire_uploads(&*plane.catalog, &*plane.blobs, now, 10)
            .await
            .unwrap()
    };
    assert_eq!(pass(&plane).await, 0);
    plane.clock.advance_seconds(3600);
    assert_eq!(plane.get(&location).await.status, StatusCode::NOT_FOUND);
    assert_eq!(pass(&plane).await, 1);
    assert_eq!(plane.files(), files);
    assert_eq!(pass(&plane).await, 0);
}

#[tokio::test]
async fn bytes_whose_second_digest_is_wrong_are_still_those_of_the_session() {
    let plane = Plane::new();
    let bytes = content(100_000);
    let location = plane.begin("team/web").await;
    let part = Ask::patch(&location).by("admin").body(bytes.clone());
    assert_eq!(plane.send(part).await.status, StatusCode::ACCEPTED);
    let finish = |digest| plane.send(Ask::put(&format!("{location}?digest={digest}")).by("admin"));
    let answer = finish(sha512(b"something else")).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (StatusCode::BAD_REQUEST, "DIGEST_INVALID")
    );
    // The file that is there is what the session is sealed as, so that the collection finds it; nobody pushed it by
    // that name.
    assert_eq!(plane.files(), 1);
    let blob = plane.get(&format!("/v2/team/web/blobs/{}", sha256(&bytes))).await;
    assert_eq!(blob.status, StatusCode::NOT_FOUND);
    // The session goes on, under the right name.
    assert_eq!(finish(sha512(&bytes)).await.status, StatusCode::CREATED);
}
