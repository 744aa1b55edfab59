// SPDX-License-Identifier: Apache-2.0
//! Calls by the generated client: what Terraform 1.11 never does, or hides.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tfplugin::proto::provider_client::ProviderClient;
use tfplugin::{Description, Number, Served, Type, Value, proto, value};
use tonic::transport::Channel;

use crate::shelf::Shelf;
use crate::support::ADDRESS;

/// A provider in this process, its client, and its shelf.
pub struct Plugin {
    pub client: ProviderClient<Channel>,
    pub folder: tempfile::TempDir,
    served: Served,
}

impl Plugin {
    pub async fn unconfigured() -> Self {
        let served = tfplugin::serve_in_process(Shelf, ADDRESS).await.unwrap();
        let client = ProviderClient::new(served.channel().await.unwrap());
        Self {
            client,
            folder: tempfile::tempdir().unwrap(),
            served,
        }
    }

    pub async fn configured() -> Self {
        let mut plugin = Self::unconfigured().await;
        let directory = plugin.folder.path().to_str().unwrap().to_owned();
        let config = dynamic(
            &Type::object([("directory", Type::String), ("owner", Type::String)]),
            &json!({ "directory": directory }),
        );
        let request = proto::ConfigureProviderRequest {
            terraform_version: "1.14.0".to_owned(),
            config: Some(config),
            client_capabilities: None,
        };
        let reply = plugin.client.configure_provider(request).await.unwrap().into_inner();
        assert_eq!(messages(&reply.diagnostics), [""; 0]);
        plugin
    }

    /// Creates a book, and returns what the apply answered.
    pub async fn create(&mut self, book: Json) -> proto::ApplyResourceChangeResponse {
        let config = book_value(&book);
        let null = dynamic(&book_type(), &Json::Null);
        let plan = proto::PlanResourceChangeRequest {
            type_name: "shelf_book".to_owned(),
            prior_state: Some(null.clone()),
            proposed_new_state: Some(config.clone()),
            config: Some(config.clone()),
            ..Default::default()
        };
        let plan = self.client.plan_resource_change(plan).await.unwrap().into_inner();
        assert_eq!(messages(&plan.diagnostics), [""; 0]);
        let apply = proto::ApplyResourceChangeRequest {
            type_name: "shelf_book".to_owned(),
            prior_state: Some(null),
            planned_state: plan.planned_state,
            config: Some(config),
            ..Default::default()
        };
        self.client.apply_resource_change(apply).await.unwrap().into_inner()
    }

    pub async fn stop(self) {
        self.served.stop().await.unwrap();
    }
}

pub fn book_type() -> Type {
    Description::of(&Shelf).resources["shelf_book"].schema.object.ty()
}

/// A value from JSON, as MessagePack of the type. Missing attributes are null.
pub fn dynamic(ty: &Type, json: &Json) -> proto::DynamicValue {
    let value = value::from_json(ty, json).unwrap();
    proto::DynamicValue {
        msgpack: value::encode(ty, &value).unwrap(),
        json: Vec::new(),
    }
}

pub fn book_value(json: &Json) -> proto::DynamicValue {
    let mut json = json.clone();
    json.as_object_mut().unwrap().entry("edition").or_insert(json!([]));
    dynamic(&book_type(), &json)
}

pub fn identity(isbn: &str) -> proto::IdentityData {
    let data = dynamic(&Type::object([("isbn", Type::String)]), &json!({ "isbn": isbn }));
    proto::IdentityData {
        identity_data: Some(data),
    }
}

pub fn decoded(ty: &Type, value: Option<&proto::DynamicValue>) -> Value {
    value::decode(ty, &value.unwrap().msgpack).unwrap()
}

