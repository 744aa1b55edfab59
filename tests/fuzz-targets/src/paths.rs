// SPDX-License-Identifier: Apache-2.0
//! Paths, queries, and the scopes of tokens.

use hythe_distribution::fuzzing::{path, query_pairs, token_scope};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::text;

/// The whole input as a path, as a query, and as a scope.
pub fn paths(input: &[u8]) {
    let Some(text) = text(input) else { return };
    if let Some(found) = path(text) {
        let again = spell(&found);
        assert_eq!(path(&again), Some(found), "{text} {again}");
    }

    let pairs = query_pairs(text);
    let query: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    assert_eq!(query_pairs(&query.join("&")), pairs);

    if let Some(entry) = token_scope(text) {
        let is_registry = text.starts_with("registry");
        for repository in &entry.repositories {
            assert!(repository == "*" && is_registry || !repository.contains('*'), "{text}");
            assert!(is_registry || repository.parse::<hythe_model::RepositoryName>().is_ok());
        }
        assert!(
            entry
                .actions
                .iter()
                .all(|action| action.starts_with("ecr:") && !action.contains('*'))
        );
    }
}

/// A path that has this shape, name and argument.
fn spell((shape, name, argument): &(String, String, String)) -> String {
    let name = name.split('/').map(encode).collect::<Vec<_>>().join("/");
    let argument = encode(argument);
    let account = if name.is_empty() {
        String::new()
    } else {
        format!("{name}/")
    };
    match shape.as_str() {
        "Token" => "/token".to_owned(),
        "Base" => format!("/v2/{account}"),
        "Catalog" => format!("/v2/{account}_catalog"),
        "Uploads" => format!("/v2/{name}/blobs/uploads/"),
        "Upload" => format!("/v2/{name}/blobs/uploads/{argument}"),
        "Blob" => format!("/v2/{name}/blobs/{argument}"),
        "Manifest" => format!("/v2/{name}/manifests/{argument}"),
        "Tags" => format!("/v2/{name}/tags/list"),
        "Referrers" => format!("/v2/{name}/referrers/{argument}"),
        other => panic_about(other),
    }
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[expect(clippy::panic, reason = "a shape without a spelling is a target to mend")]
fn panic_about(shape: &str) -> ! {
    panic!("the shape {shape} is new: say here how its paths are spelt")
}
