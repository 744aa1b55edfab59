// SPDX-License-Identifier: Apache-2.0
//! The OpenAPI 3.1 document, made from the table of operations and the types of the wire.

use std::collections::BTreeMap;

use hythe_wire::{IDEMPOTENCY_KEY, MAX_IDEMPOTENCY_KEY_CHARS, PROBLEM_MEDIA_TYPE, Problem};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::operation::{Form, schema};
use crate::problem::status_of;
use crate::{Access, OperationInfo, Preconditions, operations};

const SCHEMAS: &str = "/components/schemas";

/// The OpenAPI 3.1 document of the API.
#[must_use]
pub fn openapi() -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = SCHEMAS.into();
            settings.meta_schema = None;
        })
    };
    // A request and an answer read the same type differently: what has a default is optional in the one only.
    let mut requests = settings().for_deserialize().into_generator();
    let mut answers = settings().for_serialize().into_generator();
    let mut queries = settings().for_deserialize().into_generator();

    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for info in operations() {
        let operation = describe(info, &mut requests, &mut answers, &mut queries);
        paths
            .entry(info.path)
            .or_default()
            .insert(info.method.as_str().to_lowercase(), operation);
    }
    let problem = schema::<Problem>(&mut answers);

    let mut schemas: BTreeMap<String, Value> = requests.take_definitions(true).into_iter().collect();
    schemas.extend(answers.take_definitions(true));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Hythe control plane",
            "version": "v1",
            "description": "Manages a container registry with the behaviour of Amazon ECR. Names and digests go percent-encoded into one segment of a path.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "security": [{ "basic": [] }, { "bearer": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "basic": { "type": "http", "scheme": "basic", "description": "Access key id and secret, or `AWS` and an authorization token." },
                "bearer": { "type": "http", "scheme": "bearer", "description": "An authorization token." },
            },
            "responses": {
                "Problem": {
                    "description": "The request failed.",
                    "content": { PROBLEM_MEDIA_TYPE: { "schema": problem } },
                },
            },
            "schemas": schemas,
        },
    })
}

fn describe(
    info: &OperationInfo,
    requests: &mut SchemaGenerator,
    answers: &mut SchemaGenerator,
    queries: &mut SchemaGenerator,
) -> Value {
    let mut operation = json!({
        "operationId": info.name,
        "summary": info.summary,
        "tags": [group(info.path)],
        "parameters": parameters(info, queries, requests),
    });
    let mut set = |name: &str, value: Value| {
        if let Some(object) = operation.as_object_mut() {
            object.insert(name.to_owned(), value);
        }
    };
    match info.access {
        Access::Open | Access::Proof => set("security", json!([])),
        Access::Authenticated => {}
        Access::Filtered(action) => set("x-actions", json!([action.as_str()])),
        Access::Actions(actions) => {
            set("x-actions", actions.iter().map(|action| action.as_str()).collect());
        }
    }
    if let Some(body) = info.body {
        let schema = body(requests).to_value();
        let name = schema
            .pointer("/$ref")
            .and_then(Value::as_str)
            .and_then(|path| path.rsplit('/').next());
        let definition = name.and_then(|name| requests.definitions().get(name));
        // An empty body counts as an empty object.
        let is_required = definition.is_some_and(|definition| definition.get("required").is_some());
        set(
            "requestBody",
            json!({ "required": is_required, "content": { "application/json": { "schema": schema } } }),
        );
    }
    let content = match info.answer.form {
        Form::Json(schema) => json!({ "application/json": { "schema": schema(answers) } }),
        Form::Bytes => json!({ "*/*": {} }),
    };
    let mut responses = Map::new();
    let status = info.answer.status;
    let text = status.canonical_reason().unwrap_or_default();
    responses.insert(
        status.as_str().to_owned(),
        json!({ "description": text, "content": content }),
    );
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for code in info.all_errors() {
        by_status.entry(status_of(code).as_u16()).or_default().push(code);
    }
    for (status, codes) in by_status {
        let problem = json!({
            "description": codes.join(", "),
            "content": { PROBLEM_MEDIA_TYPE: { "schema": { "$ref": format!("#{SCHEMAS}/Problem") } } },
        });
        responses.insert(status.to_string(), problem);
    }
    set("responses", Value::Object(responses));
    operation
}

