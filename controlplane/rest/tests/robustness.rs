// SPDX-License-Identifier: Apache-2.0
//! Whatever the input: an answer, and never one that blames the server.
#![allow(clippy::unwrap_used, reason = "test code")]

mod support;

use hythe_rest::operations;
use hythe_wire::path::segment;
use proptest::prelude::*;
use serde_json::Value;
use support::World;

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        prop_oneof![
            Just("web"),
            Just("MUTABLE"),
            Just("IMMUTABLE_WITH_EXCLUSION"),
            Just("WILDCARD"),
            Just("KMS"),
            Just("ecr:*")
        ]
        .prop_map(Value::from),
    ];
    let name = prop_oneof![
        Just("repositoryName"),
        Just("imageTagMutability"),
        Just("imageTagMutabilityExclusionFilters"),
        Just("filterType"),
        Just("filter"),
        Just("imageScanningConfiguration"),
        Just("scanOnPush"),
        Just("encryptionConfiguration"),
        Just("encryptionType"),
        Just("kmsKey"),
        Just("tags"),
        Just("Key"),
        Just("Value"),
        Just("scope"),
        Just("repositories"),
        Just("actions"),
        Just("durationSeconds"),
        Just("renewable"),
        Just("userName"),
        Just("policies"),
        Just("status"),
        Just("imageDigest"),
        Just("x"),
    ];
    leaf.prop_recursive(3, 24, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((name.clone(), inner), 0..6).prop_map(|pairs| {
                Value::Object(
                    pairs
                        .into_iter()
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                )
            }),
        ]
    })
}

fn parameter() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("web".to_owned()),
        Just("team-a/web".to_owned()),
        Just(format!("sha256:{}", "a".repeat(64))),
        Just("%FF".to_owned()),
        ".{1,20}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_request_makes_the_server_fail(
        requests in proptest::collection::vec(
            ((0..operations().len()).prop_map(|row| &operations()[row]), parameter(), "[ -~]{0,30}", json_value(), any::<bool>()),
            20,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            world.repository("web").await;
            for (info, parameter, query, body, is_query_encoded) in requests {
                let parameter = if parameter == "%FF" { parameter } else { segment(&parameter) };
                let mut path = String::new();
                for part in info.path.split('/').skip(1) {
                    path.push('/');
                    path.push_str(if part.starts_with('{') { &parameter } else { part });
                }
                if !query.is_empty() {
                    let query = if is_query_encoded { segment(&query) } else { query.replace([' ', '"', '<', '>', '`', '{', '}', '\\', '^', '|', '#'], "") };
                    path = format!("{path}?{query}");
                }
                // `send` checks that the status is not 500 and that the code is declared.
                let reply = world.call(&world.root, info.method.as_str(), &path).json(&body).send().await;
                assert!(reply.status < 500, "{} {path} {body}: {}", info.name, reply.status);
            }
        });
    }

    #[test]
    fn no_text_for_a_body_makes_the_server_fail(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::new().await;
            let call = world.call(&world.root, "POST", "/api/v1/repositories").body(Some("application/json"), body);
            assert!(call.send().await.status < 500);
        });
    }
}
