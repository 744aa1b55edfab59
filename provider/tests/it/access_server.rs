// SPDX-License-Identifier: Apache-2.0
//! The part of the stand-in that has accounts, users, groups, roles and policies: objects by their paths.

use std::collections::BTreeMap;

use axum::response::Response;
use serde_json::{Map, Value, json};

use crate::server::{ACCOUNT, created, ok, problem, text};

/// Lists: their path, the member that is their key, and the member of the page.
const LISTS: [(&str, &str, &str); 10] = [
    ("accounts", "accountId", "accounts"),
    ("users", "userName", "users"),
    ("groups", "groupName", "groups"),
    ("roles", "roleName", "roles"),
    ("policies", "policyName", "policies"),
    ("identity-providers", "providerName", "identityProviders"),
    ("repository-creation-templates", "prefix", "repositoryCreationTemplates"),
    ("virtual-repositories", "virtualRepositoryName", "virtualRepositories"),
    (
        "pull-through-cache-rules",
        "ecrRepositoryPrefix",
        "pullThroughCacheRules",
    ),
    ("replication-destinations", "destinationName", "replicationDestinations"),
];

/// Objects by their paths, such as `users/alice` and `repositories/web/policy`.
#[derive(Default)]
pub struct Access {
    objects: BTreeMap<String, Value>,
    keys_made: u32,
}

impl Access {
    pub fn knows(path: &[&str]) -> bool {
        match path {
            ["repositories", _, "policy" | "lifecycle-policy"]
            | ["registry", "policy" | "pull-time-exclusions" | "replication", ..] => true,
            [list, ..] => LISTS.iter().any(|(name, ..)| name == list),
            [] => false,
        }
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.objects.get(path).cloned()
    }

    pub fn change(&mut self, path: &str, change: impl FnOnce(&mut Value)) {
        change(self.objects.entry(path.to_owned()).or_insert_with(|| json!({})));
    }

    pub fn answer(&mut self, method: &str, path: &[&str], body: &Value) -> Response {
        match (method, path) {
            ("GET", ["registry", "policy", "statements"]) => {
                ok(&json!({ "registryId": ACCOUNT, "statements": self.below("registry/policy/statements/") }))
            }
            ("GET", ["registry", "pull-time-exclusions"]) => {
                ok(&json!({ "pullTimeUpdateExclusions": self.below("registry/pull-time-exclusions/") }))
            }
            ("GET", ["registry", "replication", "rules"]) => {
                ok(&json!({ "replicationRules": self.below("registry/replication/rules/") }))
            }
            ("PUT", ["registry", "policy", "statements", sid]) => {
                let statement = json!({ "registryId": ACCOUNT, "sid": sid, "statement": body["statement"] });
                self.put(&path.join("/"), &statement)
            }
            ("PUT", ["registry", "policy"]) => {
                let policy = json!({ "registryId": ACCOUNT, "policyText": body["policyText"] });
                self.put("registry/policy", &policy)
            }
            ("PUT", ["repositories", name, "policy"]) => {
                let policy = json!({ "registryId": ACCOUNT, "repositoryName": name, "policyText": body["policyText"] });
                self.put(&path.join("/"), &policy)
            }
            ("PUT", ["repositories", name, "lifecycle-policy"]) => {
                let text = &body["lifecyclePolicyText"];
                let policy = json!({ "registryId": ACCOUNT, "repositoryName": name, "lifecyclePolicyText": text });
                self.put(&path.join("/"), &policy)
            }
            (_, ["repositories" | "registry", ..]) => self.of_object(method, &path.join("/"), body),
            (_, ["users", user, "access-keys", rest @ ..]) => self.of_access_keys(method, user, rest, body),
            ("PUT" | "DELETE", ["groups", group, "members", user]) => {
                let (group, user) = (format!("groups/{group}"), *user);
                if !self.objects.contains_key(&format!("users/{user}")) {
                    return absent();
                }
                self.link(method, &group, "members", user);
                let name = group.strip_prefix("groups/").unwrap().to_owned();
                self.link(method, &format!("users/{user}"), "groups", &name)
            }
            ("PUT" | "DELETE", [holders, name, "policies", policy]) => {
                let name_of = policy.rsplit('/').next().unwrap();
                self.link(method, &format!("{holders}/{name}"), "policies", name_of)
            }
            ("GET", [list]) => {
                let (_, _, member) = LISTS.iter().find(|(name, ..)| name == list).unwrap();
                let objects = self.below(&format!("{list}/"));
                ok(&json!({ *member: objects }))
            }
            ("POST", [list]) => self.create(list, body),
            (_, [list, name]) => self.of_object(method, &format!("{list}/{name}"), body),
            _ => problem(405, "MethodNotAllowedException", "no such method"),
        }
    }

    /// The objects whose paths are one segment behind this.
    fn below(&self, prefix: &str) -> Vec<&Value> {
        let found = self.objects.iter().filter(|(path, _)| {
            let rest = path.strip_prefix(prefix);
            rest.is_some_and(|rest| !rest.contains("/access-keys/"))
        });
        found.map(|(_, object)| object).collect()
    }

    fn put(&mut self, path: &str, object: &Value) -> Response {
        self.objects.insert(path.to_owned(), object.clone());
        ok(object)
    }

