// SPDX-License-Identifier: Apache-2.0
//! A provider: where its endpoints are, and what it answers at its token endpoint.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hythe_model::IssuerUrl;
use hythe_wire::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::{Response, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{OidcError, OidcTokens};
use crate::client::printable;
use crate::{ClientError, Endpoint, Transport};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest answer, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Everything but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A provider, as its discovery document describes it.
#[derive(Debug)]
pub struct OidcProvider {
    pub(super) issuer: IssuerUrl,
    pub(super) client_id: String,
    pub(super) authorization_endpoint: Option<Url>,
    pub(super) device_authorization_endpoint: Option<Url>,
    token_endpoint: Url,
    http: reqwest::Client,
}

/// What the token endpoint answers.
#[derive(Debug)]
pub(super) enum TokenAnswer {
    Tokens(OidcTokens),
    /// The code of an error (RFC 6749, section 5.2; RFC 8628, section 3.5), and what is said about it.
    Error(String, String),
}

impl OidcProvider {
    /// Asks `issuer` where its endpoints are. `transport` says whom to trust.
    pub async fn discover(issuer: IssuerUrl, client_id: String, transport: &Transport) -> Result<Self, OidcError> {
        let fail = |problem: String| OidcError::Provider {
            issuer: issuer.to_string(),
            problem,
        };
        let http = client(&issuer, transport).map_err(|error| fail(format!("cannot be asked: {error}")))?;
        let response = http
            .get(issuer.discovery_url())
            .header(ACCEPT, "application/json")
            .send()
            .await
            .map_err(|error| fail(format!("does not answer: {}", cause(&error))))?;
        let status = response.status();
        if !status.is_success() {
            return Err(fail(format!("has no discovery document: it answers {status}")));
        }
        let document: Value = read(response).await.map_err(&fail)?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        if text("issuer") != Some(issuer.as_str()) {
            return Err(fail(
                "says that it is another: write its URL exactly as its tokens do".into(),
            ));
        }
        let endpoint = |name: &str| match text(name) {
            None => Ok(None),
            Some(text) => Url::parse(text)
                .ok()
                .filter(|url| is_safe(url, &issuer))
                .map(Some)
                .ok_or_else(|| fail(format!("names an `{name}` that is not https"))),
        };
        let token_endpoint = endpoint("token_endpoint")?.ok_or_else(|| fail("has no token endpoint".into()))?;
        Ok(Self {
            authorization_endpoint: endpoint("authorization_endpoint")?,
            device_authorization_endpoint: endpoint("device_authorization_endpoint")?,
            token_endpoint,
            client_id,
            http,
            issuer,
        })
    }

    /// Gets new tokens for a refresh token (RFC 6749, section 6). A provider that sends no new one lets the old one go on.
    pub async fn refresh(&self, refresh_token: &Secret) -> Result<OidcTokens, OidcError> {
        let answer = self
            .token(&[
                ("grant_type", "refresh_token"),
                ("refresh_token", refresh_token.expose()),
            ])
            .await?;
        match answer {
            TokenAnswer::Tokens(tokens) => {
                self.check(&tokens.id_token, None)?;
                Ok(OidcTokens {
                    refresh_token: tokens.refresh_token.or_else(|| Some(refresh_token.clone())),
                    ..tokens
                })
            }
            TokenAnswer::Error(code, text) => Err(OidcError::Refused(describe(&code, &text))),
        }
    }

    pub(super) fn error(&self, problem: impl Into<String>) -> OidcError {
        OidcError::Provider {
            issuer: self.issuer.to_string(),
            problem: problem.into(),
        }
    }

    /// Asks the token endpoint.
    pub(super) async fn token(&self, form: &[(&str, &str)]) -> Result<TokenAnswer, OidcError> {
        let response = self.post(&self.token_endpoint, form).await?;
        let is_good = response.status().is_success();
        let answer: Value = read(response).await.map_err(|problem| self.error(problem))?;
        let text = |name: &str| answer.get(name).and_then(Value::as_str);
        if !is_good {
            let code = text("error").unwrap_or("unknown error");
            let description = text("error_description").unwrap_or_default();
            return Ok(TokenAnswer::Error(printable(code), printable(description)));
        }
        let id_token = text("id_token")
            .ok_or_else(|| self.error("answers without an identity token: ask for the scope `openid`"))?;
        Ok(TokenAnswer::Tokens(OidcTokens {
            id_token: Secret::new(id_token),
            refresh_token: text("refresh_token").map(Secret::new),
            sessions: BTreeMap::new(),
        }))
    }

    pub(super) async fn post(&self, url: &Url, form: &[(&str, &str)]) -> Result<Response, OidcError> {
        let client_id = [("client_id", self.client_id.as_str())];
        let pairs = form.iter().chain(&client_id);
        let body: Vec<String> = pairs
            .map(|(name, value)| format!("{}={}", escape(name), escape(value)))
            .collect();
        self.http
            .post(url.clone())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.join("&"))
            .send()
            .await
            .map_err(|error| self.error(format!("does not answer: {}", cause(&error))))
    }

    pub(super) async fn answer<T: DeserializeOwned>(&self, response: Response) -> Result<T, OidcError> {
        read(response).await.map_err(|problem| self.error(problem))
    }

    /// Checks that an identity token is for this login. Its signature is not looked at: it came from the provider itself over
    /// TLS (`OpenID` Connect Core 1.0, section 3.1.3.7), and the server that it is for checks it.
    pub(super) fn check(&self, id_token: &Secret, nonce: Option<&str>) -> Result<(), OidcError> {
        let payload = id_token.expose().split('.').nth(1).unwrap_or_default();
        let claims: Value = URL_SAFE_NO_PAD
            .decode(payload)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| self.error("answers with an identity token that is none"))?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let is_ours = match claims.get("aud") {
            Some(Value::Array(several)) => several.iter().any(|one| *one == self.client_id),
            Some(one) => *one == self.client_id,
            None => false,
        };
        if text("iss") != Some(self.issuer.as_str()) || !is_ours {
            return Err(self.error("answers with an identity token that is for another"));
        }
        if nonce.is_some_and(|nonce| text("nonce") != Some(nonce)) {
            return Err(self.error("answers with an identity token of another login"));
        }
        Ok(())
    }
}

pub(super) fn describe(code: &str, text: &str) -> String {
    if text.is_empty() {
        code.into()
    } else {
        format!("{text} ({code})")
    }
}

pub(super) fn escape(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// Whether an endpoint may be given secrets: over TLS, or on this machine as the issuer is.
fn is_safe(url: &Url, issuer: &IssuerUrl) -> bool {
    let is_local = || matches!(url.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
    url.scheme() == "https" || (url.scheme() == "http" && issuer.is_loopback() && is_local())
}

fn client(issuer: &IssuerUrl, transport: &Transport) -> Result<reqwest::Client, ClientError> {
    let endpoint: Endpoint = issuer
        .as_str()
        .trim_end_matches('/')
        .parse()
        .map_err(|error: crate::EndpointError| ClientError::Setup(error.to_string()))?;
    transport.for_api(&endpoint, TIMEOUT)
}

async fn read<T: DeserializeOwned>(mut response: Response) -> Result<T, String> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| cause(&error))? {
        if bytes.len() + chunk.len() > MAX_ANSWER_BYTES {
            return Err("answers with too much".into());
        }
        bytes.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&bytes).map_err(|_| "answers with something that is not the JSON that it should be".into())
}

/// The innermost cause, without the URL: that may hold a code.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
