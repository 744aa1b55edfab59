// SPDX-License-Identifier: Apache-2.0
//! Every route, as nobody, as a stranger, and as the owner; and what each refusal looks like.

use std::fmt::Write as _;

use http::{Method, StatusCode, header};
use hythe_distribution::routes;
use hythe_model::Digest;

use crate::support::{Answer, Ask, PASSWORD, Plane, image, sha256};

/// A request to a route, complete enough to succeed if it is allowed to.
async fn ask(plane: &Plane, method: &Method, template: &str, name: &str) -> Ask {
    let (manifest, digest) = plane.push_image(name, "v1", "hello").await;
    let blob: Digest = match (method, template) {
        // The image's own blobs cannot be deleted.
        (&Method::DELETE, "/v2/<name>/blobs/<digest>") => plane.push_blob(name, b"of no image").await,
        _ => sha256(b"hello"),
    };
    let id = plane.begin(name).await.rsplit('/').next().unwrap().to_owned();
    let path = template
        .replace("<name>", name)
        .replace("<id>", &id)
        .replace("<reference>", "v1");
    let path = path.replace(
        "<digest>",
        &if template.contains("referrers") { digest } else { blob }.to_string(),
    );
    let ask = Ask::new(method.clone(), &path);
    match (method.as_str(), template) {
        ("PUT", "/v2/<name>/blobs/uploads/<id>") => {
            let path = format!("{path}?digest={blob}");
            Ask { path, ..ask }.body("hello")
        }
        ("PATCH", _) => ask.body("hello"),
        ("PUT", "/v2/<name>/manifests/<reference>") => ask
            .header(header::CONTENT_TYPE, hythe_model::MediaType::OCI_MANIFEST)
            .body(manifest),
        ("POST", "/token") => Ask {
            path: "/token".into(),
            ..ask
        }
        .body(format!("grant_type=password&username=admin&password={PASSWORD}")),
        _ => ask,
    }
}

#[tokio::test]
async fn every_route_is_closed_to_nobody_and_to_strangers() {
    let mut table = String::new();
    for route in routes() {
        let mut statuses = Vec::new();
        for user in [None, Some("stranger"), Some("admin")] {
            let plane = Plane::new();
            let ask = ask(&plane, &route.method, route.template, "team/web").await;
            let ask = if let Some(user) = user { ask.by(user) } else { ask };
            statuses.push(plane.send(ask).await.status.as_u16());
        }
        let action = route.action.map_or("", hythe_access::Action::as_str);
        let (method, template) = (route.method.as_str(), route.template);
        writeln!(table, "{method:6} {template:36} {action:36} {statuses:?}").unwrap();
        if template.contains("<name>") {
            assert_eq!(statuses[0], 401, "{method} {template} as nobody");
            assert_eq!(statuses[1], 403, "{method} {template} as a stranger");
        }
        assert!(
            (200..300).contains(&statuses[2]),
            "{method} {template} as the owner: {}",
            statuses[2]
        );
    }
    insta::assert_snapshot!("routes", table);
}

#[tokio::test]
async fn a_refusal_does_not_tell_what_exists() {
    let plane = Plane::new();
    for route in routes().iter().filter(|route| route.template.contains("<name>")) {
        let present = ask(&plane, &route.method, route.template, "team/web").await;
        for user in [None, Some("stranger")] {
            let send = async |path: &str| {
                let ask = Ask::new(route.method.clone(), path);
                plane.send(if let Some(user) = user { ask.by(user) } else { ask }).await
            };
            let there = send(&present.path).await.to_string();
            let absent = send(&present.path.replace("team/web", "team/xyz")).await.to_string();
            assert_eq!(
                there,
                absent.replace("team/xyz", "team/web"),
                "{} {}",
                route.method,
                route.template
            );
        }
    }
}