/// The noun that the path starts with, or the one below a repository or a user.
fn group(path: &str) -> &str {
    let mut segments = path.split('/').skip(3).filter(|segment| !segment.starts_with('{'));
    let first = segments.next().unwrap_or_default();
    segments
        .next()
        .filter(|second| {
            !matches!(
                *second,
                "usage" | "renewals" | "policies" | "members" | "administrator-keys"
            )
        })
        .unwrap_or(first)
}

fn parameters(info: &OperationInfo, queries: &mut SchemaGenerator, requests: &mut SchemaGenerator) -> Vec<Value> {
    let mut parameters = Vec::new();
    for segment in info.path.split('/') {
        let Some(name) = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
            continue;
        };
        let schema = match name {
            "repositoryName" => schema::<hythe_model::RepositoryName>(requests).to_value(),
            "imageDigest" => schema::<hythe_model::Digest>(requests).to_value(),
            "imageTag" => schema::<hythe_model::Tag>(requests).to_value(),
            _ => json!({ "type": "string" }),
        };
        parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": schema }));
    }
    // The members of the query's type are the parameters; the type itself has no name on the wire. The types of the
    // members do, and they are all known to the requests' generator or become so here.
    let query = (info.query)(queries).to_value();
    let name = query
        .pointer("/$ref")
        .and_then(Value::as_str)
        .and_then(|path| path.rsplit('/').next());
    let definition = name
        .and_then(|name| queries.definitions().get(name))
        .unwrap_or(&query)
        .clone();
    let required: Vec<&str> = definition
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    for (name, schema) in definition
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
    {
        let mut schema = without_null(inline(schema, queries.definitions()));
        let description = schema
            .as_object_mut()
            .and_then(|object| object.remove("description"))
            .unwrap_or_default();
        let mut parameter = json!({ "name": name, "in": "query", "description": description, "schema": schema });
        if required.contains(&name.as_str())
            && let Some(object) = parameter.as_object_mut()
        {
            object.insert("required".to_owned(), json!(true));
        }
        parameters.push(parameter);
    }
    match info.preconditions {
        Preconditions::None => {}
        Preconditions::IfMatch => parameters.push(json!({
            "name": "If-Match", "in": "header", "schema": { "type": "string" },
            "description": "The entity tag (`ETag`) of the state that the request is about; another state is answered with 412.",
        })),
        Preconditions::IdempotencyKey => parameters.push(json!({
            "name": IDEMPOTENCY_KEY, "in": "header",
            "schema": { "type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY_CHARS },
            "description": "A text that is new for each intent: a repeated request with the same key takes effect once.",
        })),
    }
    parameters
}

/// `schema` without `null`, which a query cannot say.
fn without_null(schema: Value) -> Value {
    let Value::Object(mut object) = schema else {
        return schema;
    };
    if let Some(Value::Array(types)) = object.get("type") {
        let types: Vec<Value> = types.iter().filter(|kind| *kind != "null").cloned().collect();
        if let [only] = types.as_slice() {
            object.insert("type".to_owned(), only.clone());
        }
    }
    let null = json!({ "type": "null" });
    if let Some(Value::Array(choices)) = object.remove("anyOf") {
        for choice in choices.into_iter().filter(|choice| *choice != null) {
            if let Value::Object(choice) = choice {
                let description = object.get("description").cloned();
                object.extend(choice);
                object.extend(description.map(|text| ("description".to_owned(), text)));
            }
        }
    }
    Value::Object(object)
}

/// `schema` with references replaced by what they refer to.
fn inline(schema: &Value, definitions: &Map<String, Value>) -> Value {
    match schema {
        Value::Object(object) => {
            let target = object
                .get("$ref")
                .and_then(Value::as_str)
                .and_then(|path| path.rsplit('/').next());
            let mut whole = match target.and_then(|name| definitions.get(name)) {
                Some(definition) => inline(definition, definitions),
                None => json!({}),
            };
            if let Some(whole) = whole.as_object_mut() {
                for (name, value) in object.iter().filter(|(name, _)| *name != "$ref") {
                    whole.insert(name.clone(), inline(value, definitions));
                }
            }
            whole
        }
        Value::Array(list) => list.iter().map(|value| inline(value, definitions)).collect(),
        other => other.clone(),
    }
}
