// SPDX-License-Identifier: Apache-2.0
//! Logging in: Basic, or tokens from a server that the registry names and that is checked to be its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION};
use hythe_model::RegistryUrl;
use reqwest::Url;
use serde::Deserialize;
use tokio::time::{Instant, timeout};

use crate::challenge::Challenge;
use crate::remote::{Access, Ask, HEAD_TIMEOUT, Remote, read_all, refusal};
use crate::{Credential, UpstreamError};

/// The longest answer of a token server, in bytes.
const MAX_TOKEN_BYTES: usize = 64 * 1024;
/// The longest token: what is sent with each request, and as much as registries take of a header.
const MAX_AUTHORIZATION_BYTES: usize = 8 * 1024;
/// The most tokens that are remembered of one registry.
const MAX_TOKENS: usize = 64;
/// How long a token is good if nothing is said (Docker token specification, `expires_in`).
const USUAL_LIFETIME: Duration = Duration::from_mins(1);
/// How long a token is used at most.
const MAX_LIFETIME: Duration = Duration::from_hours(1);
/// The longest scope of a challenge that is asked for as it is.
const MAX_SCOPE_BYTES: usize = 1024;

/// Token servers of registries that have them at another domain.
const TOKEN_HOSTS: &[(&str, &str)] = &[("lscr.io", "ghcr.io"), ("registry.redhat.io", "sso.redhat.com")];
/// Second-level names below which anybody may have a domain, where a country has such.
const SHARED_LABELS: &[&str] = &[
    "ac", "co", "com", "edu", "gov", "gob", "net", "ne", "or", "org", "go", "nom",
];

/// Authorizations that were good, by repository and what for.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    known: Mutex<HashMap<(String, Access), Token>>,
    /// Held while a token is asked for, so that many requests ask once.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Clone)]
struct Token {
    value: HeaderValue,
    until: Option<Instant>,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Token(…)")
    }
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Tokens {
    pub(crate) fn known(&self, repository: &str, access: Access) -> Option<HeaderValue> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let token = known.get(&(repository.to_owned(), access))?;
        let is_good = token.until.is_none_or(|until| Instant::now() < until);
        is_good.then(|| token.value.clone())
    }

    fn remember(&self, repository: &str, access: Access, token: Token) {
        let key = (repository.to_owned(), access);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_TOKENS && !known.contains_key(&key) {
            let now = Instant::now();
            known.retain(|_, token| token.until.is_none_or(|until| now < until));
            // The one that ends first, those that never do last.
            let ends = |token: &Token| (token.until.is_none(), token.until);
            let first = known
                .iter()
                .min_by_key(|(_, token)| ends(token))
                .map(|(key, _)| key.clone());
            if let Some(first) = first.filter(|_| known.len() >= MAX_TOKENS) {
                known.remove(&first);
            }
        }
        known.insert(key, token);
    }
}

impl Remote {
    /// An authorization that answers `challenge`, other than `refused`.
    pub(crate) async fn log_in(
        &self,
        ask: &Ask<'_>,
        challenge: &Challenge,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, UpstreamError> {
        let _asking = self.tokens.asking.lock().await;
        if let Some(known) = self.tokens.known(ask.repository, ask.access)
            && refused != Some(&known)
        {
            return Ok(known);
        }
        let token = match challenge {
            Challenge::Basic => {
                let value = self.credential.as_ref().map(basic).ok_or(UpstreamError::Denied)??;
                if refused == Some(&value) {
                    return Err(UpstreamError::Denied);
                }
                Token { value, until: None }
            }
            Challenge::Bearer { realm, service, scope } => {
                let realm = self.checked_realm(realm)?;
                let own = format!("repository:{}:{}", ask.repository, ask.access.as_str());
                let scope = match scope {
                    // What the registry asks for, which may name the repository otherwise.
                    Some(scope) if scope.len() <= MAX_SCOPE_BYTES => Some(scope.as_str()),
                    _ if ask.repository.is_empty() => None,
                    _ => Some(own.as_str()),
                };
                self.token(realm, service.as_deref(), scope).await?
            }
        };
        self.tokens.remember(ask.repository, ask.access, token.clone());
        Ok(token.value)
    }

    /// The URL of the token server, if it is one of this registry.
    fn checked_realm(&self, realm: &str) -> Result<Url, UpstreamError> {
        let url = Url::parse(realm).map_err(|_| UpstreamError::invalid("the realm is not a URL"))?;
        if is_realm_of(&self.registry, &url) {
            return Ok(url);
        }
        Err(UpstreamError::invalid(format!(
            "it sends to `{}` for a token, which is not of `{}`",
            url.host_str().unwrap_or_default(),
            self.registry.host()
        )))
    }

    /// Asks for a token. No redirect is followed: it would take the password along.
    async fn token(&self, mut realm: Url, service: Option<&str>, scope: Option<&str>) -> Result<Token, UpstreamError> {
        {
            let mut query = realm.query_pairs_mut();
            query.extend_pairs(service.map(|service| ("service", service)));
            let scopes = scope
                .into_iter()
                .flat_map(|scope| scope.split(' '))
                .filter(|scope| !scope.is_empty());
            query.extend_pairs(scopes.map(|scope| ("scope", scope)));
        }
        let mut request = self.outgoing.client(&realm)?.get(realm.clone());
        request = request.header(ACCEPT, "application/json");
        if let Some(credential) = &self.credential {
            request = request.header(AUTHORIZATION, basic(credential)?);
        }
        let response = timeout(HEAD_TIMEOUT, request.send()).await;
        let response = response.map_err(|_| UpstreamError::Timeout("no token within the time for it"))??;
        if let Some(error) = refusal(response.status(), response.headers()) {
            return Err(match error {
                UpstreamError::NotFound => UpstreamError::invalid("its token server does not exist"),
                error => error,
            });
        }
        let bytes = read_all(response, MAX_TOKEN_BYTES, "a token").await?;
        let invalid = || UpstreamError::invalid("the answer of its token server is not one");
        let answer: Answer = serde_json::from_slice(&bytes).map_err(|_| invalid())?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty());
        let token = token.ok_or_else(invalid)?;
        if token.len() > MAX_AUTHORIZATION_BYTES {
            return Err(UpstreamError::invalid(format!(
                "its token has more than {MAX_AUTHORIZATION_BYTES} bytes"
            )));
        }
        let mut value = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| invalid())?;
        value.set_sensitive(true);
        let lifetime = answer.expires_in.map_or(USUAL_LIFETIME, Duration::from_secs);
        // It is used on the way for a while, and clocks differ.
        let lifetime = lifetime.min(MAX_LIFETIME).mul_f64(0.9);
        Ok(Token {
            value,
            until: Some(Instant::now() + lifetime),
        })
    }
}

