// SPDX-License-Identifier: Apache-2.0
//! Reading through virtual repositories.

use std::sync::Arc;

use async_trait::async_trait;
use http::{Method, StatusCode, header};
use hythe_catalog::CatalogError;
use hythe_distribution::VirtualRepositories;
use hythe_model::{AccountId, TagMutability, VirtualRepository, VirtualSource};
use serde_json::{Value, json};

use crate::support::{Answer, Ask, OWNER, PASSWORD, Plane, content, image, path};

#[derive(Debug)]
struct Names(Arc<[VirtualRepository]>);

#[async_trait]
impl VirtualRepositories for Names {
    fn known(&self, _: &AccountId) -> Option<Arc<[VirtualRepository]>> {
        None // so that it is read
    }

    async fn read(&self, account: &AccountId) -> Result<Arc<[VirtualRepository]>, CatalogError> {
        let is_owner = account.as_str() == OWNER;
        Ok(if is_owner { Arc::clone(&self.0) } else { Arc::default() })
    }
}

fn named(name: &str, sources: &[(&str, &[&str])]) -> VirtualRepository {
    let sources = sources.iter().map(|(prefix, excludes)| VirtualSource {
        excludes: excludes.iter().map(|text| text.parse().unwrap()).collect(),
        ..VirtualSource::new(prefix.parse().unwrap())
    });
    VirtualRepository {
        name: name.parse().unwrap(),
        sources: sources.collect::<Vec<_>>().try_into().unwrap(),
    }
}

/// `all` reads `team`, `hub` (but for `secret/*`) and `seen`; `one` is `team/web` alone; `open` reads `team` and `public`.
fn plane() -> Plane {
    let plane = Plane::new();
    for name in ["hub/web", "hub/secret/web", "seen/web", "hub/only"] {
        plane
            .catalog
            .create_repository(path(OWNER, name), TagMutability::default());
    }
    plane.registry.set_virtual_repositories(Arc::new(Names(Arc::new([
        named("all", &[("team", &[]), ("hub", &["secret/*"]), ("seen", &[])]),
        named("one", &[("team/web", &[])]),
        named("open", &[("team", &[]), ("public", &[])]),
    ]))));
    plane
}

async fn token(plane: &Plane, user: &str, scope: &str) -> String {
    let ask = Ask::get(&format!("/token?service=registry.test&scope={scope}"));
    let ask = if user.is_empty() {
        ask
    } else {
        ask.basic(user, PASSWORD)
    };
    let answer = plane.send(ask).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

async fn pages(plane: &Plane, first: &str, key: &str) -> Vec<Vec<Value>> {
    let (mut pages, mut next) = (Vec::new(), Some(first.to_owned()));
    while let Some(path) = next {
        let answer = plane.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer}");
        pages.push(answer.json()[key].as_array().unwrap().clone());
        next = answer.headers.get(header::LINK).map(|link| {
            let link = link.to_str().unwrap();
            link[1..link.find('>').unwrap()].to_owned()
        });
        assert!(pages.len() < 50, "the pages do not end");
    }
    pages
}

