// SPDX-License-Identifier: Apache-2.0
//! `Authorization`, `Host`, `If-None-Match` and `Accept`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use hythe_access::Credentials;
use hythe_distribution::fuzzing::{credentials, is_cached, site};
use hythe_formats::{Accept, Form};
use hythe_model::{AccountId, Algorithm, Digest, MediaType};

use crate::plane;

/// Each line of the input is a header, `name: value`.
pub fn headers(input: &[u8]) {
    let headers = read(input);
    authorization(&headers);
    accept(&headers);

    let (url, account) = site(&plane::config(), &headers, &Uri::from_static("/v2/"));
    assert!(account.parse::<AccountId>().is_ok());
    let host = url.strip_prefix("https://").expect("a URL");
    assert!(
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
    );

    let digest = Digest::new(Algorithm::Sha256, &[0; 32]).unwrap();
    let known = headers.get_all(header::IF_NONE_MATCH);
    let names_it = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        text.contains('*') || text.contains(&format!("\"{digest}\""))
    };
    assert!(!is_cached(&headers, &digest) || known.iter().any(names_it));
}

/// A form is given out instead of the stored one only to those who name it, or cover it, or are old.
fn accept(headers: &HeaderMap) {
    let texts = |name| {
        headers
            .get_all(name)
            .into_iter()
            .filter_map(|value| value.to_str().ok())
    };
    let agent = texts(header::USER_AGENT).next();
    for stored in [MediaType::DOCKER_MANIFEST, MediaType::OCI_MANIFEST] {
        let form = Form::wanted(stored, &Accept(|| texts(header::ACCEPT)), agent);
        let Some(form) = form else {
            continue;
        };
        assert_ne!(form.media_type(), stored);
        let is_named = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.contains(form.media_type()) || text.contains("*/*") || text.contains("application/*")
        };
        assert!(texts(header::ACCEPT).any(is_named) || agent.is_some_and(|agent| agent.starts_with("docker/1.")));
    }
}

/// Headers that HTTP lets through; at most as many as a server takes.
pub(crate) fn read(input: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n').take(100) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value)) {
            headers.append(name, value);
        }
    }
    headers
}

/// Credentials that can be read are read again when they are written as a client would.
fn authorization(headers: &HeaderMap) {
    let sent = headers.get_all(header::AUTHORIZATION).iter().count();
    let again = match credentials(headers) {
        None => {
            assert!(sent > 0, "no header is no mistake");
            return;
        }
        Some(Credentials::None) => {
            assert_eq!(sent, 0, "a header was passed over");
            return;
        }
        Some(Credentials::Basic { user, password }) => {
            assert!(!user.contains(':'));
            format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose())))
        }
        Some(Credentials::Bearer(token)) => format!("Bearer {}", token.expose()),
    };
    assert_eq!(sent, 1, "of several, none counts");
    let mut written = HeaderMap::new();
    written.insert(header::AUTHORIZATION, again.parse().expect("a header value"));
    let shown = |headers: &HeaderMap| match credentials(headers) {
        Some(Credentials::Basic { user, password }) => Some((user, password.expose().to_owned())),
        Some(Credentials::Bearer(token)) => Some((String::new(), token.expose().to_owned())),
        Some(Credentials::None) | None => None,
    };
    assert_eq!(shown(&written), shown(headers));
}
