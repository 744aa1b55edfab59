// SPDX-License-Identifier: Apache-2.0
//! Authorization tokens that the credential helper keeps, so that not every pull asks the control plane.

use std::path::PathBuf;

use hythe_client::wire::{AuthorizationToken, Secret};
use hythe_client::{Environment, Settings, write_private};
use hythe_model::{Algorithm, Digest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The most files that are looked at.
const MAX_FILES: usize = 1000;

/// One kept token.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CachedToken {
    pub(crate) host: String,
    pub(crate) user_name: String,
    pub(crate) password: Secret,
    /// Half of its life: a pull that starts before then has enough left.
    refresh_at: Timestamp,
    expires_at: Timestamp,
}

impl CachedToken {
    pub(crate) fn new(host: &str, token: AuthorizationToken) -> Self {
        let half = token.expires_at.as_second().saturating_sub(token.issued_at.as_second()) / 2;
        let refresh_at =
            Timestamp::from_second(token.issued_at.as_second().saturating_add(half)).unwrap_or(token.issued_at);
        Self {
            host: host.into(),
            user_name: token.user_name,
            password: token.password,
            refresh_at,
            expires_at: token.expires_at,
        }
    }
}

/// The folder with the kept tokens, one private file each.
#[derive(Debug)]
pub(crate) struct TokenCache(Option<PathBuf>);

impl TokenCache {
    pub(crate) fn of(environment: &Environment) -> Self {
        Self(environment.cache_folder().map(|folder| folder.join("tokens")))
    }

    /// A token that is good for half a life at least.
    pub(crate) fn get(&self, host: &str, settings: &Settings, now: Timestamp) -> Option<CachedToken> {
        let bytes = std::fs::read(self.0.as_ref()?.join(name(host, settings))).ok()?;
        let token: CachedToken = serde_json::from_slice(&bytes).ok()?;
        (token.host == host && now < token.refresh_at).then_some(token)
    }

    /// Keeps a token, and drops those that have ended. A cache that cannot be written is none.
    pub(crate) fn put(&self, token: &CachedToken, settings: &Settings, now: Timestamp) {
        let Some(folder) = &self.0 else { return };
        self.remove(|old| old.expires_at <= now);
        if let Ok(bytes) = serde_json::to_vec(token) {
            let _ = write_private(&folder.join(name(&token.host, settings)), &bytes);
        }
    }

    /// Drops the tokens for `host`.
    pub(crate) fn erase(&self, host: &str) {
        self.remove(|old| old.host == host);
    }

    fn remove(&self, is_out: impl Fn(&CachedToken) -> bool) {
        let entries = self.0.as_ref().and_then(|folder| std::fs::read_dir(folder).ok());
        for entry in entries.into_iter().flatten().take(MAX_FILES).flatten() {
            let token = std::fs::read(entry.path())
                .ok()
                .and_then(|bytes| serde_json::from_slice::<CachedToken>(&bytes).ok());
            if token.is_some_and(|token| is_out(&token)) {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }
}

/// A file name that differs for each server and each access key, and tells neither.
fn name(host: &str, settings: &Settings) -> String {
    let hash = Sha256::digest(format!(
        "{host}\n{}\n{}",
        settings.endpoint,
        settings.credentials.label()
    ));
    let hash = Digest::new(Algorithm::Sha256, &hash)
        .map(|digest| digest.hex())
        .unwrap_or_default();
    format!("{hash}.json")
}