#[tokio::test]
async fn the_first_source_that_has_it_answers() {
    let plane = plane();
    let (hub, hub_digest) = plane.push_image("hub/web", "v1", "from hub").await;
    let answer = plane.get("/v2/all/web/manifests/v1").await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::OK, &hub[..]),
        "{answer}"
    );
    let pull = (
        "arn:aws:iam::000000000000:root".to_owned(),
        format!("{OWNER}/hub/web"),
        hub_digest,
    );
    assert_eq!(
        plane.pulls.take(),
        [pull],
        "a pull is one of the repository that answers"
    );

    let (team, _) = plane.push_image("team/web", "v1", "from team").await;
    for name in ["all/web", "one", &format!("{OWNER}/all/web")] {
        let answer = plane.get(&format!("/v2/{name}/manifests/v1")).await;
        assert_eq!(
            (answer.status, &answer.body[..]),
            (StatusCode::OK, &team[..]),
            "{name}: {answer}"
        );
    }
    let layer = content(100_000);
    let digest = plane.push_blob("hub/web", &layer).await;
    let by_digest = format!("/v2/all/web/manifests/{hub_digest}");
    assert_eq!(&plane.get(&by_digest).await.body[..], &hub[..]);
    let blob = format!("/v2/all/web/blobs/{digest}");
    assert_eq!(&plane.get(&blob).await.body[..], &layer[..]);
    let part = plane
        .send(Ask::get(&blob).by("admin").header(header::RANGE, "bytes=10-19"))
        .await;
    assert_eq!(
        (part.status, &part.body[..]),
        (StatusCode::PARTIAL_CONTENT, &layer[10..20])
    );
    let beyond = plane
        .send(Ask::get(&blob).by("admin").header(header::RANGE, "bytes=100000-"))
        .await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    for path in [&by_digest, &blob, "/v2/all/web/manifests/v1"] {
        let head = plane.send(Ask::head(path).by("admin")).await;
        let get = plane.get(path).await;
        assert_eq!(head.status, StatusCode::OK, "{path}: {head}");
        for name in [header::CONTENT_LENGTH, header::ETAG, header::CONTENT_TYPE] {
            assert_eq!(head.header(&name), get.header(&name), "{path} {name}");
        }
        let again = Ask::get(path)
            .by("admin")
            .header(header::IF_NONE_MATCH, &get.header(&header::ETAG));
        assert_eq!(plane.send(again).await.status, StatusCode::NOT_MODIFIED, "{path}");
    }
    let metrics = plane.metrics_text();
    assert!(
        metrics.contains("hythe_registry_virtual_reads_total{outcome=\"found\"}"),
        "{metrics}"
    );
}

#[tokio::test]
async fn what_no_source_has_is_absent_under_the_name_that_was_asked_for() {
    let plane = plane();
    let digest = plane.push_blob("hub/secret/web", b"secret").await;
    plane
        .put_manifest("hub/secret/web", "v1", &image(&digest, &digest, 6))
        .await;
    let cases = [
        // Excluded, and in no other source.
        ("GET", "/v2/all/secret/web/manifests/v1".to_owned(), "NAME_UNKNOWN"),
        ("GET", format!("/v2/all/secret/web/blobs/{digest}"), "NAME_UNKNOWN"),
        ("GET", "/v2/all/secret/web/tags/list".to_owned(), "NAME_UNKNOWN"),
        ("GET", "/v2/all/absent/manifests/v1".to_owned(), "NAME_UNKNOWN"),
        ("GET", "/v2/all/manifests/v1".to_owned(), "NAME_UNKNOWN"),
        ("GET", "/v2/all/web/manifests/absent".to_owned(), "MANIFEST_UNKNOWN"),
        ("GET", format!("/v2/all/web/blobs/{digest}"), "BLOB_UNKNOWN"),
    ];
    for (method, path, code) in cases {
        let answer = plane
            .send(Ask::new(method.parse::<Method>().unwrap(), &path).by("admin"))
            .await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::NOT_FOUND, code),
            "{path}: {answer}"
        );
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            !text.contains("team/") && !text.contains("hub/"),
            "a source shows: {text}"
        );
    }
    // What is no name, no digest or no page stays what it is.
    for path in [
        "/v2/all/Web/manifests/v1",
        "/v2/all/web/blobs/sha256:0",
        "/v2/all/web/tags/list?n=x",
    ] {
        assert_eq!(plane.get(path).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    // An account without virtual repositories.
    let other = plane
        .send(Ask::get("/v2/999999999999/all/web/tags/list").by("stranger"))
        .await;
    assert_eq!(other.code(), "NAME_UNKNOWN");
}

#[tokio::test]
async fn the_policies_of_the_sources_decide() {
    let plane = plane();
    let (team, _) = plane.push_image("team/web", "v1", "from team").await;
    let (seen, seen_digest) = plane.push_image("seen/web", "v1", "from seen").await;
    let ask = |user: &str, path: &str| Ask::get(path).by(user);
    // `hidden` may only read what begins with `seen`: it gets that, and not what stands before it.
    let answer = plane.send(ask("hidden", "/v2/all/web/manifests/v1")).await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::OK, &seen[..]),
        "{answer}"
    );
    assert_eq!(
        &plane.send(ask("puller", "/v2/all/web/manifests/v1")).await.body[..],
        &team[..]
    );
    let absent = plane.send(ask("hidden", "/v2/all/web/manifests/v2")).await;
    assert_eq!(absent.code(), "MANIFEST_UNKNOWN");
    // Who may read none of them is told what is told of a repository that is not there.
    for (user, path) in [
        ("hidden", "/v2/one/manifests/v1"),
        ("stranger", "/v2/all/web/manifests/v1"),
    ] {
        let answer = plane.send(ask(user, path)).await;
        let there = path.replace("one", "none").replace("all/web", "nothing/web");
        let absent = plane.send(ask(user, &there)).await;
        let text = |answer: &Answer| {
            let text = format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body));
            text.replace("/one", "/none").replace("all/web", "nothing/web")
        };
        assert_eq!(text(&answer), text(&absent), "{user}");
    }
    // No denial is counted where a source answered.
    let denied = |text: &str| text.lines().filter(|line| line.contains("_denied_total{")).count();
    let plane = self::plane();
    plane.push_image("seen/web", "v1", "from seen").await;
    plane.send(ask("hidden", "/v2/all/web/manifests/v1")).await;
    assert_eq!(denied(&plane.metrics_text()), 0);
    assert_eq!(seen_digest.to_string().len(), 71);
}

