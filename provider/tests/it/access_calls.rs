// SPDX-License-Identifier: Apache-2.0
//! What every noun has, through the protocol's own client: import by id and by identity, lists, data sources, generated
//! configurations.

use serde_json::{Value as Json, json};
use tfplugin::{Value, proto};

use crate::calls::{Plugin, decoded, dynamic, identity, words};
use crate::schema::description;
use crate::server::ACCOUNT;

const REPOSITORY_POLICY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"ecr:BatchGetImage"}}"#;
const REGISTRY_POLICY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"ecr:BatchGetImage","Resource":"*"}}"#;
const LIFECYCLE_POLICY: &str = r#"{"rules":[{"rulePriority":1,"selection":{"tagStatus":"any","countType":"imageCountMoreThan","countNumber":1},"action":{"type":"expire"}}]}"#;
const STATEMENT: &str =
    r#"{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"ecr:BatchGetImage","Resource":"*"}"#;
const IDENTITY_POLICY: &str =
    r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecr:BatchGetImage","Resource":"*"}}"#;
const TRUST_POLICY: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole"}}"#;

/// A noun with an object of it on the server.
struct Noun {
    name: &'static str,
    /// What an import is given.
    id: &'static str,
    key: Json,
    /// What a list is narrowed by.
    filter: Json,
    /// What a generated configuration says.
    config: &'static [&'static str],
    has_data_source: bool,
}

#[allow(clippy::too_many_lines, reason = "one row for each noun")]
fn nouns() -> Vec<Noun> {
    let noun = |name, id, key: Json, config| Noun {
        name,
        id,
        key,
        filter: json!({}),
        config,
        has_data_source: true,
    };
    let link = |name, id, key: Json, config| {
        let (holder, value) = key.as_object().unwrap().iter().next().unwrap();
        Noun {
            filter: json!({ holder: value }),
            has_data_source: false,
            ..noun(name, id, key, config)
        }
    };
    let read_only = "arn:aws:iam::aws:policy/ReadOnly";
    vec![
        Noun {
            filter: json!({ "repository_prefix": null }),
            ..noun(
                "repository_policy",
                "team/web",
                json!({ "repository": "team/web" }),
                &["policy", "repository"],
            )
        },
        Noun {
            filter: json!({ "repository_prefix": "team/" }),
            ..noun(
                "lifecycle_policy",
                "team/web",
                json!({ "repository": "team/web" }),
                &["policy", "repository", "rules"],
            )
        },
        noun("registry_policy", ACCOUNT, json!({}), &["policy"]),
        Noun {
            has_data_source: false,
            ..noun(
                "registry_policy_statement",
                "TeamB",
                json!({ "sid": "TeamB" }),
                &["sid", "statement"],
            )
        },
        Noun {
            has_data_source: false,
            ..noun(
                "pull_time_update_exclusion",
                "arn:aws:iam::000000000000:user/scanner",
                json!({ "principal": "arn:aws:iam::000000000000:user/scanner" }),
                &["principal"],
            )
        },
        noun(
            "account",
            "111111111111",
            json!({ "account_id": "111111111111" }),
            &["account_id", "name"],
        ),
        noun(
            "user",
            "alice",
            json!({ "name": "alice" }),
            &["description", "name", "tags"],
        ),
        Noun {
            filter: json!({ "user": "alice" }),
            ..noun(
                "access_key",
                "alice/HYTHE000000000000001",
                json!({ "user": "alice", "access_key_id": "HYTHE000000000000001" }),
                &["user"],
            )
        },
        noun("group", "developers", json!({ "name": "developers" }), &["name"]),
        link(
            "group_membership",
            "developers/alice",
            json!({ "group": "developers", "user": "alice" }),
            &["group", "user"],
        ),
        noun(
            "role",
            "ci",
            json!({ "name": "ci" }),
            &["assume_role_policy", "max_session_duration", "name"],
        ),
        noun("policy", "pull", json!({ "name": "pull" }), &["name", "policy"]),
        link(
            "user_policy_attachment",
            "alice/arn:aws:iam::000000000000:policy/pull",
            json!({ "user": "alice", "policy_arn": "arn:aws:iam::000000000000:policy/pull" }),
            &["policy_arn", "user"],
        ),
        link(
            "group_policy_attachment",
            "developers/arn:aws:iam::aws:policy/ReadOnly",
            json!({ "group": "developers", "policy_arn": read_only }),
            &["group", "policy_arn"],
        ),
        link(
            "role_policy_attachment",
            "ci/arn:aws:iam::aws:policy/ReadOnly",
            json!({ "role": "ci", "policy_arn": read_only }),
            &["policy_arn", "role"],
        ),
        noun(
            "identity_provider",
            "issuer.example.com/x",
            json!({ "name": "issuer.example.com/x" }),
            &["client_ids", "url"],
        ),
        noun(
            "repository_creation_template",
            "team/a",
            json!({ "prefix": "team/a" }),
            &["applied_for", "prefix", "resource_tags"],
        ),
        noun(
            "virtual_repository",
            "all",
            json!({ "name": "all" }),
            &["name", "sources"],
        ),
        noun(
            "pull_through_cache_rule",
            "hub",
            json!({ "ecr_repository_prefix": "hub" }),
            &[
                "ecr_repository_prefix",
                "tag_freshness_seconds",
                "upstream_registry_url",
            ],
        ),
        noun(
            "replication_destination",
            "eu",
            json!({ "name": "eu" }),
            &["endpoint", "kind", "name", "repository_prefix"],
        ),
        noun(
            "replication_rule",
            "team-a",
            json!({ "name": "team-a" }),
            &["destination", "name", "repository_filter"],
        ),
    ]
}

