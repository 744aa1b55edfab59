// SPDX-License-Identifier: Apache-2.0
//! JSON bodies of requests.

use std::time::Duration;

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hythe_wire::code;
use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::Problem;
use crate::router::Shared;

/// The longest body of a request, in bytes: 1 MiB.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// How long a body may take to arrive.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A body, parsed. An empty one counts as `{}`.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Shared> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Shared) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let is_json = is_json(&parts.headers);
        if parts.headers.contains_key(header::CONTENT_TYPE) && !is_json {
            return Err(not_json());
        }
        let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await;
        let bytes = match collected {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(too_long()),
            Ok(Err(_)) => {
                let detail = "the body ended before it was whole";
                return Err(Problem::new(code::VALIDATION, detail));
            }
            Err(_) => {
                let detail = format!("the body did not arrive within {} seconds", BODY_TIMEOUT.as_secs());
                return Err(Problem::new(code::REQUEST_TIMEOUT, detail));
            }
        };
        crate::audit::note_body(&bytes);
        if bytes.is_empty() {
            return parse(&Bytes::from_static(b"{}")).map(Self);
        }
        if is_json {
            parse(&bytes).map(Self)
        } else {
            Err(not_json())
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

fn not_json() -> Problem {
    let detail = "the body must be JSON: send it with the header `Content-Type: application/json`";
    Problem::new(code::UNSUPPORTED_MEDIA_TYPE, detail)
}

fn too_long() -> Problem {
    let detail = format!("the body has more than {MAX_BODY_BYTES} bytes, and that is the most");
    Problem::new(code::REQUEST_TOO_LARGE, detail)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // serde would also read an object's members from a list, by their order.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::new(
            code::VALIDATION,
            "the body is not valid: it must be an object, not a list",
        )
        .at(""));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let mut pointer = pointer(error.path());
        let error = error.into_inner();
        let message = error.to_string();
        // serde_json says where in the text it stopped; the pointer says it better.
        let reason = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(reason, _)| reason);
        if !error.is_data() {
            return Problem::new(code::VALIDATION, format!("the body is not JSON: {message}"));
        }
        if let Some(name) = between_backticks(reason).filter(|_| reason.starts_with("missing field")) {
            push(&mut pointer, name);
        }
        let is_shape = [
            "unknown field",
            "missing field",
            "duplicate field",
            "invalid type",
            "invalid length",
        ];
        if is_shape.iter().any(|start| reason.starts_with(start)) {
            return Problem::new(code::VALIDATION, format!("the body is not valid: {reason}")).at(pointer);
        }
        Problem::invalid_member(&pointer, reason)
    })?;
    json.end()
        .map_err(|error| Problem::new(code::VALIDATION, format!("the body is not JSON: {error}")))?;
    Ok(value)
}

fn between_backticks(text: &str) -> Option<&str> {
    text.split('`').nth(1)
}

fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => push(&mut pointer, &index.to_string()),
            Segment::Map { key } => push(&mut pointer, key),
            Segment::Enum { variant } => push(&mut pointer, variant),
            Segment::Unknown => {}
        }
    }
    pointer
}

fn push(pointer: &mut String, name: &str) {
    pointer.push('/');
    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(body: &str) -> (u16, &'static str, Option<String>, String) {
        let problem = parse::<hythe_wire::CreateRepository>(body.as_bytes()).unwrap_err();
        let document = problem.document(None);
        (document.status, problem.code(), document.pointer, document.detail)
    }

    #[test]
    fn a_wrong_body_is_told_where() {
        let cases = [
            (r"{", code::VALIDATION, None),
            (r"[]x", code::VALIDATION, Some("")),
            (r#"{"repositoryName":"ab"} x"#, code::VALIDATION, None),
            (r"{}", code::VALIDATION, Some("/repositoryName")),
            (r#"{"repositoryName":1}"#, code::VALIDATION, Some("/repositoryName")),
            (
                r#"{"repositoryName":"Web"}"#,
                code::INVALID_PARAMETER,
                Some("/repositoryName"),
            ),
            (r#"{"repositoryName":"web","a/b":1}"#, code::VALIDATION, Some("/a~1b")),
            (
                r#"{"repositoryName":"web","imageTagMutability":"X"}"#,
                code::INVALID_PARAMETER,
                Some("/imageTagMutability"),
            ),
            (
                r#"{"repositoryName":"web","tags":[{"Key":"a","Value":"b"},{"Key":1}]}"#,
                code::VALIDATION,
                Some("/tags/1/Key"),
            ),
            (
                r#"{"repositoryName":"web","imageScanningConfiguration":{"scan":true}}"#,
                code::VALIDATION,
                Some("/imageScanningConfiguration/scan"),
            ),
        ];
        for (body, code, pointer) in cases {
            let (status, got, at, _) = problem(body);
            assert_eq!((status, got, at.as_deref()), (400, code, pointer), "{body}");
        }
        assert_eq!(
            problem(r#"{"repositoryName":"Web"}"#).3,
            "Invalid parameter at 'repositoryName' failed to satisfy constraint: '`Web` is not a valid repository name: \
             each part between `/` must be lower-case letters and digits, parted by single `.`, one or two `_`, or `-`'"
        );
    }
}
