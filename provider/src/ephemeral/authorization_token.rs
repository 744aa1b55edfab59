// SPDX-License-Identifier: Apache-2.0
//! `hythe_authorization_token`.

use std::time::Duration;

use hythe_model::{AccountId, RepositoryName};
use hythe_wire::{CreateAuthorizationToken, MAX_TOKEN_SECONDS, MIN_TOKEN_SECONDS, TokenScopeEntry};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tfplugin::{Attr, Call, Diagnostic, Diagnostics, EphemeralResource, Object, Opened, Path, Renewed, Result, Schema};

use crate::argument::{invalid, parsed, parses};
use crate::connection::Connection;
use crate::diagnostics;

/// The life of a token that says nothing else, in seconds: Terraform does not revoke it after an interrupt.
const DEFAULT_TTL_SECONDS: u32 = 900;

/// The most entries in a scope, and in each list of an entry.
const MAX_SCOPE: usize = 50;
const MAX_SCOPE_MEMBERS: usize = 100;

/// Makes a short-lived password for `docker login`, or for another provider that talks to the registry.
///
/// The token is in neither plan nor state. While Terraform needs it, its life is extended; after that it is revoked. An
/// interrupted run does not revoke it: it ends after its `ttl`.
#[derive(Default, Schema)]
pub struct AuthorizationToken {
    /// What the token may be used for: the union of the entries. Without a scope, whatever the provider's own credentials
    /// may do; a scope never adds rights.
    #[tf(optional)]
    pub scope: Attr<Vec<Scope>>,
    /// The life of the token, in seconds: 60 to 43200 (default 900). It is extended while Terraform runs, up to 12 hours in
    /// all.
    #[tf(optional, computed, validate = life)]
    pub ttl: Attr<u32>,
    /// The user name for the registry: `AWS`.
    #[tf(computed)]
    pub user_name: Attr<String>,
    /// The password for the registry; also a bearer token for the control plane.
    #[tf(computed, sensitive)]
    pub password: Attr<String>,
    /// User name and password as one text: base64 of `AWS:<password>`.
    #[tf(computed, sensitive)]
    pub authorization_token: Attr<String>,
    /// The URL of the registry that the token is for.
    #[tf(computed)]
    pub proxy_endpoint: Attr<String>,
    /// When the token ends unless its life is extended (RFC 3339).
    #[tf(computed)]
    pub expires_at: Attr<String>,
}

/// Some actions on some repositories.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct Scope {
    /// Names of repositories, such as `team/web`. A `*` at the end stands for any characters; `*` alone means every
    /// repository, and the registry itself.
    #[tf(required, validate_each = repository_pattern)]
    pub repositories: Attr<Vec<Attr<String>>>,
    /// Names of actions, such as `ecr:BatchGetImage`; `ecr:*` means all.
    #[tf(required, validate_each = action)]
    pub actions: Attr<Vec<Attr<String>>>,
    /// The registry that holds the repositories: the 12 digits of its account. That of the credentials, if left out.
    #[tf(optional, validate = parses::<AccountId>)]
    pub registry_id: Attr<String>,
}

/// What `renew` and `close` have to know.
#[derive(Debug, Deserialize, Serialize)]
struct Lease {
    token_id: String,
    ttl: u32,
    expires_at: Timestamp,
}

