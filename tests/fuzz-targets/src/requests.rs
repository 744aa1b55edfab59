// SPDX-License-Identifier: Apache-2.0
//! Whole requests, one after the other, to a data plane in this process.

use axum::body::Body;
use http::{HeaderValue, Method, Request, Uri, header};
use hythe_blobs::Hasher;
use hythe_distribution::fuzzing::path;
use hythe_model::{Algorithm, Digest};
use serde_json::Value;

use crate::headers;
use crate::plane::{Answer, Plane, on_plane};

/// What stands between two requests.
const BETWEEN: &[u8] = b"\n=====\n";
/// More requests of one input are passed over.
const MAX_REQUESTS: usize = 12;
/// The longest body: shorter than what leaves the catalog.
const MAX_BODY_BYTES: usize = 16 * 1024;

/// Each request is `METHOD path`, headers, an empty line, and a body, as HTTP/1.1 writes it. In the path, `{upload}` stands
/// for the session that was opened last, `{digest}` for the digest of the body and `{blob}` for that of the last body.
/// Without `Authorization`, the administrator sends it; with an empty one, nobody does.
pub fn requests(input: &[u8]) {
    on_plane(async |plane| {
        let mut memory = Memory::default();
        for text in split(input).into_iter().take(MAX_REQUESTS) {
            if let Some(ask) = Ask::read(text, &memory) {
                memory.last_body = Some(digest(&ask.body));
                let answer = plane.send(ask.request()).await;
                check(plane, &ask, &answer).await;
                if let Some(session) = answer.header("location").filter(|to| to.contains("/blobs/uploads/")) {
                    memory.session = session.to_owned();
                }
            }
        }
    });
}

#[derive(Default)]
struct Memory {
    session: String,
    last_body: Option<Digest>,
}

#[derive(Debug)]
struct Ask {
    method: Method,
    uri: Uri,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl Ask {
    fn read(text: &[u8], memory: &Memory) -> Option<Self> {
        let end = text.windows(2).position(|two| two == b"\n\n");
        let (head, body) = end.map_or((text, &[][..]), |end| {
            (text.get(..end).unwrap(), text.get(end + 2..).unwrap())
        });
        let (line, rest) = match head.iter().position(|byte| *byte == b'\n') {
            Some(at) => head.split_at(at),
            None => (head, &[][..]),
        };
        let (method, target) = crate::text(line)?.split_once(' ')?;
        let body = body.get(..body.len().min(MAX_BODY_BYTES)).unwrap_or_default().to_vec();
        let target = target
            .replace("{upload}", &memory.session)
            .replace("{digest}", &digest(&body).to_string())
            .replace("{blob}", &memory.last_body.map(|it| it.to_string()).unwrap_or_default());
        let mut headers = headers::read(rest);
        match headers.get(header::AUTHORIZATION).map(HeaderValue::is_empty) {
            None => drop(headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer admin"))),
            Some(true) => drop(headers.remove(header::AUTHORIZATION)),
            Some(false) => {}
        }
        Some(Self {
            method: Method::from_bytes(method.as_bytes()).ok()?,
            // A server passes on what begins with a slash only.
            uri: target.parse().ok().filter(|_| target.starts_with('/'))?,
            headers,
            body,
        })
    }

    fn request(&self) -> Request<Body> {
        let mut request = Request::new(Body::from(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

fn split(input: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(rest.get(..at).unwrap_or_default());
        rest = rest.get(at + BETWEEN.len()..).unwrap_or_default();
    }
    parts.push(rest);
    parts
}

async fn check(plane: &Plane, ask: &Ask, answer: &Answer) {
    let status = answer.status.as_u16();
    assert!(status < 500, "{ask:?} {answer:?}");
    if ask.method == Method::HEAD {
        assert!(answer.body.is_empty(), "{ask:?} {answer:?}");
    } else if status >= 400 && status != 416 {
        let body: Value = serde_json::from_slice(&answer.body).expect("an error has a body of JSON");
        let code = body
            .pointer("/errors/0/code")
            .and_then(Value::as_str)
            .unwrap_or_default();
        assert!(!code.is_empty(), "{ask:?} {answer:?}");
    }
    let named: Option<Digest> = answer
        .header("docker-content-digest")
        .map(|text| text.parse().expect("the header is a digest"));
    if status == 200
        && ask.method == Method::GET
        && let Some(named) = named
        && named.algorithm() == Algorithm::Sha256
    {
        assert_eq!(digest(&answer.body), named, "{ask:?}");
    }
    if let Some(location) = answer.header("location") {
        let (shape, name, _) = path(location).expect("a location is a path of ours");
        assert!(matches!(shape.as_str(), "Upload" | "Blob" | "Manifest"), "{location}");
        assert!(!name.is_empty());
        if status == 201 {
            let stored = plane.send(get(location, &ask.headers)).await;
            assert_eq!(stored.status, 200, "{ask:?} {answer:?} {stored:?}");
            if shape == "Manifest" {
                assert_eq!(stored.body, ask.body, "a manifest comes back as it was pushed");
            }
        }
    }
    if let Some(link) = answer.header("link").filter(|_| status == 200) {
        let next = link.strip_prefix('<').and_then(|rest| rest.split_once('>'));
        let next = plane.send(get(next.expect("a link of RFC 8288").0, &ask.headers)).await;
        assert_eq!(next.status, 200, "{ask:?} {answer:?} {next:?}");
    }
}

/// A plain GET by the same sender to the same host.
fn get(target: &str, headers: &http::HeaderMap) -> Request<Body> {
    let mut request = Request::new(Body::empty());
    *request.uri_mut() = target.parse().expect("a URI");
    for name in [header::AUTHORIZATION, header::HOST] {
        for value in headers.get_all(&name) {
            request.headers_mut().append(name.clone(), value.clone());
        }
    }
    // Manifests of every format come as they are.
    request
        .headers_mut()
        .insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    request
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(bytes);
    hasher.finish()
}
