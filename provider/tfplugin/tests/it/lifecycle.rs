// SPDX-License-Identifier: Apache-2.0
//! Managed resources under the real program.

use serde_json::json;

use crate::support::Workspace;

const FULL: &str = r#"
resource "shelf_book" "a" {
  isbn     = "1-2"
  title    = "First"
  summary  = "{ \"a\": 1 }"
  pages    = 9007199254740993
  authors  = ["x", "y"]
  tags     = { k = "v" }
  keywords = ["b", "a"]
  chapters = [{ heading = "one", length = 3 }, { heading = "two" }]
  notes    = [{ text = "n1" }, { text = "n2", page = 3 }]
  cover    = { colour = "red" }
  extra    = { deep = [1, "two", true] }
  edition {
    year = 1999
  }
  edition {
    year = 2001
  }
}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_resource_lives_from_create_to_destroy() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.write(FULL);
    workspace.apply_and_settle().await;
    let state = workspace.state_of("shelf_book.a").unwrap();
    let expected = [
        ("genre", json!("novel")),
        ("summary", json!("{ \"a\": 1 }")),
        ("pages", json!(9_007_199_254_740_993_u64)),
        ("place", json!("row 3")),
        ("revision", json!(1)),
        (
            "chapters",
            json!([{"first_page": 1, "heading": "one", "length": 3}, {"first_page": 4, "heading": "two", "length": 1}]),
        ),
        ("cover", json!({"colour": "red", "hard": false})),
        (
            "extra",
            json!({"type": ["object", {"deep": ["tuple", ["number", "string", "bool"]]}], "value": {"deep": [1, "two", true]}}),
        ),
        ("edition", json!([{"year": 1999}, {"year": 2001}])),
    ];
    for (name, value) in expected {
        assert_eq!(state[name], value, "{name}");
    }

    // Another form of the same value is no change; the server's own form neither.
    workspace.write(
        &FULL
            .replace(r#""{ \"a\": 1 }""#, r#""{\"a\":  1}""#)
            .replace(r#"["b", "a"]"#, r#"["a", "b"]"#),
    );
    workspace.assert_settled().await;

    // A change is an update in place, and only the revision is not known before.
    workspace.write(&FULL.replace("First", "Second"));
    let plan = workspace.plan().await;
    assert_eq!(plan.code, Some(2), "{}", plan.text);
    assert!(
        plan.words().contains("0 to add, 1 to change, 0 to destroy"),
        "{}",
        plan.text
    );
    assert_eq!(plan.text.matches("(known after apply)").count(), 1, "{}", plan.text);
    workspace.apply_and_settle().await;
    assert_eq!(workspace.state_of("shelf_book.a").unwrap()["revision"], 2);
    assert_eq!(workspace.book("1-2").unwrap()["title"], "Second");

    // Another number is another book.
    workspace.write(&FULL.replace("1-2", "3-4"));
    let plan = workspace.plan().await;
    assert!(plan.words().contains("# forces replacement"), "{}", plan.text);
    workspace.apply_and_settle().await;
    assert!(workspace.book("1-2").is_none());
    assert_eq!(workspace.state_of("shelf_book.a").unwrap()["revision"], 1);

    workspace.destroy().await;
    assert!(workspace.book("3-4").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_logic_can_ask_for_replacement() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    let book = "resource \"shelf_book\" \"a\" {\n  isbn = \"1\"\n  title = \"T\"\n  genre = \"science\"\n}\n";
    workspace.write(book);
    workspace.apply_and_settle().await;
    workspace.write(&book.replace("science", "novel"));
    assert!(workspace.plan().await.words().contains("1 to change"));
    workspace.write(&book.replace("science", "poetry"));
    assert!(
        workspace
            .plan()
            .await
            .words()
            .contains("genre = \"science\" -> \"poetry\" # forces replacement")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_values_of_every_kind_are_planned_and_applied_in_one_run() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.write(
        r#"
resource "terraform_data" "x" {
  input = "word"
}
locals {
  later = terraform_data.x.output
  size  = length(terraform_data.x.id)
}
resource "shelf_book" "a" {
  isbn     = "1"
  title    = local.later
  pages    = local.size
  authors  = ["x", local.later]
  tags     = { k = local.later }
  keywords = ["a", local.later]
  chapters = [{ heading = local.later }, { heading = "two", length = local.size }, { heading = "three" }]
  notes    = [{ text = "n" }, { text = local.later }]
  cover    = { colour = local.later }
  extra    = { deep = local.later }
  dynamic "edition" {
    for_each = [local.size]
    content {
      year = edition.value
    }
  }
}
resource "shelf_book" "b" {
  isbn     = "2"
  title    = shelf_book.a.place
  summary  = jsonencode({ revision = shelf_book.a.revision })
  keywords = toset(split("-", terraform_data.x.id))
  chapters = [for part in split("-", terraform_data.x.id) : { heading = part }]
}
"#,
    );
    workspace.apply_and_settle().await;
    let (a, b) = (
        workspace.state_of("shelf_book.a").unwrap(),
        workspace.state_of("shelf_book.b").unwrap(),
    );
    assert_eq!(a["title"], "word");
    assert_eq!(a["chapters"][2]["first_page"], 38);
    assert_eq!(b["title"], "row 1");
    assert_eq!(b["summary"], "{\"revision\":1}");
    assert_eq!(b["chapters"].as_array().unwrap().len(), 5);
    workspace.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_on_the_server_shows_in_the_plan() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.write("resource \"shelf_book\" \"a\" {\n  isbn = \"1\"\n  title = \"T\"\n}\n");
    workspace.apply_and_settle().await;

    workspace.put_book("1", "Other");
    let plan = workspace.plan().await;
    assert!(plan.words().contains("title = \"Other\" -> \"T\""), "{}", plan.text);
    workspace.apply_and_settle().await;

    std::fs::remove_file(workspace.shelf().join("1.json")).unwrap();
    let plan = workspace.plan().await;
    assert!(
        plan.words().contains("1 to add, 0 to change, 0 to destroy"),
        "{}",
        plan.text
    );
    workspace.apply_and_settle().await;
    workspace.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_object_needs_no_change() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.put_book("7", "Found");
    workspace.write("import {\n  to = shelf_book.a\n  id = \"7\"\n}\n");
    let generated = workspace.run(&["plan", "-generate-config-out=generated.tf"]).await;
    assert_eq!(generated.code, Some(0), "{}", generated.text);
    assert!(
        generated
            .words()
            .contains("1 to import, 0 to add, 0 to change, 0 to destroy"),
        "{}",
        generated.text
    );
    std::fs::remove_file(workspace.path().join("generated.tf")).unwrap();

    let config = "resource \"shelf_book\" \"a\" {\n  isbn = \"7\"\n  title = \"Found\"\n}\n";
    workspace.write(&format!("import {{\n  to = shelf_book.a\n  id = \"7\"\n}}\n{config}"));
    workspace.apply_and_settle().await;
    assert_eq!(workspace.state_of("shelf_book.a").unwrap()["genre"], "novel");

    workspace.write("import {\n  to = shelf_book.b\n  id = \"8\"\n}\nresource \"shelf_book\" \"b\" {\n  isbn = \"8\"\n  title = \"x\"\n}\n");
    workspace.plan().await.assert_fails_with("There is no book `8`.");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moved_block_takes_over_another_type() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.write("resource \"shelf_pamphlet\" \"p\" {\n  isbn = \"1\"\n  name = \"Thin\"\n}\n");
    workspace.apply_and_settle().await;
    workspace.write(
        "resource \"shelf_book\" \"b\" {\n  isbn = \"1\"\n  title = \"Thin\"\n}\nmoved {\n  from = shelf_pamphlet.p\n  to = shelf_book.b\n}\n",
    );
    let plan = workspace.plan().await;
    assert!(plan.words().contains("has moved to shelf_book.b"), "{}", plan.text);
    assert!(
        plan.words().contains("0 to add, 0 to change, 0 to destroy"),
        "{}",
        plan.text
    );
    workspace.apply_and_settle().await;
    assert_eq!(workspace.state_of("shelf_book.b").unwrap()["place"], "row 1");

    workspace.write(
        "resource \"shelf_book\" \"c\" {\n  isbn = \"1\"\n  title = \"Thin\"\n}\nresource \"terraform_data\" \"d\" {}\n",
    );
    workspace.destroy().await;
    workspace.write("resource \"terraform_data\" \"d\" {}\n");
    assert_eq!(workspace.apply().await.code, Some(0));
    workspace.write(
        "resource \"shelf_book\" \"c\" {\n  isbn = \"1\"\n  title = \"Thin\"\n}\nmoved {\n  from = terraform_data.d\n  to = shelf_book.c\n}\n",
    );
    workspace
        .plan()
        .await
        .assert_fails_with("cannot take over a `terraform_data`");
}

#[tokio::test(flavor = "multi_thread")]
async fn states_of_older_versions_are_upgraded_and_newer_ones_refused() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    let config = "resource \"shelf_book\" \"a\" {\n  isbn = \"1\"\n  title = \"T\"\n}\n";
    workspace.write(config);
    workspace.apply_and_settle().await;

    let path = workspace.path().join("terraform.tfstate");
    let mut state: serde_json::Value = serde_json::from_str(&workspace.state_text()).unwrap();
    let instance = &mut state["resources"][0]["instances"][0];
    instance["schema_version"] = json!(0);
    instance["attributes"] = json!({"isbn": "1", "name": "T", "genre": "novel", "forgotten": [1]});
    std::fs::write(&path, state.to_string()).unwrap();
    workspace.apply_and_settle().await;
    assert_eq!(workspace.instance("shelf_book.a").unwrap()["schema_version"], 1);

    let mut state: serde_json::Value = serde_json::from_str(&workspace.state_text()).unwrap();
    // Same version with other attributes: from a release between.
    let attributes = &mut state["resources"][0]["instances"][0]["attributes"];
    attributes["from_the_future"] = json!({"x": 1});
    attributes.as_object_mut().unwrap().remove("place");
    std::fs::write(&path, state.to_string()).unwrap();
    workspace.assert_settled().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_only_the_logic_sees_is_an_update_like_any_other() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    let config = |owner: &str| {
        format!(
            "provider \"shelf\" {{\n  directory = \"{}\"\n  {owner}\n}}\nresource \"shelf_book\" \"a\" {{\n  isbn = \"1\"\n  title = \"T\"\n}}\n",
            workspace.shelf().display()
        )
    };
    workspace.write_raw(&config(""));
    workspace.apply_and_settle().await;
    assert_eq!(workspace.state_of("shelf_book.a").unwrap()["owner"], "nobody");
    workspace.write_raw(&config("owner = \"Ada\""));
    let plan = workspace.plan().await;
    for words in [
        "owner = \"nobody\" -> \"Ada\"",
        "revision = 1 -> (known after apply)",
        "1 to change",
    ] {
        assert!(plan.words().contains(words), "{}", plan.text);
    }
    workspace.apply_and_settle().await;
    assert_eq!(workspace.state_of("shelf_book.a").unwrap()["revision"], 2);
}