pub fn messages(diagnostics: &[proto::Diagnostic]) -> Vec<String> {
    diagnostics
        .iter()
        .map(|it| format!("{}: {}", it.summary, it.detail))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sample_provider_obeys_every_rule_and_documents_everything() {
    let description = Description::of(&Shelf);
    assert_eq!(description.problems(), [""; 0]);
    assert_eq!(description.undocumented(), [""; 0]);
    assert_eq!(
        description.functions["slug"].signature("slug"),
        "slug(text string, limit number) string"
    );
    assert_eq!(
        description.functions["slug"].summary,
        "Turns a text into a word for addresses."
    );
    let genre = description.resources["shelf_book"]
        .schema
        .object
        .attribute("genre")
        .unwrap()
        .clone();
    assert_eq!(genre.allowed, ["novel", "poetry", "science"]);
    assert_eq!(genre.default, Some(Value::from("novel")));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_terraform_is_told_about_write_only_arguments() {
    let mut plugin = Plugin::unconfigured().await;
    let config = book_value(&json!({"isbn": "1", "title": "T", "password_wo": "x", "password_wo_version": 1}));
    for (is_allowed, want) in [(true, 0), (false, 1)] {
        let request = proto::ValidateResourceConfigRequest {
            type_name: "shelf_book".to_owned(),
            config: Some(config.clone()),
            client_capabilities: Some(proto::ClientCapabilities {
                write_only_attributes_allowed: is_allowed,
                ..Default::default()
            }),
        };
        let reply = plugin
            .client
            .validate_resource_config(request)
            .await
            .unwrap()
            .into_inner();
        let messages = messages(&reply.diagnostics);
        assert_eq!(messages.len(), want);
        assert!(
            messages.iter().all(|it| it.contains("needs Terraform 1.11")),
            "{messages:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_interrupts_what_runs_and_nothing_after_it() {
    let mut plugin = Plugin::configured().await;
    let mut other = plugin.client.clone();
    let journal = plugin.folder.path().join("journal.txt");
    let stop = async move {
        while !std::fs::read_to_string(&journal)
            .unwrap_or_default()
            .contains("creating slowly")
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        other.stop_provider(proto::StopProviderRequest {}).await.unwrap();
    };
    let (reply, ()) = tokio::join!(
        plugin.create(json!({"isbn": "1", "title": "T", "mischief": "slow"})),
        stop
    );
    assert!(messages(&reply.diagnostics)[0].starts_with("Interrupted"));
    assert_eq!(
        decoded(&book_type(), reply.new_state.as_ref()).get("isbn"),
        &Value::from("1")
    );
    assert!(reply.new_identity.is_some());

    let reply = plugin.create(json!({"isbn": "2", "title": "T"})).await;
    assert_eq!(messages(&reply.diagnostics), [""; 0]);
    plugin.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_client_reading_keeps_the_state_and_applying_says_why() {
    let mut plugin = Plugin::unconfigured().await;
    let state = book_value(&json!({"isbn": "1", "title": "T"}));
    let request = proto::ReadResourceRequest {
        type_name: "shelf_book".to_owned(),
        current_state: Some(state.clone()),
        private: b"etag".to_vec(),
        ..Default::default()
    };
    let reply = plugin.client.read_resource(request).await.unwrap().into_inner();
    assert_eq!(reply.new_state, Some(state.clone()));
    assert_eq!(reply.private, b"etag");

    let reply = plugin.create(json!({"isbn": "1", "title": "T"})).await;
    assert!(messages(&reply.diagnostics)[0].starts_with("Provider is not configured yet"));
    assert_eq!(decoded(&book_type(), reply.new_state.as_ref()), Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn states_that_cannot_be_read_are_refused_with_a_reason() {
    let mut plugin = Plugin::unconfigured().await;
    let raw = |json: &str| proto::RawState {
        json: json.as_bytes().to_vec(),
        ..Default::default()
    };
    let flat = proto::RawState {
        json: Vec::new(),
        flatmap: [("isbn".to_owned(), "1".to_owned())].into(),
    };
    let cases = [
        (2, raw("{}"), "only knows versions up to 1"),
        (-1, raw("{}"), "Version -1 is not known"),
        (1, raw("{"), "malformed JSON"),
        (0, raw("{"), "EOF while parsing"),
        (1, raw("{\"pages\": \"many\"}"), "pages: expected number"),
        (0, flat, "Terraform 0.11"),
    ];
    for (version, raw_state, message) in cases {
        let request = proto::UpgradeResourceStateRequest {
            type_name: "shelf_book".to_owned(),
            version,
            raw_state: Some(raw_state),
        };
        let reply = plugin
            .client
            .upgrade_resource_state(request)
            .await
            .unwrap()
            .into_inner();
        let messages = messages(&reply.diagnostics);
        assert!(
            messages.len() == 1 && messages[0].contains(message),
            "{message}: {messages:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_are_messages_and_lose_no_state() {
    let mut plugin = Plugin::configured().await;
    let junk = || {
        Some(proto::DynamicValue {
            msgpack: vec![0x91; 300],
            json: Vec::new(),
        })
    };
    let name = || "shelf_book".to_owned();

    let request = proto::PlanResourceChangeRequest {
        type_name: name(),
        config: junk(),
        ..Default::default()
    };
    let reply = plugin.client.plan_resource_change(request).await.unwrap().into_inner();
    assert!(messages(&reply.diagnostics)[0].starts_with("Cannot read a value"));

    let prior = book_value(&json!({"isbn": "1", "title": "T"}));
    let request = proto::ApplyResourceChangeRequest {
        type_name: name(),
        prior_state: Some(prior.clone()),
        planned_state: junk(),
        planned_private: b"etag".to_vec(),
        ..Default::default()
    };
    let reply = plugin.client.apply_resource_change(request).await.unwrap().into_inner();
    assert!(messages(&reply.diagnostics)[0].starts_with("Cannot read a value"));
    assert_eq!((reply.new_state, reply.private), (Some(prior), b"etag".to_vec()));

    let request = proto::ReadDataSourceRequest {
        type_name: "shelf_nothing".to_owned(),
        ..Default::default()
    };
    let reply = plugin.client.read_data_source(request).await.unwrap().into_inner();
    assert_eq!(
        messages(&reply.diagnostics),
        ["Unknown data source: This provider has no data source `shelf_nothing`."]
    );

    for (function, arguments, text) in [
        ("nothing", vec![], "this provider has no function `nothing`"),
        ("join", vec![], "too few arguments"),
        ("slug", vec![junk().unwrap()], "too deeply nested"),
    ] {
        let request = proto::CallFunctionRequest {
            name: function.to_owned(),
            arguments,
        };
        let reply = plugin.client.call_function(request).await.unwrap().into_inner();
        let error = reply.error.unwrap();
        assert!(error.text.contains(text), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_may_come_as_json_and_large_messages_pass() {
    let mut plugin = Plugin::configured().await;
    // Beyond the 4 MiB that gRPC libraries allow by default.
    let title = "x".repeat(6 * 1024 * 1024);
    let config = json!({"isbn": "1", "title": title}).to_string().into_bytes();
    let request = proto::PlanResourceChangeRequest {
        type_name: "shelf_book".to_owned(),
        prior_state: None,
        proposed_new_state: Some(proto::DynamicValue {
            msgpack: Vec::new(),
            json: config.clone(),
        }),
        config: Some(proto::DynamicValue {
            msgpack: Vec::new(),
            json: config,
        }),
        ..Default::default()
    };
    let mut client = plugin
        .client
        .clone()
        .max_decoding_message_size(proto::MAX_MESSAGE_BYTES);
    let reply = client.plan_resource_change(request).await.unwrap().into_inner();
    assert_eq!(messages(&reply.diagnostics), [""; 0]);
    let planned = decoded(&book_type(), reply.planned_state.as_ref());
    assert_eq!(planned.get("title").as_str().unwrap().len(), title.len());
    assert_eq!(planned.get("place"), &Value::from("row 1"));
    assert_eq!(planned.get("edition"), &Value::List(Vec::new()));
    plugin
        .client
        .stop_provider(proto::StopProviderRequest {})
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_resource_is_renewed_and_closed_with_what_it_opened() {
    let mut plugin = Plugin::configured().await;
    let ty = Type::object([("isbn", Type::String), ("secret", Type::String)]);
    let request = proto::OpenEphemeralResourceRequest {
        type_name: "shelf_key".to_owned(),
        config: Some(dynamic(&ty, &json!({"isbn": "1"}))),
        client_capabilities: None,
    };
    let opened = plugin
        .client
        .open_ephemeral_resource(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        decoded(&ty, opened.result.as_ref()).get("secret"),
        &Value::from("secret of 1")
    );
    assert_eq!(opened.renew_at.unwrap().seconds, 4_000_000_000);
    let (type_name, private) = ("shelf_key".to_owned(), opened.private);
    let request = proto::RenewEphemeralResourceRequest {
        type_name: type_name.clone(),
        private: private.clone(),
    };
    let renewed = plugin
        .client
        .renew_ephemeral_resource(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!((renewed.renew_at, &renewed.private), (None, &private));
    let request = proto::CloseEphemeralResourceRequest { type_name, private };
    let closed = plugin
        .client
        .close_ephemeral_resource(request)
        .await
        .unwrap()
        .into_inner();
    assert_eq!(messages(&closed.diagnostics), [""; 0]);
    let journal = std::fs::read_to_string(plugin.folder.path().join("journal.txt")).unwrap();
    assert_eq!(journal, "open 1\nrenew 1\nclose 1\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_keep_every_digit_through_a_whole_change() {
    let mut plugin = Plugin::configured().await;
    let config = r#"{"isbn": "1", "title": "T", "pages": 18446744073709551615, "extra": {"type": "number", "value": 0.1234567890123456789012345}}"#;
    let ty = book_type();
    let value = value::decode_json(&ty, config.as_bytes()).unwrap();
    let config = proto::DynamicValue {
        msgpack: value::encode(&ty, &value).unwrap(),
        json: Vec::new(),
    };
    let request = proto::PlanResourceChangeRequest {
        type_name: "shelf_book".to_owned(),
        proposed_new_state: Some(config.clone()),
        config: Some(config),
        ..Default::default()
    };
    let plan = plugin.client.plan_resource_change(request).await.unwrap().into_inner();
    let planned = decoded(&ty, plan.planned_state.as_ref());
    assert_eq!(planned.get("pages"), &Value::from(u64::MAX));
    let extra: Number = "0.1234567890123456789012345".parse().unwrap();
    assert_eq!(
        planned.get("extra"),
        &Value::Dynamic(Box::new((Type::Number, Value::Number(extra))))
    );
}
