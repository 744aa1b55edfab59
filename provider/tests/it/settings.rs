// SPDX-License-Identifier: Apache-2.0
//! What the provider block decides.

use serde_json::json;

use crate::server::{ACCOUNT, Server};
use crate::terraform::{Terraform, folded};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_known_yet_is_planned_for_offline() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let config = |generation: u32| {
        format!(
            "resource \"terraform_data\" \"server\" {{
               triggers_replace = {generation}
               input            = \"{}\"
             }}
             provider \"hythe\" {{ endpoint = terraform_data.server.output }}
             resource \"hythe_repository\" \"r\" {{
               name = \"web\"
               tags = {{ team = \"a\" }}
             }}",
            server.endpoint()
        )
    };
    terraform.configure(&config(1)).await;
    let plan = terraform.run(&["plan"]).await;
    assert!(
        plan.code == Some(0) && plan.text.contains("known after apply"),
        "{}",
        plan.text
    );
    assert!(server.seen("").is_empty(), "a plan without an endpoint asked a server");
    terraform.apply().await;

    // The endpoint is unknown again: what is in the state stays, and is no change.
    terraform.configure(&config(2)).await;
    server.forget();
    let plan = terraform.run(&["plan"]).await;
    assert!(
        plan.code == Some(0) && !plan.text.contains("hythe_repository.r will"),
        "{}",
        plan.text
    );
    assert!(server.seen("").is_empty(), "a plan without an endpoint asked a server");
    terraform.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn default_tags_that_are_not_known_yet_make_tags_all_unknown() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    terraform
        .configure(
            "resource \"terraform_data\" \"later\" { input = \"v\" }
             provider \"hythe\" { default_tags = { later = terraform_data.later.output, now = \"n\" } }
             resource \"hythe_repository\" \"r\" { name = \"web\" }",
        )
        .await;
    let plan = folded(&terraform.run(&["plan"]).await.text);
    assert!(
        plan.contains("tags_all = (known after apply)") && plan.contains("arn = \"arn:aws:ecr:local:"),
        "{plan}"
    );
    terraform.apply().await;
    let attributes = terraform.attributes().await;
    assert_eq!(attributes["tags_all"], json!({ "later": "v", "now": "n" }));
    assert!(attributes["tags"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_of_others_are_neither_shown_nor_removed() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let config = |tags: &str| {
        format!(
            "provider \"hythe\" {{ ignore_tags = {{ keys = [\"owner\"], key_prefixes = [\"scanner:\"] }} }}
             resource \"hythe_repository\" \"r\" {{
               name = \"web\"
               tags = {{ {tags} }}
             }}"
        )
    };
    terraform.configure(&config("a = \"1\", b = \"1\"")).await;
    terraform.apply().await;
    server.change("web", |repository| {
        let tags = repository["tags"].as_array_mut().unwrap();
        tags.extend([
            json!({ "Key": "owner", "Value": "x" }),
            json!({ "Key": "scanner:state", "Value": "y" }),
        ]);
    });
    terraform.expect_empty_plan().await;
    terraform.configure(&config("a = \"2\", c = null")).await;
    terraform.apply().await;
    assert_eq!(terraform.attributes().await["tags_all"], json!({ "a": "2" }));
    let mut tags: Vec<_> = server.repository("web").unwrap()["tags"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tag| tag["Key"].clone())
        .collect();
    tags.sort_by_key(ToString::to_string);
    assert_eq!(tags, ["a", "owner", "scanner:state"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_of_another_registry_are_refused() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let config = |id: &str| {
        format!(
            "provider \"hythe\" {{ registry_id = \"{id}\" }}\nresource \"hythe_repository\" \"r\" {{ name = \"web\" }}"
        )
    };
    terraform.configure(&config("000000000001")).await;
    let text = terraform.apply_refused().await;
    assert!(
        text.contains("Credentials of another registry") && text.contains(ACCOUNT),
        "{text}"
    );
    assert!(server.repository("web").is_none());
    terraform.configure(&config(ACCOUNT)).await;
    terraform.apply().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_provider_block_are_found_offline() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    for (arguments, words) in [
        ("endpoint = \"not a url\"", "Invalid `endpoint`"),
        ("registry_id = \"1\"", "Invalid `registry_id`"),
        ("token = \"\"", "Invalid `token`"),
        (
            "token = \"x\"\nusername = \"x\"\npassword = \"x\"",
            "exclude each other",
        ),
        ("username = \"x\"", "`username` needs `password`"),
        ("max_retries = 21", "Invalid `max_retries`"),
        ("max_retries = -1", "Invalid `max_retries`"),
        ("request_timeout = 0", "Invalid `request_timeout`"),
        ("default_tags = { \"aws:x\" = \"1\" }", "Invalid `default_tags"),
        (
            "ignore_tags = { key_prefixes = [\"\"] }",
            "Invalid `ignore_tags.key_prefixes`",
        ),
    ] {
        // A provider block that nothing uses is not looked at.
        terraform
            .configure(&format!(
                "provider \"hythe\" {{\n{arguments}\n}}\ndata \"hythe_caller_identity\" \"me\" {{}}"
            ))
            .await;
        let ended = terraform.run(&["validate"]).await;
        let text = folded(&ended.text);
        assert!(ended.code == Some(1) && text.contains(words), "{arguments}: {text}");
    }
    terraform
        .configure("provider \"hythe\" {\ninsecure = true\n}\ndata \"hythe_caller_identity\" \"me\" {}")
        .await;
    let plan = terraform.run(&["plan"]).await;
    assert!(
        plan.code == Some(0) && plan.text.contains("Connection is not secure"),
        "{}",
        plan.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_come_change_and_go_in_place() {
    let server = Server::start().await;
    let Some(terraform) = Terraform::with(&server).await else {
        return;
    };
    let with = |mode: &str, filters: &str| {
        let filter = if filters.is_empty() {
            String::new()
        } else {
            format!("image_tag_mutability_exclusion_filter = {filters}")
        };
        format!("name = \"web\"\nimage_tag_mutability = \"{mode}\"\n{filter}")
    };
    for (mode, filters) in [
        ("MUTABLE", ""),
        (
            "IMMUTABLE_WITH_EXCLUSION",
            "[{ filter = \"dev-*\" }, { filter = \"latest\" }]",
        ),
        ("MUTABLE_WITH_EXCLUSION", "[{ filter = \"v*\" }]"),
        ("IMMUTABLE", ""),
        ("IMMUTABLE", "[]"),
        ("IMMUTABLE", ""),
    ] {
        terraform.configure_repository(&with(mode, filters)).await;
        terraform.apply().await;
        assert_eq!(server.repository("web").unwrap()["imageTagMutability"], mode);
    }
    assert_eq!(
        server.seen("PATCH").len(),
        3,
        "another way to write no filters is no request"
    );
    assert_eq!(server.seen("POST /api/v1/repositories").len(), 1);
}
