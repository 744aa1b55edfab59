// SPDX-License-Identifier: Apache-2.0
//! The OpenAPI document says what the server does.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use hythe_rest::{openapi, operations};
use serde_json::Value;
use support::World;

#[test]
fn the_document_is_as_reviewed() {
    insta::assert_snapshot!(serde_json::to_string_pretty(&openapi()).unwrap());
}

#[test]
fn every_reference_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                if let Some(Value::String(target)) = object.get("$ref") {
                    found.push(target.clone());
                }
                object.values().for_each(|value| references(value, found));
            }
            Value::Array(list) => list.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = openapi();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for target in found {
        let pointer = target.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{target}");
    }
}

#[tokio::test]
async fn the_server_serves_every_path_of_the_document_and_the_document_itself() {
    let world = World::new().await;
    let served = world
        .call(&support::Auth::Nobody, "GET", "/api/v1/openapi.json")
        .send()
        .await;
    assert_eq!(served.expect(200).json(), openapi());
    let document = openapi();
    let mut count = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            count += 1;
            let reply = world
                .call(&support::Auth::Nobody, &method.to_uppercase(), path)
                .send()
                .await;
            assert!(!matches!(reply.status, 404 | 405), "{method} {path}: {}", reply.status);
        }
    }
    assert_eq!(count, operations().len());
}