#[tokio::test]
async fn anonymous_callers_get_what_is_open_to_everybody() {
    let plane = Plane::new();
    plane.push_image("public/web", "v1", "hello").await;
    let blob = sha256(b"hello");
    for path in [
        "/manifests/v1",
        &format!("/blobs/{blob}"),
        "/tags/list",
        &format!("/referrers/{blob}"),
    ] {
        assert_eq!(
            plane.send(Ask::get(&format!("/v2/public/web{path}"))).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    assert_eq!(
        plane.send(Ask::post("/v2/public/web/blobs/uploads/")).await.status,
        StatusCode::UNAUTHORIZED
    );
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let plane = Plane::new();
    let (manifest, _) = plane.push_image("team/web", "v1", "hello").await;
    assert_eq!(
        plane
            .send(Ask::get("/v2/team/web/manifests/v1").by("puller"))
            .await
            .status,
        StatusCode::OK
    );
    let denied = [
        Ask::post("/v2/team/web/blobs/uploads/"),
        Ask::put("/v2/team/web/manifests/v2").body(manifest),
        Ask::delete("/v2/team/web/manifests/v1"),
    ];
    for ask in denied {
        let answer = plane.send(ask.by("puller")).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (StatusCode::FORBIDDEN, "DENIED")
        );
    }
}

/// ECR's pull-only principals have `GetDownloadUrlForLayer` and not always `BatchCheckLayerAvailability`.
#[tokio::test]
async fn who_may_read_a_blob_may_ask_whether_it_is_there() {
    let plane = Plane::new();
    let blob = plane.push_blob("team/web", b"hello").await;
    let path = format!("/v2/team/web/blobs/{blob}");
    for user in ["reader", "checker"] {
        assert_eq!(
            plane.send(Ask::head(&path).by(user)).await.status,
            StatusCode::OK,
            "{user}"
        );
    }
    assert_eq!(
        plane.send(Ask::get(&path).by("checker")).await.status,
        StatusCode::FORBIDDEN
    );
    let refused = plane.send(Ask::head(&path).by("hidden")).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(
        refused
            .header(&header::WARNING)
            .contains("is not authorized to perform: ecr:BatchCheckLayerAvailability"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_mount_asks_for_a_token_that_covers_its_source() {
    let plane = Plane::new();
    let blob = plane.push_blob("team/other", b"hello").await;
    let scope = "repository:team/web:pull,push";
    let token = plane.send(Ask::get(&format!("/token?scope={scope}")).by("admin")).await;
    let token = token.json()["token"].as_str().unwrap().to_owned();
    for from in ["", "&from=team/other"] {
        let mount = format!("/v2/team/web/blobs/uploads/?mount={blob}{from}");
        let answer = plane.send(Ask::post(&mount).bearer(&token)).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{answer}");
        let challenge = answer.header(&header::WWW_AUTHENTICATE);
        assert!(
            challenge.contains(&format!("scope=\"{scope} repository:team/other:pull\"")),
            "{challenge}"
        );
    }
    // Who may not read the source learns nothing of it, whatever token it has.
    let limited = plane
        .send(Ask::get(&format!("/token?scope={scope}")).by("pusher"))
        .await;
    let limited = limited.json()["token"].as_str().unwrap().to_owned();
    for from in ["", "&from=team/other"] {
        let mount = format!("/v2/team/web/blobs/uploads/?mount={blob}{from}");
        assert_eq!(
            plane.send(Ask::post(&mount).bearer(&limited)).await.status,
            StatusCode::ACCEPTED
        );
    }
}

#[tokio::test]
async fn challenges_name_the_way_in() {
    let plane = Plane::new();
    let sha = sha256(b"x");
    let challenge = async |ask: Ask| plane.send(ask).await.header(&header::WWW_AUTHENTICATE);
    let mut table = String::new();
    for ask in [
        Ask::get("/v2/"),
        Ask::get("/v2/").header(header::HOST, "000000000000.registry.example.com:5000"),
        Ask::get("/v2/").bearer("nonsense"),
        Ask::get("/v2/_catalog"),
        Ask::get("/v2/team/web/manifests/v1"),
        Ask::get(&format!("/v2/000000000000/team/web/blobs/{sha}")),
        Ask::post("/v2/team/web/blobs/uploads/"),
        Ask::delete("/v2/team/web/manifests/v1"),
        Ask::get("/v2/Bad%22Name/manifests/v1").bearer("nonsense"),
        Ask::get("/v2/").header(header::HOST, "evil\"host"),
    ] {
        let (method, path) = (ask.method.clone(), ask.path.clone());
        writeln!(table, "{method} {path}\n    {}", challenge(ask).await).unwrap();
    }
    insta::assert_snapshot!("challenges", table);
    let behind_proxy = Plane::with(|config| config.public_url = Some("https://images.example.org/".into()));
    let answer = behind_proxy.send(Ask::get("/v2/")).await;
    assert!(
        answer
            .header(&header::WWW_AUTHENTICATE)
            .starts_with("Bearer realm=\"https://images.example.org/token\"")
    );
}

#[tokio::test]
async fn a_gate_that_does_not_answer_is_not_taken_for_a_no() {
    let plane = Plane::new();
    plane.gate.is_down.store(true, std::sync::atomic::Ordering::SeqCst);
    let answer: Answer = plane.get("/v2/").await;
    insta::assert_snapshot!("gate_down", answer);
}

#[tokio::test]
async fn accounts_are_named_by_host_by_path_or_not_at_all() {
    let plane = Plane::new();
    let (_, digest) = plane.push_image("team/web", "v1", "hello").await;
    let host = |ask: Ask, host: &str| ask.header(header::HOST, host).by("admin");
    for (path, at) in [
        ("/v2/team/web/manifests/v1", "localhost:5000"),
        ("/v2/000000000000/team/web/manifests/v1", "localhost:5000"),
        ("/v2/team/web/manifests/v1", "000000000000.registry.example.com"),
    ] {
        let answer = plane.send(host(Ask::get(path), at)).await;
        assert_eq!(
            answer.header(&http::HeaderName::from_static("docker-content-digest")),
            digest.to_string(),
            "{path}"
        );
    }
    let foreign = plane
        .send(host(
            Ask::get("/v2/team/web/manifests/v1"),
            "999999999999.registry.example.com",
        ))
        .await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    // Answers keep the style.
    let begun = plane
        .send(Ask::post("/v2/000000000000/team/web/blobs/uploads/").by("admin"))
        .await;
    let location = begun.header(&header::LOCATION);
    assert!(location.starts_with("/v2/000000000000/team/web/blobs/uploads/"));
    let blob = sha256(b"x");
    let done = plane
        .send(Ask::put(&format!("{location}?digest={blob}")).by("admin").body("x"))
        .await;
    assert_eq!(
        done.header(&header::LOCATION),
        format!("/v2/000000000000/team/web/blobs/{blob}")
    );
    let manifest = image(&blob, &blob, 1);
    let put = plane.put_manifest("000000000000/team/web", "v2", &manifest).await;
    assert!(
        put.header(&header::LOCATION)
            .starts_with("/v2/000000000000/team/web/manifests/sha256:")
    );
    assert_eq!(
        plane.get("/v2/000000000000/team/web/tags/list").await.json()["name"],
        "000000000000/team/web"
    );
    let catalog = plane.get("/v2/000000000000/_catalog?n=1").await;
    assert_eq!(catalog.json()["repositories"][0], "000000000000/fixed/web");
    assert_eq!(
        catalog.header(&header::LINK),
        "</v2/000000000000/_catalog?n=1&last=000000000000/fixed/web>; rel=\"next\""
    );
    assert_eq!(plane.get("/v2/000000000000/").await.status, StatusCode::OK);
}
