// SPDX-License-Identifier: Apache-2.0
//! Calls of Terraform 1.12 and later: identity, list resources, actions, generated configuration.

use serde_json::json;
use tfplugin::{Type, Value, proto};
use tonic::Streaming;

use crate::calls::{Plugin, book_type, book_value, decoded, dynamic, identity, messages};

async fn all<T>(mut stream: Streaming<T>) -> Vec<T> {
    let mut events = Vec::new();
    while let Some(event) = stream.message().await.unwrap() {
        events.push(event);
    }
    events
}

fn name() -> String {
    "shelf_book".to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_and_identity_schemas_list_everything() {
    let mut plugin = Plugin::unconfigured().await;
    let metadata = plugin
        .client
        .get_metadata(proto::GetMetadataRequest {})
        .await
        .unwrap()
        .into_inner();
    let names = |found: &[proto::get_metadata_response::TypeName]| {
        found
            .iter()
            .map(|it| it.type_name.clone())
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(names(&metadata.resources), "shelf_book shelf_pamphlet");
    assert_eq!(names(&metadata.data_sources), "shelf_lookup");
    assert_eq!(names(&metadata.ephemeral_resources), "shelf_key");
    assert_eq!(names(&metadata.list_resources), "shelf_book");
    assert_eq!(names(&metadata.actions), "shelf_stamp");
    let capabilities = metadata.server_capabilities.unwrap();
    assert!(capabilities.plan_destroy && capabilities.move_resource_state && capabilities.generate_resource_config);

    let request = proto::GetResourceIdentitySchemasRequest {};
    let schemas = plugin
        .client
        .get_resource_identity_schemas(request)
        .await
        .unwrap()
        .into_inner()
        .identity_schemas;
    assert_eq!(schemas.keys().collect::<Vec<_>>(), ["shelf_book"]);
    let attribute = &schemas["shelf_book"].identity_attributes[0];
    assert_eq!((attribute.name.as_str(), attribute.required_for_import), ("isbn", true));

    let request = proto::GetProviderSchemaRequest {};
    let schema = plugin.client.get_provider_schema(request).await.unwrap().into_inner();
    assert_eq!(messages(&schema.diagnostics), [""; 0]);
    assert!(schema.action_schemas.contains_key("shelf_stamp"));
    let functions = plugin
        .client
        .get_functions(proto::GetFunctionsRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(functions.functions, schema.functions);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_follows_an_object_and_finds_it_again() {
    let mut plugin = Plugin::configured().await;
    let created = plugin.create(json!({"isbn": "1", "title": "T"})).await;
    assert_eq!(created.new_identity, Some(identity("1")));

    let request = proto::ReadResourceRequest {
        type_name: name(),
        current_state: created.new_state.clone(),
        private: created.private.clone(),
        ..Default::default()
    };
    let read = plugin.client.read_resource(request).await.unwrap().into_inner();
    assert_eq!(
        (read.new_state, read.new_identity),
        (created.new_state, Some(identity("1")))
    );
    assert_eq!(
        (created.private, read.private),
        (b"made here".to_vec(), b"made here".to_vec())
    );

    for (isbn, want) in [("1", None), ("2", Some("No such book: There is no book `2`."))] {
        let request = proto::ImportResourceStateRequest {
            type_name: name(),
            identity: Some(identity(isbn)),
            ..Default::default()
        };
        let reply = plugin.client.import_resource_state(request).await.unwrap().into_inner();
        match want {
            None => {
                let imported = &reply.imported_resources[0];
                assert_eq!(imported.identity, Some(identity("1")));
                let state = decoded(&book_type(), imported.state.as_ref());
                assert_eq!(
                    (state.get("isbn"), state.get("genre")),
                    (&Value::from("1"), &Value::from("novel"))
                );
            }
            Some(message) => assert_eq!(messages(&reply.diagnostics), [message]),
        }
    }

    let request = proto::ImportResourceStateRequest {
        type_name: "shelf_pamphlet".to_owned(),
        identity: Some(identity("1")),
        ..Default::default()
    };
    let reply = plugin.client.import_resource_state(request).await.unwrap().into_inner();
    assert!(messages(&reply.diagnostics)[0].starts_with("No identity"));
}

#[tokio::test(flavor = "multi_thread")]
async fn identities_of_the_present_version_pass_and_newer_ones_are_refused() {
    let mut plugin = Plugin::unconfigured().await;
    for (version, want) in [(0, Some(identity("1"))), (1, None)] {
        let raw = proto::RawState {
            json: br#"{"isbn": "1", "old": true}"#.to_vec(),
            ..Default::default()
        };
        let request = proto::UpgradeResourceIdentityRequest {
            type_name: name(),
            version,
            raw_identity: Some(raw),
        };
        let reply = plugin
            .client
            .upgrade_resource_identity(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(reply.upgraded_identity, want);
        assert_eq!(reply.diagnostics.is_empty(), want.is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_listed_up_to_the_limit_and_in_full_when_asked() {
    let mut plugin = Plugin::configured().await;
    for (isbn, genre) in [("1", "novel"), ("2", "poetry"), ("3", "novel"), ("4", "novel")] {
        plugin
            .create(json!({"isbn": isbn, "title": format!("T{isbn}"), "genre": genre}))
            .await;
    }
    let ty = Type::object([("genre", Type::String)]);
    let cases = [
        // (filter, limit, in full, titles)
        (json!({}), 0, false, "T1 T2 T3 T4"),
        (json!({}), 3, true, "T1 T2 T3"),
        (json!({"genre": "novel"}), 2, true, "T1 T3"),
        (json!({"genre": "science"}), 2, true, ""),
    ];
    for (config, limit, include_resource_object, want) in cases {
        let request = proto::ListResourceRequest {
            type_name: name(),
            config: Some(dynamic(&ty, &config)),
            include_resource_object,
            limit,
        };
        let events = all(plugin.client.list_resource(request).await.unwrap().into_inner()).await;
        let titles: Vec<_> = events.iter().map(|event| event.display_name.as_str()).collect();
        assert_eq!(titles.join(" "), want);
        for event in &events {
            assert_eq!(messages(&event.diagnostics), [""; 0]);
            assert_eq!(event.resource_object.is_some(), include_resource_object);
            assert!(event.identity.is_some());
        }
    }
    let request = proto::ListResourceRequest {
        type_name: name(),
        config: Some(proto::DynamicValue {
            msgpack: b"\xff".to_vec(),
            json: Vec::new(),
        }),
        ..Default::default()
    };
    let events = all(plugin.client.list_resource(request).await.unwrap().into_inner()).await;
    assert!(messages(&events[0].diagnostics)[0].starts_with("Cannot read a value"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_reports_progress_and_ends_with_its_outcome() {
    use proto::invoke_action_event::Event;
    let mut plugin = Plugin::configured().await;
    plugin.create(json!({"isbn": "1", "title": "T"})).await;
    let ty = Type::object([("isbn", Type::String), ("times", Type::Number)]);
    for (isbn, want) in [
        ("1", "stamp 1|stamp 2|done"),
        ("2", "No such book: There is no book `2`.|done"),
    ] {
        let config = Some(dynamic(&ty, &json!({"isbn": isbn, "times": 2})));
        let action_type = "shelf_stamp".to_owned();
        let request = proto::PlanActionRequest {
            action_type: action_type.clone(),
            config: config.clone(),
            client_capabilities: None,
        };
        let plan = plugin.client.plan_action(request).await.unwrap().into_inner();
        assert_eq!(messages(&plan.diagnostics), [""; 0]);
        let request = proto::InvokeActionRequest {
            action_type,
            config,
            client_capabilities: None,
        };
        let events = all(plugin.client.invoke_action(request).await.unwrap().into_inner()).await;
        let mut story = Vec::new();
        for event in events {
            match event.event.unwrap() {
                Event::Progress(progress) => story.push(progress.message),
                Event::Completed(completed) => {
                    story.extend(messages(&completed.diagnostics));
                    story.push("done".to_owned());
                }
            }
        }
        assert_eq!(story.join("|"), want);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn configuration_is_generated_from_state() {
    let mut plugin = Plugin::configured().await;
    let state = json!({
        "isbn": "1", "title": "T", "genre": "novel", "place": "row 1", "revision": 3, "pages": 7,
        "chapters": [{"heading": "h", "length": 1, "first_page": 1}, {"heading": "i", "length": 2, "first_page": 2}],
    });
    let request = proto::GenerateResourceConfigRequest {
        type_name: name(),
        state: Some(book_value(&state)),
    };
    let reply = plugin
        .client
        .generate_resource_config(request)
        .await
        .unwrap()
        .into_inner();
    let want = json!({
        "isbn": "1", "title": "T", "pages": 7, "chapters": [{"heading": "h"}, {"heading": "i", "length": 2}],
    });
    assert_eq!(reply.config, Some(book_value(&want)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_another_type_moves_with_its_identity() {
    let mut plugin = Plugin::configured().await;
    let request = |provider: &str| proto::MoveResourceStateRequest {
        source_provider_address: provider.to_owned(),
        source_type_name: "shelf_pamphlet".to_owned(),
        source_state: Some(proto::RawState {
            json: br#"{"isbn": "1", "name": "T"}"#.to_vec(),
            ..Default::default()
        }),
        target_type_name: name(),
        ..Default::default()
    };
    let reply = plugin
        .client
        .move_resource_state(request("registry.terraform.io/example/shelf"))
        .await
        .unwrap();
    let reply = reply.into_inner();
    assert_eq!(
        decoded(&book_type(), reply.target_state.as_ref()).get("title"),
        &Value::from("T")
    );
    assert_eq!(reply.target_identity, Some(identity("1")));
    let reply = plugin
        .client
        .move_resource_state(request("registry.terraform.io/other/other"))
        .await
        .unwrap();
    assert!(messages(&reply.into_inner().diagnostics)[0].starts_with("Cannot move"));
}
