// SPDX-License-Identifier: Apache-2.0
//! The request as the audit log sees it.

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, header};
use hythe_access::{AuditLog as _, CLIENT_GONE, Facts, RequestId, Trail};
use hythe_operations::AuditQueue;
use serde_json::Value;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::context::Connection;
use crate::observe::Identified;
use crate::operation::Access;
use crate::router::Shared;
use crate::{OperationInfo, Problem};

/// The longest name of a client that is kept, in bytes.
const MAX_AGENT_BYTES: usize = 256;
/// The longest text in a parameter that is kept, in characters.
const MAX_TEXT_CHARS: usize = 256;
/// The most entries of a list or an object that are kept.
const MAX_ENTRIES: usize = 32;
/// How deep a parameter is looked into.
const MAX_DEPTH: usize = 6;
/// The longest JSON of all parameters of a request, in bytes.
const MAX_PARAMETER_BYTES: usize = 8192;
/// Members whose names have one of these in them are left out.
const SECRET: [&str; 6] = [
    "secret",
    "password",
    "token",
    "authorization",
    "credential",
    "privatekey",
];

/// Sees to it that a request is recorded, also one whose client goes away.
struct Recorded {
    queue: Arc<AuditQueue>,
    trail: Trail,
}

impl Drop for Recorded {
    fn drop(&mut self) {
        if self.trail.add(|facts| facts.status == 0) {
            let text = "the client went away before it was answered";
            self.trail
                .set_answer(CLIENT_GONE, Some(("ClientGone".into(), text.into())));
        }
        self.queue.finished(&self.trail);
    }
}

/// The layer around everything under `/api/v1`.
pub(crate) async fn record(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let Some(queue) = shared.plane.audit().map(Arc::clone) else {
        return next.run(request).await;
    };
    if queue.is_full() {
        return Problem::busy().into_response();
    }
    let extensions = request.extensions();
    let connection = extensions.get::<Connection>();
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip());
    let facts = Facts {
        operation: "unknown",
        default_event: "Unknown",
        source_ip: connection.map(|connection| connection.peer).or(peer),
        user_agent: user_agent(request.headers()),
        ..Facts::default()
    };
    let trail = match extensions.get::<Identified>() {
        Some(request) => Trail::new(request.began_at, RequestId::new(&request.id), facts),
        None => Trail::without_id(shared.plane.now(), facts),
    };
    let recorded = Recorded {
        queue,
        trail: trail.clone(),
    };
    let response = trail.clone().follow(next.run(request)).await;
    let problem = response.extensions().get::<Problem>();
    let error = problem.map(|problem| (problem.code().to_owned().into(), problem.detail().to_owned()));
    trail.set_answer(response.status().as_u16(), error);
    drop(recorded);
    response
}

/// Notes which operation a request is for.
pub(crate) fn note_operation(info: &'static OperationInfo) {
    Trail::note(|facts| {
        facts.operation = info.name;
        facts.is_change = info.is_change;
        let action = match info.access {
            Access::Filtered(action) => Some(action),
            Access::Actions(actions) => actions.first().copied(),
            Access::Proof => Some(hythe_access::Action::AssumeRoleWithWebIdentity),
            Access::Open | Access::Authenticated => None,
        };
        let name = action.and_then(|action| action.as_str().split_once(':'));
        facts.default_event = name.map_or(info.name, |(_, name)| name);
    });
}

/// Notes what the path and the query say.
pub(crate) fn note_parameters<'p>(parts: &Parts, path: impl Iterator<Item = (&'p str, &'p str)>) {
    let mut parameters: Vec<(String, Value)> = path
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect();
    if let Ok(query) = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) {
        parameters.extend(
            query
                .0
                .into_iter()
                .take(MAX_ENTRIES)
                .map(|(name, value)| (name, value.into())),
        );
    }
    note(parameters);
}

/// Notes what the body says.
pub(crate) fn note_body(bytes: &[u8]) {
    if Trail::current().is_none() {
        return;
    }
    if let Ok(Value::Object(members)) = serde_json::from_slice(bytes) {
        note(members.into_iter().collect());
    }
}

/// Notes what a handler has found out.
pub(crate) fn note(parameters: Vec<(String, Value)>) {
    Trail::note(|facts| {
        for (name, value) in parameters.into_iter().take(MAX_ENTRIES) {
            match name.as_str() {
                "repositoryName" => facts.repository = value.as_str().map(Into::into),
                "imageTag" => facts.tag = value.as_str().and_then(|text| text.parse().ok()).or(facts.tag.take()),
                "imageDigest" => facts.digest = value.as_str().and_then(|text| text.parse().ok()).or(facts.digest),
                _ => {}
            }
            if is_secret(&name) {
                continue;
            }
            let text = bounded(value, 0).to_string();
            let taken: usize = facts
                .parameters
                .iter()
                .map(|(name, text)| name.len() + text.len())
                .sum();
            if taken + name.len() + text.len() <= MAX_PARAMETER_BYTES {
                facts.parameters.push((name.into(), text));
            }
        }
    });
}