    fn of_object(&mut self, method: &str, path: &str, body: &Value) -> Response {
        let Some(object) = self.objects.get_mut(path) else {
            return absent_at(path);
        };
        match method {
            "GET" => ok(object),
            "PATCH" | "PUT" => {
                let members = object.as_object_mut().unwrap();
                for (name, value) in body.as_object().unwrap() {
                    let is_cleared =
                        value.is_null() || value.as_str() == Some("") || value.as_array().is_some_and(Vec::is_empty);
                    if is_cleared {
                        members.remove(name);
                    } else {
                        members.insert(name.clone(), value.clone());
                    }
                }
                ok(object)
            }
            "DELETE" if path.starts_with("accounts/") => {
                object["status"] = "CLOSED".into();
                ok(object)
            }
            "DELETE" if object["attachmentCount"].as_u64().unwrap_or_default() > 0 => {
                problem(409, "DeleteConflictException", "the policy is attached")
            }
            "DELETE" => {
                let object = self.objects.remove(path).unwrap();
                ok(&object)
            }
            _ => problem(405, "MethodNotAllowedException", "no such method"),
        }
    }

    /// Puts a text into a list of an object, or takes it out.
    fn link(&mut self, method: &str, path: &str, member: &str, text: &str) -> Response {
        let Some(object) = self.objects.get_mut(path) else {
            return absent();
        };
        let list = object[member].as_array_mut().unwrap();
        list.retain(|other| other != text);
        if method == "PUT" {
            list.push(text.into());
        }
        ok(object)
    }

    fn create(&mut self, list: &str, body: &Value) -> Response {
        let (_, key, _) = LISTS.iter().find(|(name, ..)| *name == list).unwrap();
        let mut object = body.clone();
        let members = object.as_object_mut().unwrap();
        let name = match list {
            "accounts" => body["accountId"].as_str().unwrap_or("222222222222").to_owned(),
            "identity-providers" => text(body, "url").split_once("://").unwrap().1.to_owned(),
            _ => text(body, key),
        };
        let path = format!("{list}/{name}");
        if self.objects.contains_key(&path) {
            return problem(
                409,
                "ResourceAlreadyExistsException",
                &format!("`{name}` already exists"),
            );
        }
        let arn = match list {
            "accounts" => format!("arn:aws:iam::{name}:root"),
            "identity-providers" => format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{name}"),
            "policies" => format!("arn:aws:iam::{ACCOUNT}:policy/{name}"),
            _ => format!("arn:aws:iam::{ACCOUNT}:{}/{name}", list.trim_end_matches('s')),
        };
        let mut add = |member: &str, value: Value| {
            members.entry(member).or_insert(value);
        };
        add(key, name.clone().into());
        add("arn", arn.into());
        add("createdAt", json!("2026-11-01T00:00:00Z"));
        add("updatedAt", json!("2026-11-01T00:00:00Z"));
        match list {
            "accounts" => add("status", json!("ACTIVE")),
            "policies" => {
                add("isManaged", json!(false));
                add("attachmentCount", json!(0));
            }
            "identity-providers" => add("signingAlgorithms", json!(["ES256", "RS256"])),
            "roles" => add("maxSessionDuration", json!(3600)),
            _ => {}
        }
        if matches!(list, "users" | "groups" | "roles") {
            add("policies", json!([]));
            add("groups", json!([]));
            add("members", json!([]));
        }
        self.objects.insert(path, object.clone());
        created(&object)
    }

    fn of_access_keys(&mut self, method: &str, user: &str, rest: &[&str], body: &Value) -> Response {
        if !self.objects.contains_key(&format!("users/{user}")) {
            return absent();
        }
        let folder = format!("users/{user}/access-keys/");
        match (method, rest) {
            ("GET", []) => {
                let keys: Vec<Value> = self
                    .objects
                    .iter()
                    .filter(|(path, _)| path.starts_with(&folder))
                    .map(|(_, key)| without_secret(key))
                    .collect();
                ok(&json!({ "accessKeys": keys }))
            }
            ("POST", []) => {
                self.keys_made += 1;
                let id = format!("HYTHE{:0>15}", self.keys_made);
                let key = json!({
                    "accessKeyId": id, "status": "Active", "createdAt": "2026-11-01T00:00:00Z",
                    "secretAccessKey": body["secretAccessKey"],
                });
                self.objects.insert(format!("{folder}{id}"), key.clone());
                created(&key)
            }
            (_, [id]) => {
                let path = format!("{folder}{id}");
                self.of_object(method, &path, body)
            }
            _ => problem(405, "MethodNotAllowedException", "no such method"),
        }
    }
}

fn without_secret(key: &Value) -> Value {
    let mut members: Map<String, Value> = key.as_object().unwrap().clone();
    members.remove("secretAccessKey");
    Value::Object(members)
}

fn absent() -> Response {
    problem(404, "ResourceNotFoundException", "it does not exist")
}

fn absent_at(path: &str) -> Response {
    let code = match path {
        "registry/policy" => "RegistryPolicyNotFoundException",
        path if path.starts_with("repository-creation-templates/") => "TemplateNotFoundException",
        path if path.starts_with("pull-through-cache-rules/") => "PullThroughCacheRuleNotFoundException",
        path if path.starts_with("virtual-repositories/") => "VirtualRepositoryNotFoundException",
        path if path.ends_with("/lifecycle-policy") => "LifecyclePolicyNotFoundException",
        path if path.starts_with("repositories/") => "RepositoryPolicyNotFoundException",
        _ => return absent(),
    };
    problem(404, code, "there is no policy")
}
