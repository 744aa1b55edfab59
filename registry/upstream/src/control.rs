// SPDX-License-Identifier: Apache-2.0
//! The control plane of another deployment: JSON over the connections that other registries are reached by.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use hythe_model::RegistryUrl;
use reqwest::Url;
use serde_json::Value;
use tokio::time::timeout;

use crate::remote::{HEAD_TIMEOUT, read_all, refusal};
use crate::{Credential, Outgoing, UpstreamError};

/// The longest answer, in bytes: a policy has at most 30 KiB, and JSON in JSON is at most twice that.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// One other control plane. Each request carries the credential; redirects are not followed.
#[derive(Clone)]
pub struct RemoteControl {
    outgoing: Outgoing,
    endpoint: RegistryUrl,
    headers: HeaderMap,
}

impl fmt::Debug for RemoteControl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RemoteControl({})", self.endpoint)
    }
}

/// What a control plane answered: a success, or a refusal that says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlAnswer {
    /// The HTTP status.
    pub status: u16,
    /// The body; null if it is none.
    pub body: Value,
}

impl RemoteControl {
    /// The control plane at `endpoint`, asked as whoever has the credential.
    #[must_use]
    pub fn new(outgoing: Outgoing, endpoint: RegistryUrl, credential: Option<&Credential>) -> Self {
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        if let Some(Credential { username, secret }) = credential {
            let text = format!("Basic {}", STANDARD.encode(format!("{username}:{secret}")));
            if let Ok(mut value) = HeaderValue::try_from(text) {
                value.set_sensitive(true);
                headers.insert(AUTHORIZATION, value);
            }
        }
        Self {
            outgoing,
            endpoint,
            headers,
        }
    }

    /// Sends this header with each request.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sends a request. `path` begins with a slash and may have a query.
    ///
    /// # Errors
    /// If there is no answer, or one that says that another time is better (429, 5xx).
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<ControlAnswer, UpstreamError> {
        let url = Url::parse(&format!("{}{path}", self.endpoint.url()));
        let url = url.map_err(|error| UpstreamError::invalid(error.to_string()))?;
        let request = self.outgoing.client(&url)?.request(method, url.clone());
        let request = request.headers(self.headers.clone());
        let request = match body {
            Some(body) => request
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(Bytes::from(body.to_string())),
            None => request,
        };
        let response = timeout(HEAD_TIMEOUT, request.send()).await;
        let response = response.map_err(|_| UpstreamError::Timeout("no answer within the time for it"))??;
        let status = response.status();
        if let Some(error) = refusal(status, response.headers()).filter(UpstreamError::is_temporary) {
            return Err(error);
        }
        let bytes = read_all(response, MAX_ANSWER_BYTES, "the answer of the control plane").await?;
        Ok(ControlAnswer {
            status: status.as_u16(),
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_not_shown() {
        let credential = Credential {
            username: "user".into(),
            secret: "very secret".into(),
        };
        let outgoing = Outgoing::new(&[], None).unwrap();
        let control = RemoteControl::new(outgoing, "control.example.com".parse().unwrap(), Some(&credential));
        assert_eq!(format!("{control:?}"), "RemoteControl(control.example.com)");
        let header = control.headers.get(AUTHORIZATION).unwrap();
        assert!(header.is_sensitive());
        assert_eq!(header, "Basic dXNlcjp2ZXJ5IHNlY3JldA==");
    }
}
