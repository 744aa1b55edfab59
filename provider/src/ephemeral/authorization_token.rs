// SPDX-License-Identifier: Apache-2.0
//! `hythe_authorization_token`.

use hythe_model::{AccountId, RepositoryName};
use hythe_wire::{CreateAuthorizationToken, TokenScopeEntry};
use tfplugin::{Attr, Call, Diagnostics, EphemeralResource, Object, Opened, Path, Renewed, Result, Schema};

use super::lease::{DEFAULT_TTL_SECONDS, Lease, Shown, life, renewal};
use crate::argument::{invalid, parsed, parses};
use crate::connection::Connection;
use crate::diagnostics;

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

impl EphemeralResource for AuthorizationToken {
    const NAME: &'static str = "authorization_token";
    type Client = Connection;

    fn validate(config: &Self) -> Diagnostics {
        Scope::validate_all(&config.scope)
    }

    async fn open(cx: &Call<Connection>, config: Self) -> Result<Opened<Self>> {
        let connection = Connection::of(cx).await?;
        let ttl = config.ttl.unwrap_or(DEFAULT_TTL_SECONDS);
        let request = CreateAuthorizationToken {
            scope: Scope::all_to_wire(&config.scope)?,
            duration_seconds: Some(ttl),
            renewable: Some(true),
        };
        let made = connection
            .send(cx, || connection.client.create_authorization_token(&request))
            .await;
        let made = made.map_err(|error| diagnostics::failed("make an authorization token", &error))?;
        let private = Lease::of(&made, ttl, None).to_bytes();
        let Shown {
            user_name,
            password,
            authorization_token,
            proxy_endpoint,
            expires_at,
        } = Shown::from(&made);
        Ok(Opened {
            renew_at: Some(renewal(connection.clock.now(), ttl)),
            private,
            result: Self {
                ttl: ttl.into(),
                user_name,
                password,
                authorization_token,
                proxy_endpoint,
                expires_at,
                ..config
            },
        })
    }

    async fn renew(cx: &Call<Connection>, private: Vec<u8>) -> Result<Renewed> {
        Lease::renew(cx, &private).await
    }

    async fn close(cx: &Call<Connection>, private: Vec<u8>) -> Result<()> {
        Lease::close(cx, &private).await
    }
}

impl Scope {
    pub(super) fn validate_all(scopes: &Attr<Vec<Self>>) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        let Some(scope) = scopes.known() else {
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

    pub(super) fn all_to_wire(scopes: &Attr<Vec<Self>>) -> Result<Option<Vec<TokenScopeEntry>>> {
        let scopes = scopes.known().map(|scopes| scopes.iter().map(Self::to_wire).collect());
        scopes.transpose()
    }

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
}