#[tokio::test]
async fn a_token_for_the_virtual_name_is_good_for_what_its_owner_may_read_behind_it() {
    let plane = plane();
    let (team, _) = plane.push_image("team/web", "v1", "from team").await;
    let (seen, _) = plane.push_image("seen/web", "v1", "from seen").await;
    let get = async |token: &str| plane.send(Ask::get("/v2/all/web/manifests/v1").bearer(token)).await;
    for (user, wanted) in [("admin", &team), ("hidden", &seen)] {
        let token = token(&plane, user, "repository:all/web:pull").await;
        let answer = get(&token).await;
        assert_eq!(
            (answer.status, &answer.body[..]),
            (StatusCode::OK, &wanted[..]),
            "{user}: {answer}"
        );
        let direct = plane.send(Ask::get("/v2/team/web/manifests/v1").bearer(&token)).await;
        assert_eq!(
            direct.status,
            StatusCode::UNAUTHORIZED,
            "the token is not good for the source itself"
        );
        let tags = plane.send(Ask::get("/v2/all/web/tags/list").bearer(&token)).await;
        assert_eq!(tags.json()["tags"], json!(["v1"]));
    }
    // A token for another name is not, and the client is asked for one for this name.
    let other = token(&plane, "admin", "repository:other/web:pull").await;
    let answer = get(&other).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer}");
    let challenge = answer.header(&header::WWW_AUTHENTICATE);
    assert!(challenge.contains("scope=\"repository:all/web:pull\""), "{challenge}");
    assert!(challenge.contains("insufficient_scope"), "{challenge}");
}

#[tokio::test]
async fn who_sends_no_credentials_is_asked_for_them_before_another_source_answers() {
    let plane = plane();
    plane.push_image("team/web", "v1", "from team").await;
    let (public, _) = plane.push_image("public/web", "v1", "for all").await;
    let answer = plane.send(Ask::get("/v2/open/web/manifests/v1")).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer}");
    let challenge = answer.header(&header::WWW_AUTHENTICATE);
    assert!(challenge.contains("scope=\"repository:open/web:pull\""), "{challenge}");
    // Who logs in as nobody gets what nobody may read.
    let token = token(&plane, "", "repository:open/web:pull").await;
    let answer = plane.send(Ask::get("/v2/open/web/manifests/v1").bearer(&token)).await;
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::OK, &public[..]),
        "{answer}"
    );
}

