// SPDX-License-Identifier: Apache-2.0
//! Write-only arguments, ephemeral resources, functions, data sources, and a provider that cannot talk yet.

use crate::support::Workspace;

#[tokio::test(flavor = "multi_thread")]
async fn a_write_only_argument_reaches_the_server_and_nothing_else() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    let book = |password: &str, version: u32| {
        format!(
            "resource \"shelf_book\" \"a\" {{\n  isbn = \"1\"\n  title = \"T\"\n  password_wo = \"{password}\"\n  password_wo_version = {version}\n}}\n"
        )
    };
    workspace.write(&book("swordfish", 1));
    workspace.apply_and_settle().await;
    assert_eq!(workspace.book("1").unwrap()["password"], "swordfish");
    assert!(!workspace.state_text().contains("swordfish"));

    // A new secret alone is no change.
    workspace.write(&book("tuna", 1));
    workspace.assert_settled().await;
    workspace.write(&book("tuna", 2));
    workspace.apply_and_settle().await;
    assert_eq!(workspace.book("1").unwrap()["password"], "tuna");
    assert!(!workspace.state_text().contains("tuna"));

    workspace.write("resource \"shelf_book\" \"a\" {\n  isbn = \"1\"\n  title = \"T\"\n  password_wo = \"x\"\n}\n");
    workspace
        .plan()
        .await
        .assert_fails_with("`password_wo` needs `password_wo_version`");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_value_is_opened_used_and_closed() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.write(
        r#"
ephemeral "shelf_key" "k" {
  isbn = "1"
}
resource "shelf_book" "a" {
  isbn                = "1"
  title               = "T"
  password_wo         = ephemeral.shelf_key.k.secret
  password_wo_version = 1
}
"#,
    );
    workspace.apply_and_settle().await;
    assert_eq!(workspace.book("1").unwrap()["password"], "secret of 1");
    assert!(!workspace.state_text().contains("secret of"));
    let journal = workspace.journal();
    let count = |line| journal.lines().filter(|it| *it == line).count();
    assert!(count("open 1") >= 2, "{journal}");
    assert_eq!(count("open 1"), count("close 1"), "{journal}");
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_compute_and_blame_the_argument() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.write(
        r#"
output "slug" {
  value = provider::shelf::slug("Hello World", null)
}
output "joined" {
  value = provider::shelf::join("-", "a", "b", "c")
}
output "single" {
  value = provider::shelf::join("-")
}
"#,
    );
    let applied = workspace.apply().await;
    for line in ["slug = \"hello-world\"", "joined = \"a-b-c\"", "single = \"\""] {
        assert!(applied.text.contains(line), "{}", applied.text);
    }
    workspace.write("output \"slug\" {\n  value = provider::shelf::slug(\"\", null)\n}\n");
    workspace
        .plan()
        .await
        .assert_fails_with("Invalid value for \"text\" parameter: the text is empty.");
    workspace.write("output \"slug\" {\n  value = provider::shelf::slug(\"long\", 1.5)\n}\n");
    workspace
        .plan()
        .await
        .assert_fails_with("Invalid value for \"limit\" parameter: expected a whole number");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_source_is_read_and_says_what_is_missing() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.put_book("1", "Known");
    let lookup = |isbn| {
        format!(
            "data \"shelf_lookup\" \"l\" {{\n  isbn = \"{isbn}\"\n}}\noutput \"title\" {{\n  value = data.shelf_lookup.l.title\n}}\n"
        )
    };
    workspace.write(&lookup("1"));
    workspace.apply_and_settle().await;
    assert!(workspace.run(&["output"]).await.text.contains("title = \"Known\""));
    workspace.write(&lookup("2"));
    let plan = workspace.plan().await;
    plan.assert_fails_with("There is no book `2`.");
    assert!(
        plan.text.contains("isbn = \"2\""),
        "the message has no place: {}",
        plan.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_is_not_configured_yet_plans_offline() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.write_raw(&format!(
        r#"
resource "terraform_data" "folder" {{
  input = "{}"
}}
provider "shelf" {{
  directory = terraform_data.folder.output
}}
resource "shelf_book" "a" {{
  isbn  = "1"
  title = "T"
}}
"#,
        workspace.shelf().display()
    ));
    workspace.apply_and_settle().await;
    assert!(workspace.book("1").is_some());

    // Now the book exists while the provider's configuration is unknown: the state stays as it is.
    let config = std::fs::read_to_string(workspace.path().join("main.tf")).unwrap();
    let config = config.replace("  input =", "  triggers_replace = 1\n  input =");
    std::fs::write(workspace.path().join("main.tf"), config).unwrap();
    let plan = workspace.plan().await;
    assert_eq!(plan.code, Some(2), "{}", plan.text);
    assert!(
        plan.words().contains("1 to add, 0 to change, 1 to destroy"),
        "{}",
        plan.text
    );
    workspace.apply_and_settle().await;
}
