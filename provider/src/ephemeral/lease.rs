// SPDX-License-Identifier: Apache-2.0
//! What ephemeral tokens have in common: what is shown of them, and that they live while Terraform needs them.

use std::time::{Duration, SystemTime};

use hythe_wire::{AuthorizationToken, InRegistry, MAX_TOKEN_SECONDS, MIN_TOKEN_SECONDS};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tfplugin::{Attr, Call, Diagnostic, Diagnostics, Renewed, Result};

use crate::connection::Connection;
use crate::diagnostics;

/// The life of a token that says nothing else, in seconds: Terraform does not revoke it after an interrupt.
pub(super) const DEFAULT_TTL_SECONDS: u32 = 900;

/// A token as its attributes show it.
pub(super) struct Shown {
    pub(super) user_name: Attr<String>,
    pub(super) password: Attr<String>,
    pub(super) authorization_token: Attr<String>,
    pub(super) proxy_endpoint: Attr<String>,
    pub(super) expires_at: Attr<String>,
}

impl From<&AuthorizationToken> for Shown {
    fn from(made: &AuthorizationToken) -> Self {
        Self {
            user_name: made.user_name.clone().into(),
            password: made.password.expose().into(),
            authorization_token: made.authorization_token.expose().into(),
            proxy_endpoint: made.proxy_endpoint.clone().into(),
            expires_at: made.expires_at.to_string().into(),
        }
    }
}

/// What `renew` and `close` have to know.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Lease {
    token_id: String,
    ttl: u32,
    expires_at: Timestamp,
    /// Whose token it is, if not that of the provider's own credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
}

impl Lease {
    pub(super) fn of(made: &AuthorizationToken, ttl: u32, user: Option<String>) -> Self {
        Self {
            token_id: made.token_id.clone(),
            ttl,
            expires_at: made.expires_at,
            user,
        }
    }

    /// Extends the life of the token that Terraform has kept the note `private` about.
    pub(super) async fn renew(cx: &Call<Connection>, private: &[u8]) -> Result<Renewed> {
        let connection = Connection::of(cx).await?;
        let (lease, own) = (Self::from_bytes(private)?, InRegistry::default());
        let (client, id, ttl) = (&connection.client, &lease.token_id, Some(lease.ttl));
        let renewed = match &lease.user {
            None => {
                let renewing = connection.send(cx, || client.renew_authorization_token(id, ttl));
                cx.until_stopped(renewing).await?
            }
            Some(user) => {
                let renew = || client.renew_user_authorization_token(user, &own, id, ttl);
                cx.until_stopped(connection.send(cx, renew)).await?
            }
        };
        let renewed =
            renewed.map_err(|error| diagnostics::failed("extend the life of an authorization token", &error))?;
        let renew_at = lease
            .goes_on(renewed.expires_at)
            .then(|| renewal(connection.clock.now(), lease.ttl));
        let lease = Self {
            expires_at: renewed.expires_at,
            ..lease
        };
        Ok(Renewed {
            renew_at,
            private: Some(lease.to_bytes()),
        })
    }

    /// Revokes the token that Terraform has kept the note `private` about.
    pub(super) async fn close(cx: &Call<Connection>, private: &[u8]) -> Result<()> {
        let connection = Connection::of(cx).await?;
        let (lease, own) = (Self::from_bytes(private)?, InRegistry::default());
        let (client, id) = (&connection.client, &lease.token_id);
        let revoked = match &lease.user {
            None => connection.send(cx, || client.revoke_authorization_token(id)).await,
            Some(user) => {
                let revoke = || client.revoke_user_authorization_token(user, &own, id);
                connection.send(cx, revoke).await
            }
        };
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

    pub(super) fn to_bytes(&self) -> Vec<u8> {
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
pub(super) fn renewal(now: Timestamp, ttl: u32) -> SystemTime {
    SystemTime::from(now) + Duration::from_secs(u64::from(ttl) * 2 / 3)
}

pub(super) fn life(seconds: &u32) -> Result<(), String> {
    if (MIN_TOKEN_SECONDS..=MAX_TOKEN_SECONDS).contains(seconds) {
        Ok(())
    } else {
        Err(format!(
            "It must be {MIN_TOKEN_SECONDS} to {MAX_TOKEN_SECONDS} seconds."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_is_extended_until_the_server_stops() {
        let end: Timestamp = "2026-11-01T00:15:00Z".parse().unwrap();
        let lease = Lease {
            token_id: "t".into(),
            ttl: 900,
            expires_at: end,
            user: None,
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
