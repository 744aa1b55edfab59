// SPDX-License-Identifier: Apache-2.0
//! Servers that are busy, break off, refuse or go away; and users who press Ctrl-C.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::server::{Mischief, Server};
use crate::terraform::{ADDRESS, Ended, Terraform, folded};

const CREATE: &str = "POST /api/v1/repositories";

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_server_is_asked_again_with_the_same_key() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    server.misbehave(CREATE, [Mischief::Refuse(503, Some(0)), Mischief::Refuse(429, None)]);
    terraform.configure_repository("name = \"web\"").await;
    terraform.apply().await;
    let keys: Vec<_> = server
        .seen(CREATE)
        .into_iter()
        .map(|seen| seen.idempotency_key.unwrap())
        .collect();
    assert_eq!(keys.len(), 3);
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_broke_off_leaves_no_orphan() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    server.misbehave(CREATE, [Mischief::BreakOff]);
    terraform
        .configure_repository("name = \"web\"\ntags = { team = \"a\" }")
        .await;
    terraform.apply().await;
    assert_eq!(server.seen(CREATE).len(), 2);
    assert_eq!(terraform.attributes().await["created_at"], "2026-11-01T00:00:00Z");
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_end_where_the_provider_block_says() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    server.misbehave(CREATE, vec![Mischief::Refuse(503, Some(0)); 5]);
    terraform
        .configure("provider \"hythe\" { max_retries = 1 }\nresource \"hythe_repository\" \"r\" { name = \"web\" }")
        .await;
    let text = terraform.apply_refused().await;
    assert!(
        text.contains("Cannot create repository `web`") && text.contains("The server has a bad day."),
        "{text}"
    );
    assert_eq!(server.seen(CREATE).len(), 2);
    assert!(terraform.attributes().await.is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_an_error_with_the_way_out() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    server.add(&json!({ "repositoryName": "team/web", "tags": [{ "Key": "team", "Value": "a" }] }));
    terraform
        .configure_repository("name = \"team/web\"\ntags = { team = \"a\" }")
        .await;
    let text = terraform.apply_refused().await;
    assert!(
        text.contains("Repository `team/web` already exists") && text.contains("terraform import"),
        "{text}"
    );
    assert!(terraform.attributes().await.is_null());
    // The way out.
    let imported = terraform.run(&["import", ADDRESS, "team/web"]).await;
    assert_eq!(imported.code, Some(0), "{}", imported.text);
    terraform.expect_empty_plan().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_fails_half_way_records_what_is_true() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    terraform
        .configure_repository("name = \"web\"\ntags = { old = \"1\", team = \"a\" }")
        .await;
    terraform.apply().await;

    let changed = "name = \"web\"\nimage_tag_mutability = \"IMMUTABLE\"\nscan_on_push = true\nforce_delete = true\ntags = { team = \"b\" }";
    terraform.configure_repository(changed).await;
    server.misbehave(
        "POST /api/v1/repositories/web/resource-tags",
        [Mischief::Refuse(500, None)],
    );
    let text = terraform.apply_refused().await;
    assert!(text.contains("Cannot update repository `web`"), "{text}");
    // Settings and the removal of `old` took effect, the change of `team` did not.
    let attributes = terraform.attributes().await;
    assert_eq!(attributes["image_tag_mutability"], "IMMUTABLE");
    assert_eq!(attributes["scan_on_push"], true);
    assert_eq!(attributes["force_delete"], true);
    assert_eq!(
        (&attributes["tags"], &attributes["tags_all"]),
        (&json!({ "team": "a" }), &json!({ "team": "a" }))
    );
    assert!(!terraform.is_tainted().await);

    server.forget();
    terraform.apply().await;
    assert!(
        server.seen("PATCH").is_empty(),
        "settings that were already as they should be were sent again"
    );
    assert_eq!(terraform.attributes().await["tags"], json!({ "team": "b" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_that_fails_at_once_keeps_the_state() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    terraform.configure_repository("name = \"web\"").await;
    terraform.apply().await;
    terraform
        .configure_repository("name = \"web\"\nscan_on_push = true")
        .await;
    server.misbehave("PATCH", [Mischief::Refuse(500, None)]);
    terraform.apply_refused().await;
    assert_eq!(terraform.attributes().await["scan_on_push"], false);
    terraform.apply().await;
    assert_eq!(
        server.seen("PATCH").last().unwrap().body,
        json!({ "imageScanningConfiguration": { "scanOnPush": true } })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_servers_own_word_says_that_a_repository_is_gone() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    terraform.configure_repository("name = \"web\"").await;
    terraform.apply().await;
    server.misbehave("GET /api/v1/repositories/web", [Mischief::Foreign404]);
    let text = terraform.apply_refused().await;
    assert!(text.contains("Cannot read repository `web`"), "{text}");
    assert_eq!(terraform.attributes().await["name"], "web");
    terraform.expect_empty_plan().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_replaces_warns_of_images() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    terraform.configure_repository("name = \"web\"").await;
    terraform.apply().await;
    server.set_image_count("web", 3);
    terraform.configure_repository("name = \"other\"").await;
    let plan = terraform.run(&["plan", "-detailed-exitcode"]).await;
    let text = folded(&plan.text);
    assert!(
        plan.code == Some(2) && text.contains("holds 3 images") && text.contains("force_delete = true"),
        "{text}"
    );
    let text = terraform.apply_refused().await;
    assert!(
        text.contains("Repository `web` is not empty") && text.contains("holds 3 images"),
        "{text}"
    );
    assert!(server.repository("web").is_some());
    // Applied first, it counts.
    terraform
        .configure_repository("name = \"web\"\nforce_delete = true")
        .await;
    terraform.apply().await;
    let destroyed = terraform.run(&["destroy", "-auto-approve"]).await;
    assert!(
        destroyed.code == Some(0) && folded(&destroyed.text).contains("Images will be deleted"),
        "{}",
        destroyed.text
    );
    assert!(server.repository("web").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_during_a_create_loses_nothing() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    terraform.configure_repository("name = \"web\"").await;
    server.misbehave(CREATE, [Mischief::Hold]);
    let running = terraform.start(&["apply", "-auto-approve"]);
    server.held().await;
    running.interrupt();
    // Terraform tells the provider to stop; only then does the server answer.
    running.prints("Interrupt received").await;
    server.release();
    let Ended { text, .. } = running.end().await;
    assert_eq!(terraform.attributes().await["name"], "web", "{text}");
    assert!(!terraform.is_tainted().await);
    terraform.expect_empty_plan().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_wait_for_a_busy_server() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    terraform.configure_repository("name = \"web\"").await;
    server.misbehave(CREATE, [Mischief::Refuse(503, Some(25))]);
    let started = Instant::now();
    let running = terraform.start(&["apply", "-auto-approve"]);
    while server.seen(CREATE).is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    running.interrupt();
    let Ended { code, text } = running.end().await;
    assert!(
        code == Some(1) && folded(&text).contains("Cannot create repository `web`"),
        "{text}"
    );
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    assert!(terraform.attributes().await.is_null() && server.repository("web").is_none());
}
