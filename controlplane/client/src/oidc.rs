// SPDX-License-Identifier: Apache-2.0
//! Logging in at an `OpenID` Connect provider: with a browser (authorization code with PKCE, RFC 7636, and a loopback
//! redirect, RFC 8252) or with a device code (RFC 8628). What comes out is an identity token, which a role's session is opened
//! with, and perhaps a refresh token, which gets the next one.

mod browser;
mod device;
mod provider;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hythe_model::IssuerUrl;
use hythe_wire::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

pub use browser::BrowserLogin;
pub use device::DeviceLogin;
pub use provider::OidcProvider;

use crate::profile::write_private;

/// What is asked for if nobody says: who the user is, and tokens for later.
pub const DEFAULT_SCOPE: &str = "openid offline_access";
/// The longest file with tokens, in bytes.
const MAX_CACHE_BYTES: u64 = 256 * 1024;

/// Why a login at a provider failed.
#[derive(Debug, thiserror::Error)]
pub enum OidcError {
    /// The provider does not answer, or not as the specifications say.
    #[error("the identity provider `{issuer}` {problem}")]
    Provider {
        /// The issuer.
        issuer: String,
        /// What it does.
        problem: String,
    },
    /// The provider says no.
    #[error("the identity provider refuses the login: {0}")]
    Refused(String),
    /// Nobody logged in while there was time.
    #[error("nobody logged in at the identity provider in time")]
    TooLate,
    /// This side cannot wait for the browser.
    #[error("cannot wait for the browser: {0}")]
    Local(String),
}

/// A login at a provider, whose tokens are kept in a file that only its owner may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OidcLogin {
    /// The issuer.
    pub issuer: IssuerUrl,
    /// The id that the provider knows this program by; also the audience of its tokens.
    pub client_id: String,
    /// The file with the tokens.
    pub cache: PathBuf,
}

/// What a login gives.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OidcTokens {
    /// Says who logged in.
    pub id_token: Secret,
    /// Gets the next ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Secret>,
    /// The sessions that were opened with them, by server and role.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) sessions: BTreeMap<String, Secret>,
}

impl OidcLogin {
    /// The login at `issuer` as `client_id`, with its tokens in `folder`.
    #[must_use]
    pub fn new(issuer: IssuerUrl, client_id: String, folder: &Path) -> Self {
        let name = sha256_hex(&format!("{issuer}\n{client_id}"));
        Self {
            cache: folder.join("tokens").join(format!("oidc-{name}.json")),
            issuer,
            client_id,
        }
    }

    /// The tokens of the last login.
    #[must_use]
    pub fn load(&self) -> Option<OidcTokens> {
        let facts = std::fs::metadata(&self.cache).ok()?;
        if facts.len() > MAX_CACHE_BYTES {
            return None;
        }
        serde_json::from_slice(&std::fs::read(&self.cache).ok()?).ok()
    }

    /// Keeps tokens.
    pub fn store(&self, tokens: &OidcTokens) -> std::io::Result<()> {
        write_private(&self.cache, &serde_json::to_vec(tokens)?)
    }
}

fn sha256_hex(text: &str) -> String {
    use sha2::Digest as _;
    let hash = sha2::Sha256::digest(text);
    hash.iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// 244 random bits as text.
fn random_text() -> String {
    URL_SAFE_NO_PAD.encode([*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat())
}