/// Notes what a change answers.
pub(crate) fn note_answer(bytes: &[u8]) {
    Trail::note(|facts| {
        if !facts.is_change {
            return;
        }
        let Ok(Value::Object(members)) = serde_json::from_slice(bytes) else {
            return;
        };
        let mut taken = 0;
        facts.response.clear();
        for (name, value) in members
            .into_iter()
            .filter(|(name, _)| !is_secret(name))
            .take(MAX_ENTRIES)
        {
            let text = bounded(value, 0).to_string();
            taken += name.len() + text.len();
            if taken <= MAX_PARAMETER_BYTES {
                facts.response.push((name.into(), text));
            }
        }
    });
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    // The id of a token says which; it is not the token.
    name != "tokenid" && SECRET.iter().any(|secret| name.contains(secret))
}

/// A value without secrets, and of bounded size.
fn bounded(value: Value, depth: usize) -> Value {
    match value {
        Value::String(text) => match text.char_indices().nth(MAX_TEXT_CHARS) {
            Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
            None => Value::String(text),
        },
        Value::Array(_) | Value::Object(_) if depth >= MAX_DEPTH => "…".into(),
        Value::Array(values) => values
            .into_iter()
            .take(MAX_ENTRIES)
            .map(|value| bounded(value, depth + 1))
            .collect(),
        Value::Object(members) => {
            let kept = members
                .into_iter()
                .filter(|(name, _)| !is_secret(name))
                .take(MAX_ENTRIES);
            Value::Object(kept.map(|(name, value)| (name, bounded(value, depth + 1))).collect())
        }
        other => other,
    }
}

pub(crate) fn user_agent(headers: &HeaderMap) -> Option<Arc<str>> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.get(..MAX_AGENT_BYTES).unwrap_or(text).into())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn the_answer_to_a_change_has_no_secrets_and_that_to_a_read_is_not_kept() {
        let noted = async |is_change| {
            let facts = Facts {
                is_change,
                ..Facts::default()
            };
            let trail = Trail::new(Timestamp::UNIX_EPOCH, RequestId::Number(1), facts);
            let body = json!({ "accessKeyId": "A1", "secretAccessKey": "s3cr3t", "token": "s3cr3t" }).to_string();
            trail.clone().follow(async { note_answer(body.as_bytes()) }).await;
            trail.add(|facts| facts.response.clone())
        };
        assert_eq!(noted(true).await, [("accessKeyId".into(), "\"A1\"".to_owned())]);
        assert!(noted(false).await.is_empty());
    }

    #[tokio::test]
    async fn parameters_are_bounded_and_have_no_secrets() {
        let trail = Trail::new(Timestamp::UNIX_EPOCH, RequestId::Number(1), Facts::default());
        let long = "x".repeat(1000);
        let mut deep = json!(1);
        for _ in 0..50 {
            deep = json!([deep]);
        }
        let body = json!({
            "userName": "eve", "webIdentityToken": "s3cr3t", "nested": { "secretAccessKey": "s3cr3t", "ok": [long] },
            "many": vec![1; 1000], "deep": deep, "imageTag": "v1", "repositoryName": "team-a/web", "tokenId": "t1",
        });
        let work = async { note_body(body.to_string().as_bytes()) };
        trail.clone().follow(work).await;
        trail.add(|facts| {
            let text = format!("{:?}", facts.parameters);
            assert!(
                !text.contains("s3cr3t") && text.contains("eve") && text.contains("tokenId"),
                "{text}"
            );
            assert!(text.len() < 4000, "{}", text.len());
            assert_eq!(facts.repository.as_deref(), Some("team-a/web"));
            assert_eq!(facts.tag, Some("v1".parse().unwrap()));
        });
        for number in 0..100 {
            let body = json!({ format!("p{number}"): "y".repeat(200) }).to_string();
            trail.clone().follow(async { note_body(body.as_bytes()) }).await;
        }
        let size: usize = trail.add(|facts| {
            facts
                .parameters
                .iter()
                .map(|(name, text)| name.len() + text.len())
                .sum()
        });
        assert!(size <= MAX_PARAMETER_BYTES);
    }
}
