// SPDX-License-Identifier: Apache-2.0
//! The committed documentation is that of the schemas and examples.

use std::path::Path;

use hythe_client::Environment;
use hythe_provider::{HytheProvider, pages};
use tempfile::TempDir;

fn provider() -> HytheProvider {
    let nothing: [(&str, &str); 0] = [];
    HytheProvider::new(Environment::new(nothing, "/".into()))
}

#[test]
fn the_committed_pages_are_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let checked = pages::make(&provider(), &root.join("examples"), &root.join("docs"), true);
    checked.unwrap_or_else(|error| panic!("{error}\nrun: cargo run -p hythe-provider -- docs --out docs"));
}

#[test]
fn stale_missing_and_left_over_pages_are_noticed_and_mended() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let out = TempDir::new().unwrap();
    let make = |check| pages::make(&provider(), &examples, out.path(), check).map_err(|error| error.to_string());
    assert!(make(true).unwrap_err().contains("resources/repository.md"));
    make(false).unwrap();
    make(true).unwrap();
    std::fs::write(out.path().join("resources/gone.md"), "").unwrap();
    std::fs::write(out.path().join("index.md"), "edited").unwrap();
    std::fs::write(out.path().join("CHANGELOG.md"), "written by hand").unwrap();
    let problem = make(true).unwrap_err();
    assert!(
        problem.contains("resources/gone.md") && problem.contains("index.md") && !problem.contains("CHANGELOG"),
        "{problem}"
    );
    make(false).unwrap();
    make(true).unwrap();
    assert!(out.path().join("CHANGELOG.md").exists());
}