/// One object of each noun.
fn furnish(plugin: &Plugin) {
    let at = json!("2026-11-01T00:00:00Z");
    let arn = |kind: &str, name: &str| format!("arn:aws:iam::{ACCOUNT}:{kind}/{name}");
    plugin.server.add(&json!({ "repositoryName": "team/web" }));
    plugin.server.add(&json!({ "repositoryName": "without/policy" }));
    for (path, object) in [
        (
            "repositories/team/web/policy",
            json!({ "registryId": ACCOUNT, "repositoryName": "team/web", "policyText": REPOSITORY_POLICY }),
        ),
        (
            "repositories/team/web/lifecycle-policy",
            json!({ "registryId": ACCOUNT, "repositoryName": "team/web", "lifecyclePolicyText": LIFECYCLE_POLICY }),
        ),
        (
            "registry/policy",
            json!({ "registryId": ACCOUNT, "policyText": REGISTRY_POLICY }),
        ),
        (
            "registry/policy/statements/TeamB",
            json!({ "registryId": ACCOUNT, "sid": "TeamB", "statement": STATEMENT }),
        ),
        (
            "registry/pull-time-exclusions/arn:aws:iam::000000000000:user/scanner",
            json!({ "principalArn": arn("user", "scanner"), "createdAt": at }),
        ),
        (
            "accounts/111111111111",
            json!({ "accountId": "111111111111", "accountName": "B", "arn": "arn:aws:iam::111111111111:root", "status": "ACTIVE", "createdAt": at }),
        ),
        (
            "users/alice",
            json!({
                "userName": "alice", "arn": arn("user", "alice"), "description": "A", "policies": ["pull"], "createdAt": at,
                "groups": ["developers"], "resourceTags": [{ "Key": "team", "Value": "a" }],
            }),
        ),
        (
            "users/alice/access-keys/HYTHE000000000000001",
            json!({ "accessKeyId": "HYTHE000000000000001", "status": "Active", "createdAt": at, "lastUsedAt": at }),
        ),
        (
            "groups/developers",
            json!({ "groupName": "developers", "arn": arn("group", "developers"), "policies": ["ReadOnly"], "members": ["alice"], "createdAt": at }),
        ),
        (
            "roles/ci",
            json!({
                "roleName": "ci", "arn": arn("role", "ci"), "assumeRolePolicyDocument": TRUST_POLICY, "maxSessionDuration": 7200,
                "policies": ["ReadOnly"], "createdAt": at,
            }),
        ),
        (
            "policies/pull",
            json!({
                "policyName": "pull", "arn": arn("policy", "pull"), "policyDocument": IDENTITY_POLICY, "isManaged": false,
                "attachmentCount": 1, "createdAt": at, "updatedAt": at,
            }),
        ),
        (
            "identity-providers/issuer.example.com/x",
            json!({
                "providerName": "issuer.example.com/x", "arn": arn("oidc-provider", "issuer.example.com/x"),
                "url": "https://issuer.example.com/x", "clientIdList": ["hythe"], "signingAlgorithms": ["RS256", "ES256"],
                "createdAt": at, "updatedAt": at,
            }),
        ),
        (
            "repository-creation-templates/team/a",
            json!({
                "registryId": ACCOUNT, "prefix": "team/a", "appliedFor": ["CREATE_ON_PUSH"], "imageTagMutability": "MUTABLE",
                "allowSparseIndexes": false, "encryptionConfiguration": { "encryptionType": "AES256" },
                "resourceTags": [{ "Key": "team", "Value": "a" }], "createdAt": at, "updatedAt": at,
            }),
        ),
        (
            "virtual-repositories/all",
            json!({
                "registryId": ACCOUNT, "virtualRepositoryName": "all", "createdAt": at, "updatedAt": at,
                "sources": [{ "repositoryPrefix": "team" }, { "repositoryPrefix": "hub", "includes": ["library/*"] }],
            }),
        ),
        (
            "pull-through-cache-rules/hub",
            json!({
                "registryId": ACCOUNT, "ecrRepositoryPrefix": "hub", "upstreamRegistryUrl": "registry-1.docker.io",
                "upstreamRepositoryPrefix": "ROOT", "tagFreshnessSeconds": 3600, "createdAt": at, "updatedAt": at,
            }),
        ),
        (
            "replication-destinations/eu",
            json!({
                "registryId": ACCOUNT, "destinationName": "eu", "kind": "OCI", "endpoint": "registry.example.com",
                "repositoryPrefix": "copies", "consecutiveFailures": 0, "createdAt": at, "updatedAt": at,
            }),
        ),
        (
            "registry/replication/rules/team-a",
            json!({
                "registryId": ACCOUNT, "ruleName": "team-a", "updatedAt": at,
                "rule": {
                    "destinations": [{ "region": "eu", "registryId": ACCOUNT }],
                    "repositoryFilters": [{ "filter": "team-a/", "filterType": "PREFIX_MATCH" }],
                },
            }),
        ),
    ] {
        plugin.server.change_object(path, |place| *place = object);
    }
}