#[tokio::test]
async fn tags_of_all_sources_are_one_list() {
    let plane = plane();
    let blob = plane.push_blob("team/web", b"{}").await;
    plane.push_blob("hub/web", b"{}").await;
    let manifest = image(&blob, &blob, 2);
    for (name, tags) in [("team/web", ["a", "c", "e"]), ("hub/web", ["b", "c", "f"])] {
        for tag in tags {
            plane.put_manifest(name, tag, &manifest).await;
        }
    }
    let whole = plane.get("/v2/all/web/tags/list").await.json();
    assert_eq!(whole, json!({ "name": "all/web", "tags": ["a", "b", "c", "e", "f"] }));
    for limit in 1..=5 {
        let pages = pages(&plane, &format!("/v2/all/web/tags/list?n={limit}"), "tags").await;
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit), "{pages:?}");
        assert_eq!(Value::from(pages.concat()), whole["tags"], "{limit}");
    }
    assert_eq!(plane.get("/v2/all/only/tags/list").await.json()["tags"], json!([]));
}

#[tokio::test]
async fn referrers_in_all_sources_are_one_list() {
    let plane = plane();
    let (_, subject) = plane.push_image("team/web", "v1", "subject").await;
    let mut pushed = Vec::new();
    for (name, number) in [
        ("team/web", 1),
        ("hub/web", 2),
        ("hub/web", 3),
        ("team/web", 4),
        ("hub/web", 4),
    ] {
        let config = plane.push_blob(name, b"{}").await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/x", "annotations": { "number": number.to_string() },
            "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2 },
            "layers": [], "subject": { "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": subject, "size": 1 },
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let digest = crate::support::sha256(&manifest).to_string();
        let answer = plane.put_manifest(name, &digest, &manifest).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer}");
        pushed.push(digest);
    }
    pushed.sort();
    pushed.dedup();
    assert_eq!(pushed.len(), 4);
    for limit in [1, 2, 3, 100] {
        let first = format!("/v2/all/web/referrers/{subject}?n={limit}&artifactType=application/x");
        let found = pages(&plane, &first, "manifests").await.concat();
        let digests: Vec<_> = found.iter().map(|found| found["digest"].as_str().unwrap()).collect();
        assert_eq!(digests, pushed, "{limit}");
    }
    let none = plane.get(&format!("/v2/all/absent/referrers/{subject}")).await;
    assert_eq!((none.status, &none.json()["manifests"]), (StatusCode::OK, &json!([])));
    let denied = plane
        .send(Ask::get(&format!("/v2/one/referrers/{subject}")).by("hidden"))
        .await;
    assert_eq!(denied.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn nothing_can_be_written_or_deleted_through_a_virtual_name() {
    let plane = plane();
    let (manifest, digest) = plane.push_image("team/web", "v1", "from team").await;
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let asks = || {
        [
            Ask::post("/v2/all/web/blobs/uploads/"),
            Ask::post(&format!("/v2/all/web/blobs/uploads/?mount={digest}&from=team/web")),
            Ask::get("/v2/all/web/blobs/uploads/0190b0a4-0000-7000-8000-000000000000"),
            Ask::patch("/v2/all/web/blobs/uploads/0190b0a4-0000-7000-8000-000000000000").body("x"),
            Ask::put(&format!(
                "/v2/all/web/blobs/uploads/0190b0a4-0000-7000-8000-000000000000?digest={digest}"
            )),
            Ask::delete("/v2/all/web/blobs/uploads/0190b0a4-0000-7000-8000-000000000000"),
            Ask::put("/v2/all/web/manifests/v2")
                .header(header::CONTENT_TYPE, media_type)
                .body(manifest.clone()),
            Ask::delete("/v2/all/web/manifests/v1"),
            Ask::delete(&format!("/v2/all/web/manifests/{digest}")),
            Ask::delete(&format!("/v2/one/blobs/{digest}")),
        ]
    };
    for ask in asks() {
        let what = format!("{} {}", ask.method, ask.path);
        let answer = plane.send(ask.by("admin")).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{what}: {answer}");
        assert_eq!(answer.code(), "UNSUPPORTED", "{what}");
        assert_eq!(answer.header(&header::ALLOW), "GET, HEAD", "{what}");
    }
    // Who may not change repositories of this name learns nothing.
    for ask in asks() {
        let what = format!("{} {}", ask.method, ask.path);
        let answer = plane.send(ask.by("puller")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::FORBIDDEN, "DENIED"),
            "{what}"
        );
    }
    assert_eq!(plane.get("/v2/team/web/tags/list").await.json()["tags"], json!(["v1"]));
}
