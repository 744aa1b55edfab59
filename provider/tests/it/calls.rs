// SPDX-License-Identifier: Apache-2.0
//! Calls that the Terraform program at hand may be too old for, or makes only after minutes: through the protocol's own client.

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tfplugin::proto::provider_client::ProviderClient;
use tfplugin::{Served, Type, Value, proto, value};
use tonic::transport::Channel;

use crate::schema::description;
use crate::server::{ACCOUNT, Server};
use crate::terraform::serve;

const TYPE: &str = "hythe_repository";

/// A configured provider.
pub struct Plugin {
    pub client: ProviderClient<Channel>,
    pub server: Server,
    _served: Served,
    _folder: TempDir,
}

impl Plugin {
    pub async fn start() -> Self {
        let server = Server::start().await;
        let folder = TempDir::new().unwrap();
        let plugin = serve(&server.endpoint(), folder.path()).await;
        let mut client = ProviderClient::new(plugin.channel().await.unwrap());
        let request = proto::ConfigureProviderRequest {
            config: dynamic(&json!({})),
            terraform_version: "1.14.0".into(),
            client_capabilities: None,
        };
        let configured = client.configure_provider(request).await.unwrap().into_inner();
        assert_eq!(words(&configured.diagnostics), "");
        Self {
            client,
            server,
            _served: plugin,
            _folder: folder,
        }
    }

    /// Opens an ephemeral resource: its result, and the whole answer.
    async fn open(&mut self, name: &str, config: &Json) -> (Value, proto::OpenEphemeralResourceResponse) {
        let request = proto::OpenEphemeralResourceRequest {
            type_name: name.into(),
            config: dynamic(config),
            client_capabilities: None,
        };
        let opened = self.client.open_ephemeral_resource(request).await.unwrap().into_inner();
        assert_eq!(words(&opened.diagnostics), "");
        let ty = description().ephemeral_resources[name].object.ty();
        (decoded(&ty, opened.result.as_ref()), opened)
    }

    async fn renew(&mut self, name: &str, private: Option<Vec<u8>>) -> proto::RenewEphemeralResourceResponse {
        let request = proto::RenewEphemeralResourceRequest {
            type_name: name.into(),
            private,
        };
        self.client
            .renew_ephemeral_resource(request)
            .await
            .unwrap()
            .into_inner()
    }

    /// Closes an ephemeral resource: what is said about it.
    async fn close(&mut self, name: &str, private: &[u8]) -> Vec<proto::Diagnostic> {
        let request = proto::CloseEphemeralResourceRequest {
            type_name: name.into(),
            private: Some(private.to_vec()),
        };
        let closed = self.client.close_ephemeral_resource(request).await.unwrap();
        closed.into_inner().diagnostics
    }

    async fn read(&mut self, state: &Json) -> proto::ReadResourceResponse {
        let request = proto::ReadResourceRequest {
            type_name: TYPE.into(),
            current_state: dynamic(state),
            ..Default::default()
        };
        self.client.read_resource(request).await.unwrap().into_inner()
    }
}

/// A value in its JSON form, which a provider takes as well.
pub fn dynamic(json: &Json) -> Option<proto::DynamicValue> {
    Some(proto::DynamicValue {
        msgpack: Vec::new(),
        json: json.to_string().into_bytes(),
    })
}

pub fn identity(json: &Json) -> Option<proto::IdentityData> {
    Some(proto::IdentityData {
        identity_data: dynamic(json),
    })
}

fn raw(json: &Json) -> Option<proto::RawState> {
    Some(proto::RawState {
        json: json.to_string().into_bytes(),
        ..Default::default()
    })
}

pub fn decoded(ty: &Type, value: Option<&proto::DynamicValue>) -> Value {
    value::decode(ty, &value.unwrap().msgpack).unwrap()
}

fn repository_type() -> Type {
    description().resources[TYPE].schema.object.ty()
}

fn state(value: Option<&proto::DynamicValue>) -> Value {
    decoded(&repository_type(), value)
}

fn identity_of(data: Option<&proto::IdentityData>) -> Value {
    let ty = description().resources[TYPE].identity.as_ref().unwrap().ty();
    decoded(&ty, data.unwrap().identity_data.as_ref())
}

fn named(name: &str) -> Value {
    Value::object([("registry_id", ACCOUNT), ("name", name)])
}

pub fn words(diagnostics: &[proto::Diagnostic]) -> String {
    let lines: Vec<String> = diagnostics
        .iter()
        .map(|it| format!("{}: {}", it.summary, it.detail))
        .collect();
    lines.join(
        "
",
    )
}