impl EphemeralResource for AuthorizationToken {
    const NAME: &'static str = "authorization_token";
    type Client = Connection;

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        let Some(scope) = config.scope.known() else {
            return diagnostics;
        };
        let mut check = |path: Path, count: Option<usize>, max: usize| {
            if count.is_some_and(|count| !(1..=max).contains(&count)) {
                diagnostics.push(invalid(path, format!("It must have 1 to {max} entries.")));
            }
        };
        check(Path::new("scope"), Some(scope.len()), MAX_SCOPE);
        for (index, entry) in scope.iter().enumerate() {
            let path = Path::new("scope").index(index);
            check(
                path.clone().attribute("repositories"),
                entry.repositories.known().map(Vec::len),
                MAX_SCOPE_MEMBERS,
            );
            check(
                path.attribute("actions"),
                entry.actions.known().map(Vec::len),
                MAX_SCOPE_MEMBERS,
            );
        }
        diagnostics
    }

    async fn open(cx: &Call<Connection>, config: Self) -> Result<Opened<Self>> {
        let connection = Connection::of(cx).await?;
        let ttl = config.ttl.unwrap_or(DEFAULT_TTL_SECONDS);
        let scope = config
            .scope
            .known()
            .map(|scope| scope.iter().map(Scope::to_wire).collect::<Result<_>>())
            .transpose()?;
        let request = CreateAuthorizationToken {
            scope,
            duration_seconds: Some(ttl),
            renewable: Some(true),
        };
        let made = connection
            .send(cx, || connection.client.create_authorization_token(&request))
            .await;
        let made = made.map_err(|error| diagnostics::failed("make an authorization token", &error))?;
        let lease = Lease {
            token_id: made.token_id,
            ttl,
            expires_at: made.expires_at,
        };
        Ok(Opened {
            renew_at: Some(renewal(connection.clock.now(), ttl)),
            private: lease.to_bytes(),
            result: Self {
                ttl: ttl.into(),
                user_name: made.user_name.into(),
                password: made.password.expose().into(),
                authorization_token: made.authorization_token.expose().into(),
                proxy_endpoint: made.proxy_endpoint.into(),
                expires_at: made.expires_at.to_string().into(),
                ..config
            },
        })
    }

    async fn renew(cx: &Call<Connection>, private: Vec<u8>) -> Result<Renewed> {
        let connection = Connection::of(cx).await?;
        let lease = Lease::from_bytes(&private)?;
        let renew = || {
            connection
                .client
                .renew_authorization_token(&lease.token_id, Some(lease.ttl))
        };
        let renewed = cx.until_stopped(connection.send(cx, renew)).await?;
        let renewed =
            renewed.map_err(|error| diagnostics::failed("extend the life of an authorization token", &error))?;
        let renew_at = lease
            .goes_on(renewed.expires_at)
            .then(|| renewal(connection.clock.now(), lease.ttl));
        let lease = Lease {
            expires_at: renewed.expires_at,
            ..lease
        };
        Ok(Renewed {
            renew_at,
            private: Some(lease.to_bytes()),
        })
    }

    async fn close(cx: &Call<Connection>, private: Vec<u8>) -> Result<()> {
        let connection = Connection::of(cx).await?;
        let lease = Lease::from_bytes(&private)?;
        let revoked = connection
            .send(cx, || connection.client.revoke_authorization_token(&lease.token_id))
            .await;
        if let Err(error) = revoked {
            // What the token was made for is done: that must not become a failure now.
            let why = diagnostics::failed("revoke", &error)
                .into_iter()
                .map(|it| it.detail)
                .collect::<String>();
            let detail = format!(
                "It ends by itself, {} seconds after it was last extended. {why}",
                lease.ttl
            );
            cx.report(Diagnostic::warning("Authorization token was not revoked", detail));
        }
        Ok(())
    }
}

impl Scope {
    fn to_wire(&self) -> Result<TokenScopeEntry> {
        let texts = |name: &str, items: &Attr<Vec<Attr<String>>>| -> Result<Vec<String>> {
            items
                .required(name)?
                .iter()
                .map(|item| item.required(name).cloned())
                .collect()
        };
        Ok(TokenScopeEntry {
            repositories: texts("repositories", &self.repositories)?,
            actions: texts("actions", &self.actions)?,
            registry_id: match self.registry_id.known() {
                Some(_) => Some(parsed("registry_id", &self.registry_id)?),
                None => None,
            },
        })
    }
}