fn basic(credential: &Credential) -> Result<HeaderValue, UpstreamError> {
    let pair = STANDARD.encode(format!("{}:{}", credential.username, credential.secret));
    let value = HeaderValue::try_from(format!("Basic {pair}"));
    let mut value = value.map_err(|_| UpstreamError::invalid("the credentials cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Whether a registry may send to `realm` for tokens: the same host, one of the same domain, or one that is known to be its
/// own; over TLS, unless the registry itself is without.
fn is_realm_of(registry: &RegistryUrl, realm: &Url) -> bool {
    let is_scheme = realm.scheme() == "https" || (realm.scheme() == "http" && registry.is_plain());
    let (own, host) = (registry.host(), realm.host_str().unwrap_or_default());
    let host = host.trim_matches(['[', ']']);
    let is_user = !realm.username().is_empty() || realm.password().is_some();
    let is_below = |domain: &str| host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    let is_address = |host: &str| host.parse::<std::net::IpAddr>().is_ok();
    let is_related = own == host
        || TOKEN_HOSTS.contains(&(own, host))
        || !is_address(own) && !is_address(host) && domain_of(own).is_some_and(is_below);
    is_scheme && !is_user && is_related
}

/// The domain that a host is in: what is behind the first label, if that is not where anybody may have a name.
fn domain_of(host: &str) -> Option<&str> {
    let (_, domain) = host.split_once('.')?;
    let (below, top) = domain.rsplit_once('.')?;
    let is_shared = top.len() == 2 && !below.contains('.') && SHARED_LABELS.contains(&below);
    (!is_shared).then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn so_many_tokens_are_remembered_and_those_that_end_go_first() {
        let tokens = Tokens::default();
        let token = |seconds: Option<u64>| Token {
            value: HeaderValue::from_static("Bearer x"),
            until: seconds.map(|seconds| Instant::now() + Duration::from_secs(seconds)),
        };
        let remember = |name: &str, seconds| tokens.remember(name, Access::Pull, token(seconds));
        let is_known = |name: &str| tokens.known(name, Access::Pull).is_some();
        let count = || tokens.known.lock().unwrap().len();
        remember("basic", None);
        for number in 1..MAX_TOKENS as u64 {
            remember(&format!("r{number}"), Some(60 + number));
        }
        assert_eq!(count(), MAX_TOKENS);
        remember("basic", None);
        assert_eq!(count(), MAX_TOKENS, "one that is known takes no room");
        remember("one-more", Some(1000));
        assert!(!is_known("r1") && is_known("r2") && is_known("basic") && is_known("one-more"));
        assert_eq!(count(), MAX_TOKENS);
        // Those that have ended go together.
        tokio::time::advance(Duration::from_secs(100)).await;
        remember("yet-another", Some(1000));
        assert!(!is_known("r40") && is_known("r41") && is_known("basic") && is_known("one-more"));
        assert_eq!(count(), MAX_TOKENS - 39 + 1);
    }

    #[test]
    fn a_token_server_is_one_of_the_registry() {
        // Registry, realm, whether it is asked.
        let cases = [
            ("registry-1.docker.io", "https://auth.docker.io/token", true),
            ("ghcr.io", "https://ghcr.io/token", true),
            ("registry.gitlab.com", "https://gitlab.com/jwt/auth", true),
            ("lscr.io", "https://ghcr.io/token", true),
            ("example.azurecr.io", "https://example.azurecr.io/oauth2/token", true),
            ("registry.example.com:5000", "https://registry.example.com/token", true),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5001/token", true),
            ("http://127.0.0.1:5000", "http://127.0.0.2:5001/token", false),
            ("http://[::1]:5000", "http://[::1]:5000/token", true),
            ("ghcr.io", "https://lscr.io/token", false),
            ("registry-1.docker.io", "https://docker.io.example.com/token", false),
            ("registry-1.docker.io", "https://authdocker.io/token", false),
            ("registry-1.docker.io", "http://auth.docker.io/token", false),
            ("registry-1.docker.io", "https://a:b@auth.docker.io/token", false),
            ("registry-1.docker.io", "https://169.254.169.254/token", false),
            ("example.co.uk", "https://evil.co.uk/token", false),
            ("registry.example.co.uk", "https://auth.example.co.uk/token", true),
            ("quay.io", "https://evil.io/token", false),
            ("localhost:5000", "https://localhost/token", true),
            ("registry.example.com", "file:///etc/passwd", false),
        ];
        for (registry, realm, wanted) in cases {
            let registry = registry.parse().unwrap();
            assert_eq!(
                is_realm_of(&registry, &Url::parse(realm).unwrap()),
                wanted,
                "{registry} {realm}"
            );
        }
    }
}
