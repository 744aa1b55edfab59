// SPDX-License-Identifier: Apache-2.0
//! A login with a browser on another machine (RFC 8628).

use std::time::Duration;

use hythe_wire::Secret;
use serde::Deserialize;

use super::provider::{TokenAnswer, describe};
use super::{OidcError, OidcProvider, OidcTokens};
use crate::client::printable;

/// The time between two questions if the provider names none, in seconds (RFC 8628, section 3.2); also by how much it grows.
const INTERVAL_SECONDS: u64 = 5;
/// The longest time between two questions, in seconds.
const MAX_INTERVAL_SECONDS: u64 = 60;
/// The longest that is waited, in seconds.
const MAX_WAIT_SECONDS: u64 = 1800;

/// A login that waits for somebody to type a code.
#[derive(Debug)]
pub struct DeviceLogin<'p> {
    provider: &'p OidcProvider,
    begun: Begun,
}

#[derive(Debug, Deserialize)]
struct Begun {
    device_code: Secret,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default)]
    interval: Option<u64>,
}

impl<'p> DeviceLogin<'p> {
    /// Begins a login.
    pub async fn begin(provider: &'p OidcProvider, scope: &str) -> Result<Self, OidcError> {
        let url = provider
            .device_authorization_endpoint
            .as_ref()
            .ok_or_else(|| provider.error("knows no device codes"))?;
        let response = provider.post(url, &[("scope", scope)]).await?;
        if !response.status().is_success() {
            return Err(OidcError::Refused(format!("it answers {}", response.status())));
        }
        let begun = provider.answer(response).await?;
        Ok(Self { provider, begun })
    }

    /// The code to type.
    #[must_use]
    pub fn user_code(&self) -> String {
        printable(&self.begun.user_code)
    }

    /// Where to type it.
    #[must_use]
    pub fn verification_uri(&self) -> String {
        printable(&self.begun.verification_uri)
    }

    /// Where it is typed already.
    #[must_use]
    pub fn verification_uri_complete(&self) -> Option<String> {
        self.begun.verification_uri_complete.as_deref().map(printable)
    }

    /// Asks until somebody has typed the code, not more often than the provider wants.
    pub async fn finish(self) -> Result<OidcTokens, OidcError> {
        let wait = Duration::from_secs(self.begun.expires_in.min(MAX_WAIT_SECONDS));
        tokio::time::timeout(wait, self.poll())
            .await
            .map_err(|_| OidcError::TooLate)?
    }

    async fn poll(&self) -> Result<OidcTokens, OidcError> {
        let mut interval = self.begun.interval.unwrap_or(INTERVAL_SECONDS);
        loop {
            tokio::time::sleep(Duration::from_secs(interval.clamp(1, MAX_INTERVAL_SECONDS))).await;
            let answer = self
                .provider
                .token(&[
                    ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
                    ("device_code", self.begun.device_code.expose()),
                ])
                .await?;
            match answer {
                TokenAnswer::Tokens(tokens) => {
                    self.provider.check(&tokens.id_token, None)?;
                    return Ok(tokens);
                }
                TokenAnswer::Error(code, text) => match code.as_str() {
                    "authorization_pending" => {}
                    "slow_down" => interval = interval.saturating_add(INTERVAL_SECONDS),
                    "expired_token" => return Err(OidcError::TooLate),
                    _ => return Err(OidcError::Refused(describe(&code, &text))),
                },
            }
        }
    }
}