fn fixture() -> Json {
    serde_json::from_str(include_str!("../fixtures/hythe_repository_v0.json")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_of_version_0_is_read_with_gaps_and_additions() {
    let mut plugin = Plugin::start().await;
    let ty = repository_type();
    let whole = value::decode_json(&ty, fixture().to_string().as_bytes()).unwrap();
    let mut other = fixture();
    other["from_the_future"] = json!(1);
    other.as_object_mut().unwrap().remove("tags_all");
    let Value::Map(mut members) = whole.clone() else {
        panic!("{whole:?}")
    };
    members.insert("tags_all".into(), Value::Null);
    for (json, want) in [(fixture(), whole), (other, Value::Map(members))] {
        let request = proto::UpgradeResourceStateRequest {
            type_name: TYPE.into(),
            version: 0,
            raw_state: raw(&json),
        };
        let reply = plugin
            .client
            .upgrade_resource_state(request)
            .await
            .unwrap()
            .into_inner();
        assert_eq!(words(&reply.diagnostics), "");
        assert_eq!(state(reply.upgraded_state.as_ref()), want);
    }
    let newer = proto::UpgradeResourceStateRequest {
        type_name: TYPE.into(),
        version: 1,
        raw_state: raw(&fixture()),
    };
    let reply = plugin.client.upgrade_resource_state(newer).await.unwrap().into_inner();
    assert!(
        words(&reply.diagnostics).contains("newer provider"),
        "{:?}",
        reply.diagnostics
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_aws_repository_moves_here_with_its_arguments() {
    let mut plugin = Plugin::start().await;
    plugin.server.add(
        &json!({ "repositoryName": "web", "imageTagMutability": "IMMUTABLE", "tags": [{ "Key": "a", "Value": "1" }] }),
    );
    let source = json!({
        "id": "web", "name": "web", "image_tag_mutability": "IMMUTABLE", "force_delete": true, "tags": { "a": "1" },
        "encryption_configuration": [{ "encryption_type": "AES256", "kms_key": "" }], "image_scanning_configuration": [],
    });
    let request = |from: &str| proto::MoveResourceStateRequest {
        source_provider_address: "registry.terraform.io/hashicorp/aws".into(),
        source_type_name: from.into(),
        source_state: raw(&source),
        target_type_name: TYPE.into(),
        ..Default::default()
    };
    let moved = plugin
        .client
        .move_resource_state(request("aws_ecr_repository"))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(words(&moved.diagnostics), "");
    let before = state(moved.target_state.as_ref());
    assert_eq!((before.get("name"), before.get("arn")), (&"web".into(), &Value::Null));

    // The read that follows fills the rest in, and changes no argument.
    let read = proto::ReadResourceRequest {
        type_name: TYPE.into(),
        current_state: moved.target_state,
        ..Default::default()
    };
    let read = plugin.client.read_resource(read).await.unwrap().into_inner();
    let after = state(read.new_state.as_ref());
    for argument in [
        "name",
        "image_tag_mutability",
        "image_tag_mutability_exclusion_filter",
        "encryption",
        "scan_on_push",
        "allow_sparse_indexes",
        "force_delete",
        "tags",
    ] {
        assert_eq!(before.get(argument), after.get(argument), "{argument}");
    }
    assert_eq!(after.get("repository_url"), &"registry.test:5000/web".into());
    assert_eq!(identity_of(read.new_identity.as_ref()), named("web"));

    let refused = plugin
        .client
        .move_resource_state(request("aws_ecrpublic_repository"))
        .await
        .unwrap()
        .into_inner();
    assert!(
        words(&refused.diagnostics).contains("cannot take over a `aws_ecrpublic_repository`"),
        "{:?}",
        refused.diagnostics
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_finds_its_repository() {
    let mut plugin = Plugin::start().await;
    plugin
        .server
        .add(&json!({ "repositoryName": "team/web", "imageTagMutability": "IMMUTABLE" }));
    let cases = [
        ("by name", json!({ "registry_id": null, "name": "team/web" }), ""),
        (
            "by registry and name",
            json!({ "registry_id": ACCOUNT, "name": "team/web" }),
            "",
        ),
        (
            "of another registry",
            json!({ "registry_id": "000000000001", "name": "team/web" }),
            "Repository of another registry",
        ),
        (
            "absent",
            json!({ "registry_id": null, "name": "absent" }),
            "Cannot import repository `absent`",
        ),
        (
            "no name",
            json!({ "registry_id": null, "name": "Not/Good" }),
            "Invalid import id",
        ),
    ];
    for (what, wanted, refusal) in cases {
        let request = proto::ImportResourceStateRequest {
            type_name: TYPE.into(),
            identity: identity(&wanted),
            ..Default::default()
        };
        let reply = plugin.client.import_resource_state(request).await.unwrap().into_inner();
        let words = words(&reply.diagnostics);
        if refusal.is_empty() {
            assert_eq!(words, "", "{what}");
            let imported = state(reply.imported_resources[0].state.as_ref());
            assert_eq!(
                (imported.get("name"), imported.get("force_delete")),
                (&"team/web".into(), &false.into()),
                "{what}"
            );
        } else {
            assert!(words.contains(refusal), "{what}: {words}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_shows_what_a_read_would() {
    let mut plugin = Plugin::start().await;
    for name in ["a-1", "a-2", "b-1"] {
        plugin
            .server
            .add(&json!({ "repositoryName": name, "tags": [{ "Key": "n", "Value": name }] }));
    }
    for (limit, wants_object, count) in [(10, true, 3), (2, false, 2)] {
        let request = proto::ListResourceRequest {
            type_name: TYPE.into(),
            config: dynamic(&json!({ "name_prefix": null })),
            include_resource_object: wants_object,
            limit,
        };
        let mut stream = plugin.client.list_resource(request).await.unwrap().into_inner();
        let mut found = Vec::new();
        while let Some(event) = stream.message().await.unwrap() {
            assert_eq!(words(&event.diagnostics), "");
            found.push(event);
        }
        assert_eq!(found.len(), count);
        for event in found {
            assert_eq!(identity_of(event.identity.as_ref()), named(&event.display_name));
            assert_eq!(event.resource_object.is_some(), wants_object);
            let Some(object) = event.resource_object else { continue };
            let read = proto::ReadResourceRequest {
                type_name: TYPE.into(),
                current_state: Some(object.clone()),
                ..Default::default()
            };
            let read = plugin.client.read_resource(read).await.unwrap().into_inner();
            assert_eq!(state(read.new_state.as_ref()), state(Some(&object)));

            // And the configuration for it has what is not a default.
            let request = proto::GenerateResourceConfigRequest {
                type_name: TYPE.into(),
                state: Some(object),
            };
            let reply = plugin
                .client
                .generate_resource_config(request)
                .await
                .unwrap()
                .into_inner();
            let config = state(reply.config.as_ref());
            let set = config
                .as_map()
                .unwrap()
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, _)| name.as_str());
            assert_eq!(set.collect::<Vec<_>>(), ["name", "tags"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_tells_drift_and_absence() {
    let mut plugin = Plugin::start().await;
    let gone = plugin.read(&fixture()).await;
    assert_eq!(words(&gone.diagnostics), "");
    assert_eq!(state(gone.new_state.as_ref()), Value::Null);

    plugin.server.add(&json!({
        "repositoryName": "team/web", "imageTagMutability": "MUTABLE", "imageScanningConfiguration": { "scanOnPush": true },
        "tags": [{ "Key": "team", "Value": "web" }, { "Key": "cost", "Value": "1" }],
    }));
    let read = plugin.read(&fixture()).await;
    let now = state(read.new_state.as_ref());
    assert_eq!(now.get("image_tag_mutability"), &"MUTABLE".into());
    assert_eq!(
        now.get("image_tag_mutability_exclusion_filter"),
        &Value::List(Vec::new())
    );
    // What only the state knows stays.
    assert_eq!(now.get("force_delete"), &true.into());
    assert_eq!(
        now.get("tags"),
        &Value::object([("absent", Value::Null), ("team", "web".into())])
    );
}

/// Opens, extends and closes a token whose requests go below `path`.
async fn live_a_token(name: &str, mut config: Json, path: &str) {
    let mut plugin = Plugin::start().await;
    let scope = json!([{ "repositories": ["team/*"], "actions": ["ecr:BatchGetImage"] }]);
    config["scope"] = scope.clone();
    for unknown in [
        "ttl",
        "user_name",
        "password",
        "authorization_token",
        "proxy_endpoint",
        "expires_at",
    ] {
        config[unknown] = Json::Null;
    }
    let (result, opened) = plugin.open(name, &config).await;
    assert_eq!(
        (result.get("password"), result.get("ttl")),
        (&"hunter2".into(), &900.into())
    );
    let asked = plugin.server.seen(&format!("POST /api/v1/{path}"))[0].body.clone();
    assert_eq!(
        asked,
        json!({ "scope": scope, "durationSeconds": 900, "renewable": true })
    );
    assert!(opened.renew_at.is_some());
    let private = opened.private.clone().unwrap();
    assert!(
        !String::from_utf8_lossy(&private).contains("hunter2"),
        "a secret is in what Terraform keeps"
    );

    let renewed = plugin.renew(name, opened.private).await;
    assert_eq!(words(&renewed.diagnostics), "");
    assert!(
        renewed.renew_at.is_some(),
        "the server went along, so the next renewal is due"
    );
    // The stand-in's second answer has the same end: the server's limit is reached.
    let renewed = plugin.renew(name, renewed.private).await;
    assert!(renewed.renew_at.is_none());
    let renewals = plugin.server.seen(&format!("POST /api/v1/{path}/token-0/renewals"));
    assert_eq!(renewals.len(), 2);

    assert_eq!(plugin.server.tokens(), ["token-0"]);
    let closed = plugin.close(name, &private).await;
    assert_eq!((words(&closed).as_str(), plugin.server.tokens().len()), ("", 0));

    // A failure to revoke is a warning: what the token was made for is done.
    let revocation = format!("DELETE /api/v1/{path}");
    plugin
        .server
        .misbehave(&revocation, [crate::server::Mischief::Refuse(500, None)]);
    let closed = plugin.close(name, &private).await;
    assert_eq!(closed.len(), 1);
    assert_eq!(closed[0].severity(), proto::diagnostic::Severity::Warning);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_made_extended_and_revoked() {
    live_a_token("hythe_authorization_token", json!({}), "authorization-tokens").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_a_service_account_is_made_extended_and_revoked() {
    let config = json!({ "service_account": "ci" });
    live_a_token("hythe_service_account_token", config, "users/ci/authorization-tokens").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_a_role_is_opened_and_revoked_by_itself() {
    const SESSION: &str = "hythe_role_session";
    let mut plugin = Plugin::start().await;
    let policy =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecr:BatchGetImage","Resource":"*"}}"#;
    let config = json!({
        "role_arn": "arn:aws:iam::222222222222:role/release", "session_name": null, "policy": policy, "ttl": 1800, "arn": null,
        "user_name": null, "password": null, "authorization_token": null, "proxy_endpoint": null, "expires_at": null,
    });
    let (result, opened) = plugin.open(SESSION, &config).await;
    assert_eq!(
        (result.get("password"), result.get("session_name"), result.get("arn")),
        (
            &"hunter3".into(),
            &"terraform".into(),
            &format!("arn:aws:sts::{}:assumed-role/release/terraform", crate::server::ACCOUNT).into()
        )
    );
    let asked = plugin.server.seen("POST /api/v1/roles/release/sessions")[0]
        .body
        .clone();
    assert_eq!(
        asked,
        json!({ "roleSessionName": "terraform", "durationSeconds": 1800, "policy": policy })
    );
    assert!(opened.renew_at.is_none(), "a session is not extended");
    let private = opened.private.clone().unwrap();
    assert!(!String::from_utf8_lossy(&private).contains("hunter3"));

    assert_eq!(plugin.server.tokens(), ["session-0"]);
    assert_eq!(words(&plugin.close(SESSION, &private).await), "");
    // A second time there is nothing to revoke it with, which is no failure.
    let again = plugin.close(SESSION, &private).await;
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].severity(), proto::diagnostic::Severity::Warning);
    let revoked = plugin.server.seen("DELETE /api/v1/authorization-tokens/session-0");
    assert_eq!(revoked.len(), 1);
    assert_eq!(revoked[0].authorization.as_deref(), Some("Bearer hunter3"));
    assert!(plugin.server.tokens().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_blame_the_argument() {
    let mut plugin = Plugin::start().await;
    for (name, arguments, position) in [
        ("parse_image_uri", vec!["web"], 0),
        ("build_image_uri", vec!["localhost/web", ":"], 1),
        ("parse_arn", vec!["x"], 0),
    ] {
        let arguments = arguments.iter().filter_map(|text| dynamic(&json!(text))).collect();
        let request = proto::CallFunctionRequest {
            name: name.into(),
            arguments,
        };
        let error = plugin
            .client
            .call_function(request)
            .await
            .unwrap()
            .into_inner()
            .error
            .unwrap();
        assert_eq!(error.function_argument, Some(position), "{name}: {}", error.text);
    }
}