fn type_name(noun: &Noun) -> String {
    format!("hythe_{}", noun.name)
}

async fn read(plugin: &mut Plugin, type_name: &str, state: Option<proto::DynamicValue>) -> proto::ReadResourceResponse {
    let request = proto::ReadResourceRequest {
        type_name: type_name.into(),
        current_state: state,
        ..Default::default()
    };
    plugin.client.read_resource(request).await.unwrap().into_inner()
}

fn same_keys(noun: &Noun, found: &Value) {
    for (name, value) in noun.key.as_object().unwrap() {
        assert_eq!(found.get(name).as_str(), value.as_str(), "{} {name}", noun.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_noun_is_imported_by_its_id_and_by_its_identity() {
    let mut plugin = Plugin::start().await;
    furnish(&plugin);
    for noun in nouns() {
        let name = type_name(&noun);
        let ty = description().resources[&name].schema.object.ty();
        let whole = {
            let mut members = noun.key.clone();
            members["registry_id"] = ACCOUNT.into();
            members
        };
        let by_id = proto::ImportResourceStateRequest {
            type_name: name.clone(),
            id: noun.id.into(),
            ..Default::default()
        };
        let mut requests = vec![by_id];
        for key in [&noun.key, &whole] {
            requests.push(proto::ImportResourceStateRequest {
                type_name: name.clone(),
                identity: identity(key),
                ..Default::default()
            });
        }
        for request in requests {
            let reply = plugin.client.import_resource_state(request).await.unwrap().into_inner();
            assert_eq!(words(&reply.diagnostics), "", "{name}");
            let state = reply.imported_resources[0].state.clone();
            let read = read(&mut plugin, &name, state).await;
            assert_eq!(words(&read.diagnostics), "", "{name}");
            same_keys(&noun, &decoded(&ty, read.new_state.as_ref()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_what_is_not_there_says_so() {
    let mut plugin = Plugin::start().await;
    for noun in nouns() {
        let name = type_name(&noun);
        let mut cases = vec![(noun.id, "There is no")];
        if !["registry_policy", "repository_policy", "registry_policy_statement"].contains(&noun.name) {
            cases.push(("", "has no identity"));
        }
        if noun.key.as_object().unwrap().len() == 2 {
            cases.push(("alone", "is imported by"));
        }
        for (id, refusal) in cases.into_iter().filter(|(id, _)| !id.is_empty()) {
            let request = proto::ImportResourceStateRequest {
                type_name: name.clone(),
                id: id.into(),
                ..Default::default()
            };
            let reply = plugin.client.import_resource_state(request).await.unwrap().into_inner();
            let words = words(&reply.diagnostics);
            assert!(words.contains(refusal), "{name} {id}: {words}");
            assert!(reply.imported_resources.is_empty(), "{name}");
        }
    }
    let request = proto::ImportResourceStateRequest {
        type_name: "hythe_registry_policy".into(),
        id: "111111111111".into(),
        ..Default::default()
    };
    let reply = plugin.client.import_resource_state(request).await.unwrap().into_inner();
    assert!(
        words(&reply.diagnostics).contains("another registry"),
        "{:?}",
        reply.diagnostics
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_list_shows_what_a_read_would_and_what_a_configuration_says() {
    let mut plugin = Plugin::start().await;
    furnish(&plugin);
    for noun in nouns() {
        let name = type_name(&noun);
        let ty = description().resources[&name].schema.object.ty();
        let identity_type = description().resources[&name].identity.as_ref().unwrap().ty();
        let request = proto::ListResourceRequest {
            type_name: name.clone(),
            config: dynamic(&noun.filter),
            include_resource_object: true,
            limit: 10,
        };
        let mut stream = plugin.client.list_resource(request).await.unwrap().into_inner();
        let mut found = Vec::new();
        while let Some(event) = stream.message().await.unwrap() {
            assert_eq!(words(&event.diagnostics), "", "{name}");
            found.push(event);
        }
        assert_eq!(found.len(), 1, "{name}");
        let event = found.remove(0);
        assert_eq!(event.display_name, noun.id, "{name}");
        let named = decoded(&identity_type, event.identity.unwrap().identity_data.as_ref());
        same_keys(&noun, &named);
        let object = event.resource_object;
        let state = decoded(&ty, object.as_ref());
        let read = read(&mut plugin, &name, object.clone()).await;
        assert_eq!(decoded(&ty, read.new_state.as_ref()), state, "{name}");
        assert_eq!(
            decoded(&identity_type, read.new_identity.unwrap().identity_data.as_ref()),
            named,
            "{name}"
        );

        let request = proto::GenerateResourceConfigRequest {
            type_name: name.clone(),
            state: object,
        };
        let reply = plugin
            .client
            .generate_resource_config(request)
            .await
            .unwrap()
            .into_inner();
        let config = decoded(&ty, reply.config.as_ref());
        let said = config.as_map().unwrap().iter().filter(|(_, value)| !value.is_null());
        assert_eq!(
            said.map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            noun.config,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_data_source_finds_its_object_or_says_that_it_is_not_there() {
    let mut plugin = Plugin::start().await;
    for is_there in [false, true] {
        if is_there {
            furnish(&plugin);
        }
        for noun in nouns().into_iter().filter(|noun| noun.has_data_source) {
            let name = type_name(&noun);
            let ty = description().data_sources[&name].object.ty();
            let request = proto::ReadDataSourceRequest {
                type_name: name.clone(),
                config: dynamic(&noun.key),
                ..Default::default()
            };
            let reply = plugin.client.read_data_source(request).await.unwrap().into_inner();
            let words = words(&reply.diagnostics);
            if !is_there {
                assert!(words.contains("There is no"), "{name}: {words}");
                continue;
            }
            assert_eq!(words, "", "{name}");
            let found = decoded(&ty, reply.state.as_ref());
            same_keys(&noun, &found);
            let seen = match noun.name {
                "user" => ("groups", Value::List(vec!["developers".into()])),
                "group" => ("members", Value::List(vec!["alice".into()])),
                "role" => (
                    "policy_arns",
                    Value::List(vec!["arn:aws:iam::aws:policy/ReadOnly".into()]),
                ),
                "policy" => ("attachment_count", 1_u64.into()),
                "access_key" => ("last_used_at", "2026-11-01T00:00:00Z".into()),
                "account" => ("status", "ACTIVE".into()),
                "identity_provider" => ("url", "https://issuer.example.com/x".into()),
                _ => ("registry_id", ACCOUNT.into()),
            };
            assert_eq!(found.get(seen.0), &seen.1, "{name} {}", seen.0);
        }
    }
}
