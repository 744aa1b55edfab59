// SPDX-License-Identifier: Apache-2.0
//! Lists: tags, referrers, repositories, and their pages.

use http::{HeaderName, StatusCode, header};
use hythe_model::{MediaType, TagMutability};
use serde_json::{Value, json};

use crate::support::{Answer, Ask, OWNER, Plane, image, path, sha256};

/// Follows the links from `first`; returns the pages.
async fn pages(plane: &Plane, user: &str, first: &str) -> Vec<Answer> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        let answer = plane.send(Ask::get(&path).by(user)).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer}");
        next = answer.headers.get(header::LINK).map(|link| {
            let link = link.to_str().unwrap();
            assert!(link.ends_with(">; rel=\"next\""), "{link}");
            link[1..link.find('>').unwrap()].to_owned()
        });
        pages.push(answer);
        assert!(pages.len() < 100, "the pages do not end");
    }
    pages
}

fn all(pages: &[Answer], key: &str) -> Vec<Value> {
    pages
        .iter()
        .flat_map(|page| page.json()[key].as_array().unwrap().clone())
        .collect()
}

#[tokio::test]
async fn tags_come_in_order_and_in_pages() {
    let plane = Plane::new();
    assert_eq!(
        plane.get("/v2/team/web/tags/list").await.json(),
        json!({ "name": "team/web", "tags": [] })
    );
    let blob = plane.push_blob("team/web", b"{}").await;
    let tags = ["B", "_1", "a", "b.1-x", "v1", "v10", "v2"];
    for tag in tags {
        plane.put_manifest("team/web", tag, &image(&blob, &blob, 2)).await;
    }
    for size in [1, 2, 3, 6, 7, 8] {
        let pages = pages(&plane, "admin", &format!("/v2/team/web/tags/list?n={size}")).await;
        assert_eq!(all(&pages, "tags"), tags, "{size}");
        assert_eq!(pages.len(), tags.len().div_ceil(size), "{size}");
    }
    let none = plane.get("/v2/team/web/tags/list?n=0").await;
    assert_eq!(none.json()["tags"], json!([]));
    assert!(!none.headers.contains_key(header::LINK));
    assert_eq!(
        plane.get("/v2/team/web/tags/list?last=a&n=2").await.json()["tags"],
        json!(["b.1-x", "v1"])
    );
    assert_eq!(
        plane.get("/v2/team/web/tags/list?n=99999999999999999999").await.json()["tags"],
        json!(tags)
    );
}

fn referrer(subject: &str, kind: &str, annotation: &str, blob: &hythe_model::Digest) -> Vec<u8> {
    let mut manifest: Value = serde_json::from_slice(&image(blob, blob, 2)).unwrap();
    manifest["artifactType"] = json!(kind);
    manifest["subject"] = json!({ "mediaType": MediaType::OCI_MANIFEST, "digest": subject, "size": 2 });
    manifest["annotations"] = json!({ "text": annotation });
    serde_json::to_vec(&manifest).unwrap()
}

#[tokio::test]
async fn referrers_are_listed_filtered_and_paged() {
    let plane = Plane::new();
    let (_, subject) = plane.push_image("team/web", "v1", "hello").await;
    let subject = subject.to_string();
    let list = format!("/v2/team/web/referrers/{subject}");
    insta::assert_snapshot!("referrers_none", plane.get(&list).await);
    let blob = plane.push_blob("team/web", b"{}").await;
    let mut digests = Vec::new();
    for n in 0..40 {
        let kind = if n % 4 == 0 {
            "application/vnd.example.signature"
        } else {
            "application/vnd.example.sbom"
        };
        let manifest = referrer(&subject, kind, &n.to_string(), &blob);
        let digest = sha256(&manifest).to_string();
        let answer = plane.put_manifest("team/web", &digest, &manifest).await;
        assert_eq!(answer.header(&HeaderName::from_static("oci-subject")), subject);
        digests.push(digest);
    }
    digests.sort();
    let found = |pages: &[Answer]| -> Vec<String> {
        all(pages, "manifests")
            .iter()
            .map(|entry| entry["digest"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(found(&pages(&plane, "admin", &list).await), digests);
    assert_eq!(found(&pages(&plane, "admin", &format!("{list}?n=7")).await), digests);
    let filtered = pages(
        &plane,
        "admin",
        &format!("{list}?n=3&artifactType=application%2Fvnd.example.signature"),
    )
    .await;
    assert_eq!(found(&filtered).len(), 10);
    assert_eq!(filtered.len(), 4);
    for page in &filtered {
        assert_eq!(
            page.header(&HeaderName::from_static("oci-filters-applied")),
            "artifactType"
        );
        assert_eq!(page.header(&header::CONTENT_TYPE), MediaType::OCI_INDEX);
    }
    let first = &filtered[0].json()["manifests"][0];
    assert_eq!(first["artifactType"], "application/vnd.example.signature");
    assert!(
        first["annotations"]["text"].is_string() && first["size"].is_u64(),
        "{first}"
    );
}

#[tokio::test]
async fn a_page_of_referrers_stays_below_4_mib() {
    let plane = Plane::new();
    let blob = plane.push_blob("team/web", b"{}").await;
    let subject = sha256(b"subject").to_string();
    for n in 0..5 {
        let manifest = referrer(
            &subject,
            "application/vnd.example.sbom",
            &format!("{n}{}", "x".repeat(1_200_000)),
            &blob,
        );
        plane.put_manifest("team/web", &format!("t{n}"), &manifest).await;
    }
    let pages = pages(&plane, "admin", &format!("/v2/team/web/referrers/{subject}")).await;
    assert_eq!(all(&pages, "manifests").len(), 5);
    assert!(pages.iter().all(|page| page.body.len() < 4 * 1024 * 1024));
    assert_eq!(pages.len(), 3);
}

#[tokio::test]
async fn the_catalog_shows_what_the_caller_may_see() {
    let plane = Plane::new();
    for n in 0..1500 {
        let name = if n % 300 == 0 {
            format!("seen/{n:04}")
        } else {
            format!("secret/{n:04}")
        };
        plane
            .catalog
            .create_repository(path(OWNER, &name), TagMutability::default());
    }
    let seen = ["seen/0000", "seen/0300", "seen/0600", "seen/0900", "seen/1200"];
    for size in [1, 2, 5, 1000] {
        let pages = pages(&plane, "hidden", &format!("/v2/_catalog?n={size}")).await;
        assert_eq!(all(&pages, "repositories"), seen);
        assert_eq!(pages.len(), seen.len().div_ceil(size));
        assert!(pages.iter().all(|page| !page.to_string().contains("secret")));
    }
    assert_eq!(
        all(&pages(&plane, "admin", "/v2/_catalog").await, "repositories").len(),
        1504
    );
    assert_eq!(
        plane.send(Ask::get("/v2/_catalog").by("stranger")).await.json(),
        json!({ "repositories": [] })
    );
    assert_eq!(
        plane.get("/v2/_catalog?n=0").await.json(),
        json!({ "repositories": [] })
    );
    insta::assert_snapshot!("catalog_nobody", plane.send(Ask::get("/v2/_catalog")).await);
}
