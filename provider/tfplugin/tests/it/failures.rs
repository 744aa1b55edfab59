// SPDX-License-Identifier: Apache-2.0
//! What is recorded and said when things go wrong.

use crate::support::Workspace;

fn book(mischief: &str) -> String {
    format!("resource \"shelf_book\" \"a\" {{\n  isbn = \"1\"\n  title = \"T\"\n  mischief = \"{mischief}\"\n}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_create_left_behind_is_recorded_as_tainted() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    for (mischief, message) in [
        ("partial", "The book has no cover yet."),
        ("panic_late", "The operation was given up: the shelf fell over."),
        (
            "broken",
            "`title` is not what the plan said. This is a bug in the provider.",
        ),
    ] {
        workspace.write(&book(mischief));
        workspace.apply().await.assert_fails_with(message);
        let instance = workspace.instance("shelf_book.a").unwrap();
        assert_eq!(instance["status"], "tainted", "{mischief}");
        assert_eq!(instance["attributes"]["isbn"], "1");
        assert!(workspace.book("1").is_some());

        workspace.write(&book("none"));
        let plan = workspace.plan().await;
        assert!(
            plan.words().contains("is tainted, so must be replaced"),
            "{}",
            plan.text
        );
        workspace.apply_and_settle().await;
        workspace.destroy().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_computed_value_is_named() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.write(&book("broken"));
    workspace
        .apply()
        .await
        .assert_fails_with("The provider did not say what `revision` is");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_message_and_the_provider_lives_on() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.write(&book("panic"));
    let applied = workspace.apply().await;
    applied.assert_fails_with("The operation was given up: the shelf fell over. This is a bug in the provider");
    for words in ["Warning: Mischief", "This will not end well."] {
        assert!(applied.words().contains(words), "{}", applied.text);
    }
    assert!(workspace.instance("shelf_book.a").is_none());
    workspace.write(&book("none"));
    workspace.apply_and_settle().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_delete_keeps_the_object() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.write(&book("refuse_delete"));
    workspace.apply_and_settle().await;
    let plan = workspace.run(&["plan", "-destroy"]).await;
    assert!(plan.words().contains("Warning: Book is chained"), "{}", plan.text);
    workspace
        .run(&["destroy", "-auto-approve"])
        .await
        .assert_fails_with("This book cannot be removed.");
    assert_eq!(workspace.state_of("shelf_book.a").unwrap()["isbn"], "1");
    workspace.write(&book("none"));
    workspace.apply_and_settle().await;
    workspace.destroy().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_and_a_failed_update_change_nothing() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    workspace.put_book("1", "Taken");
    workspace.write(&book("none"));
    workspace
        .apply()
        .await
        .assert_fails_with("There is such a book already.");
    assert!(workspace.instance("shelf_book.a").is_none());
    assert_eq!(workspace.book("1").unwrap()["title"], "Taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_arguments_are_refused_with_their_place() {
    let Some(workspace) = Workspace::reattached().await else {
        return;
    };
    let with =
        |more: &str| format!("resource \"shelf_book\" \"a\" {{\n  isbn = \"1\"\n  title = \"T\"\n  {more}\n}}\n");
    let cases = [
        (
            book("x").replace("\"1\"", "\"abc\""),
            "`abc` has other characters than digits and hyphens",
        ),
        (
            with("genre = \"opera\""),
            "`opera` is not one of: novel, poetry, science",
        ),
        (with("authors = [\"a\", \"\"]"), "Error: Invalid `authors[1]`"),
        (
            with("pages = 1.5"),
            "expected a whole number from 0 to 18446744073709551615",
        ),
        (with("pages = -1"), "expected a whole number from 0"),
        (
            with("chapters = [{ heading = \"h\", length = \"x\" }]"),
            "a number is required",
        ),
    ];
    for (config, message) in cases {
        workspace.write(&config);
        let validated = workspace.run(&["validate"]).await;
        validated.assert_fails_with(message);
    }
}
