// SPDX-License-Identifier: Apache-2.0
//! The Docker token flow.

use http::{StatusCode, header};

use crate::support::{Ask, MAX_TOKEN_ENTRIES, OWNER, PASSWORD, Plane};

async fn token(plane: &Plane, ask: Ask) -> String {
    let answer = plane.send(ask).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer}");
    answer.json()["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_token_is_good_for_its_scope_and_its_time() {
    let plane = Plane::new();
    plane.push_image("team/web", "v1", "hello").await;
    let pull = token(
        &plane,
        Ask::get("/token?service=registry.test&scope=repository:team/web:pull").by("admin"),
    )
    .await;
    let send = async |ask: Ask, token: &str| plane.send(ask.bearer(token)).await;
    assert_eq!(send(Ask::get("/v2/"), &pull).await.status, StatusCode::OK);
    assert_eq!(
        send(Ask::get("/v2/team/web/manifests/v1"), &pull).await.status,
        StatusCode::OK
    );
    assert_eq!(
        send(Ask::get("/v2/team/web/tags/list"), &pull).await.status,
        StatusCode::OK
    );
    // A client sees what to ask for.
    insta::assert_snapshot!(
        "insufficient_scope",
        send(Ask::post("/v2/team/web/blobs/uploads/"), &pull).await
    );
    assert_eq!(
        send(Ask::get("/v2/team/other/tags/list"), &pull).await.status,
        StatusCode::UNAUTHORIZED
    );
    let push = token(
        &plane,
        Ask::get("/token?scope=repository:team/web:pull,push").by("admin"),
    )
    .await;
    assert_eq!(
        send(Ask::post("/v2/team/web/blobs/uploads/"), &push).await.status,
        StatusCode::ACCEPTED
    );
    // A scope gives no right that its owner has not.
    let vain = token(
        &plane,
        Ask::get("/token?scope=repository:team/web:pull,push").by("puller"),
    )
    .await;
    assert_eq!(
        send(Ask::post("/v2/team/web/blobs/uploads/"), &vain).await.status,
        StatusCode::FORBIDDEN
    );
    plane.clock.advance_seconds(301);
    insta::assert_snapshot!(
        "token_expired",
        send(Ask::get("/v2/team/web/manifests/v1"), &pull).await
    );
}

#[tokio::test]
async fn a_token_answer_has_the_members_of_both_specifications() {
    let plane = Plane::new();
    insta::assert_snapshot!(
        "token_get",
        plane
            .send(Ask::get("/token?scope=repository:team/web:pull").by("admin"))
            .await
    );
    let form = format!(
        "grant_type=password&username=admin&password={PASSWORD}&scope=repository:team/web:pull+registry:catalog:*"
    );
    insta::assert_snapshot!("token_post", plane.send(Ask::post("/token").body(form)).await);
}

#[tokio::test]
async fn several_scopes_are_one_token() {
    let plane = Plane::new();
    plane.push_image("team/web", "v1", "hello").await;
    plane.push_image("team/other", "v1", "hello").await;
    let query = format!(
        "/token?scope=repository:team/web:pull&scope=repository:{OWNER}/team/other:pull+registry:catalog:*&scope=no"
    );
    let token = token(&plane, Ask::get(&query).by("admin")).await;
    for path in ["/v2/team/web/manifests/v1", "/v2/000000000000/team/other/manifests/v1"] {
        assert_eq!(
            plane.send(Ask::get(path).bearer(&token)).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
    let catalog = plane.send(Ask::get("/v2/_catalog").bearer(&token)).await;
    assert_eq!(catalog.json()["repositories"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn nobody_gets_a_token_for_what_is_open_to_everybody() {
    let plane = Plane::new();
    plane.push_image("public/web", "v1", "hello").await;
    let token = token(&plane, Ask::get("/token?scope=repository:public/web:pull")).await;
    assert_eq!(
        plane
            .send(Ask::get("/v2/public/web/manifests/v1").bearer(&token))
            .await
            .status,
        StatusCode::OK
    );
    let closed = plane.send(Ask::get("/v2/team/web/manifests/v1").bearer(&token)).await;
    assert_eq!(closed.status, StatusCode::UNAUTHORIZED);
    assert!(
        closed
            .header(&header::WWW_AUTHENTICATE)
            .contains("scope=\"repository:team/web:pull\"")
    );
}

#[tokio::test]
async fn a_token_is_a_password_and_a_refresh_token_too() {
    let plane = Plane::new();
    plane.push_image("team/web", "v1", "hello").await;
    let first = token(
        &plane,
        Ask::get("/token?scope=repository:team/web:pull,push").by("admin"),
    )
    .await;
    assert_eq!(
        plane
            .send(Ask::get("/v2/team/web/manifests/v1").basic("AWS", &first))
            .await
            .status,
        StatusCode::OK
    );
    let form = format!("grant_type=refresh_token&refresh_token={first}&scope=repository:team/web:pull");
    let second = token(&plane, Ask::post("/token").body(form)).await;
    assert_eq!(
        plane
            .send(Ask::get("/v2/team/web/manifests/v1").bearer(&second))
            .await
            .status,
        StatusCode::OK
    );
    assert_eq!(
        plane
            .send(Ask::post("/v2/team/web/blobs/uploads/").bearer(&second))
            .await
            .status,
        StatusCode::UNAUTHORIZED
    );
    // What it was made from stays a limit, and asking again does not help.
    let form = format!("grant_type=refresh_token&refresh_token={second}&scope=repository:team/web:push");
    let third = token(&plane, Ask::post("/token").body(form)).await;
    assert_eq!(
        plane
            .send(Ask::post("/v2/team/web/blobs/uploads/").bearer(&third))
            .await
            .status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn scopes_that_do_not_fit_into_a_token_are_the_clients_mistake() {
    let plane = Plane::new();
    let ask = |scopes: usize| {
        let scopes: Vec<_> = (0..scopes)
            .map(|n| format!("scope=repository:team/web{n}:pull"))
            .collect();
        Ask::get(&format!("/token?{}", scopes.join("&"))).by("admin")
    };
    assert_eq!(plane.send(ask(MAX_TOKEN_ENTRIES)).await.status, StatusCode::OK);
    let answer = plane.send(ask(MAX_TOKEN_ENTRIES + 1)).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer}");
}