impl Lease {
    fn to_bytes(&self) -> Vec<u8> {
        // Texts, a number and a time always have a JSON form.
        serde_json::to_vec(self).unwrap_or_default()
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self> {
        serde_json::from_slice(bytes).map_err(|_| {
            Diagnostics::error(
                "Unknown authorization token",
                "Terraform's note about the token is not of this provider's form.",
            )
        })
    }

    /// Whether a life that was extended to `end` can be extended once more: the server stops after 12 hours in all, which
    /// shows in an end that moves less than the time that has passed.
    fn goes_on(&self, end: Timestamp) -> bool {
        let moved = end.duration_since(self.expires_at).as_secs();
        moved * 3 >= i64::from(self.ttl)
    }
}

/// When to extend a life of `ttl` seconds that starts now: with a third of it left. The server's clock plays no part, as it
/// may differ from this machine's.
fn renewal(now: Timestamp, ttl: u32) -> std::time::SystemTime {
    std::time::SystemTime::from(now) + Duration::from_secs(u64::from(ttl) * 2 / 3)
}

fn life(seconds: &u32) -> Result<(), String> {
    if (MIN_TOKEN_SECONDS..=MAX_TOKEN_SECONDS).contains(seconds) {
        Ok(())
    } else {
        Err(format!(
            "It must be {MIN_TOKEN_SECONDS} to {MAX_TOKEN_SECONDS} seconds."
        ))
    }
}

fn repository_pattern(text: &str) -> Result<(), String> {
    let Some(prefix) = text.strip_suffix('*') else {
        return text
            .parse::<RepositoryName>()
            .map(|_| ())
            .map_err(|error| error.to_string());
    };
    // Whatever a name may start with.
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
    if prefix.len() <= 256 && prefix.bytes().all(is_allowed) {
        Ok(())
    } else {
        Err(format!(
            "`{text}` is neither the name of a repository nor the start of one with `*` behind it."
        ))
    }
}

/// Whether an action may be called so. Which ones there are, the server knows; a `*` at the end stands for any of them.
fn action(text: &str) -> Result<(), String> {
    let lower = text.to_ascii_lowercase();
    let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_valid = match (lower.strip_suffix('*'), lower.strip_prefix("ecr:")) {
        (Some(start), _) => "ecr:".starts_with(start) || start.strip_prefix("ecr:").is_some_and(is_name),
        (None, Some(name)) => !name.is_empty() && is_name(name),
        (None, None) => false,
    };
    if is_valid {
        Ok(())
    } else {
        Err(format!(
            "`{text}` is no action: it looks like `ecr:BatchGetImage`, or `ecr:*` for all."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_checked_offline() {
        let cases = [
            ("team/web", true),
            ("team/*", true),
            ("*", true),
            ("te", true),
            ("Team/web", false),
            ("a*b", false),
            ("", false),
            ("a b*", false),
        ];
        for (text, valid) in cases {
            assert_eq!(repository_pattern(text).is_ok(), valid, "{text}");
        }
        let cases = [
            ("ecr:BatchGetImage", true),
            ("ecr:*", true),
            ("ecr:Get*", true),
            ("*", true),
            ("ecr:", false),
            ("s3:GetObject", false),
            ("ecr:G*t*", false),
            ("", false),
        ];
        for (text, valid) in cases {
            assert_eq!(action(text).is_ok(), valid, "{text}");
        }
        let empty = AuthorizationToken {
            scope: Attr::Known(vec![]),
            ..AuthorizationToken::default()
        };
        let place = AuthorizationToken::validate(&empty).iter().next().unwrap().path.clone();
        assert_eq!(place, Path::new("scope"));
    }

    #[test]
    fn a_life_is_extended_until_the_server_stops() {
        let end: Timestamp = "2026-11-01T00:15:00Z".parse().unwrap();
        let lease = Lease {
            token_id: "t".into(),
            ttl: 900,
            expires_at: end,
        };
        assert!(lease.goes_on("2026-11-01T00:25:00Z".parse().unwrap()));
        assert!(!lease.goes_on("2026-11-01T00:16:00Z".parse().unwrap()));
        assert!(!lease.goes_on(end));
        let now: Timestamp = "2026-11-01T00:00:00Z".parse().unwrap();
        assert_eq!(
            Timestamp::try_from(renewal(now, 900)).unwrap().to_string(),
            "2026-11-01T00:10:00Z"
        );
        assert_eq!(Lease::from_bytes(&lease.to_bytes()).unwrap().expires_at, end);
        assert!(Lease::from_bytes(b"{}").is_err());
    }
}
