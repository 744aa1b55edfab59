// SPDX-License-Identifier: Apache-2.0
//! `hythe_role_session`.

use hythe_wire::{
    CreateRoleSession, DEFAULT_SESSION_SECONDS, InRegistry, MAX_MAX_SESSION_SECONDS, MIN_SESSION_SECONDS,
};
use tfplugin::{Attr, Call, Diagnostic, Diagnostics, EphemeralResource, Opened, Path, Result, Schema};

use super::lease::Shown;
use crate::argument::invalid;
use crate::connection::Connection;
use crate::{diagnostics, iam, policy};

/// What a session is called that says nothing else.
const DEFAULT_NAME: &str = "terraform";
/// The longest policy of a session, in bytes.
const MAX_POLICY_BYTES: usize = 2048;

/// Takes on a role: makes a token with the role's rights, in place of one's own.
///
/// The trust policy of the role has to let the provider's credentials in. The token is in neither plan nor state, and is
/// revoked as soon as Terraform does not need it any more; an interrupted run does not revoke it. It is not extended: choose a
/// `ttl` that is long enough for the run.
#[derive(Default, Schema)]
pub struct RoleSession {
    /// The ARN of the role, of this account or of another one.
    #[tf(required, validate = role_arn)]
    pub role_arn: Attr<String>,
    /// What the session is called in the audit log and in policies: 2 to 64 letters, digits and `_+=,.@-` (default
    /// `terraform`).
    #[tf(optional, computed, validate = session_name)]
    pub session_name: Attr<String>,
    /// A policy as JSON, up to 2048 bytes, that limits the session further: it may do what both the role's policies and this
    /// one allow.
    #[tf(optional, validate = session_policy)]
    pub policy: Attr<String>,
    /// The life of the session, in seconds: 900 to what the role allows (default 3600). It ends with the provider's own
    /// credentials, if these end before.
    #[tf(optional, computed, validate = life)]
    pub ttl: Attr<u32>,
    /// Who the token makes of its bearer: `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
    #[tf(computed)]
    pub arn: Attr<String>,
    /// The user name for the registry: `AWS`.
    #[tf(computed)]
    pub user_name: Attr<String>,
    /// The password for the registry; also a bearer token for the control plane.
    #[tf(computed, sensitive)]
    pub password: Attr<String>,
    /// User name and password as one text: base64 of `AWS:<password>`.
    #[tf(computed, sensitive)]
    pub authorization_token: Attr<String>,
    /// The URL of the registry of the role's account.
    #[tf(computed)]
    pub proxy_endpoint: Attr<String>,
    /// When the session ends (RFC 3339).
    #[tf(computed)]
    pub expires_at: Attr<String>,
}

impl EphemeralResource for RoleSession {
    const NAME: &'static str = "role_session";
    type Client = Connection;

    async fn open(cx: &Call<Connection>, config: Self) -> Result<Opened<Self>> {
        let connection = Connection::of(cx).await?;
        let arn = config.role_arn.required("role_arn")?;
        let (account, role) = iam::role_of(arn).map_err(|problem| invalid(Path::new("role_arn"), problem))?;
        let query = InRegistry {
            registry_id: Some(account),
        };
        let (ttl, name) = (
            config.ttl.unwrap_or(DEFAULT_SESSION_SECONDS),
            config.session_name.clone().unwrap_or(DEFAULT_NAME.to_owned()),
        );
        let request = CreateRoleSession {
            role_session_name: name.clone(),
            duration_seconds: Some(ttl),
            policy: config.policy.known().cloned(),
        };
        let opened = connection
            .send(cx, || connection.client.assume_role(role, &query, &request))
            .await;
        let opened = opened.map_err(|error| diagnostics::failed(&format!("take on role `{arn}`"), &error))?;
        let made = opened.token;
        connection.keep_session(&made.token_id, made.password.clone());
        let Shown {
            user_name,
            password,
            authorization_token,
            proxy_endpoint,
            expires_at,
        } = Shown::from(&made);
        Ok(Opened {
            renew_at: None,
            private: made.token_id.into_bytes(),
            result: Self {
                ttl: ttl.into(),
                session_name: name.into(),
                arn: opened.assumed_role_user.arn.into(),
                user_name,
                password,
                authorization_token,
                proxy_endpoint,
                expires_at,
                ..config
            },
        })
    }

    async fn close(cx: &Call<Connection>, private: Vec<u8>) -> Result<()> {
        let connection = Connection::of(cx).await?;
        let id = String::from_utf8_lossy(&private).into_owned();
        // The token belongs to somebody in the role, so that it is the one to revoke it.
        let why = match connection.take_session(&id) {
            None => "It was opened by another process of the provider.".to_owned(),
            Some(token) => {
                let revoke = async {
                    let client = connection.client.with_token(&token)?;
                    connection.send(cx, || client.revoke_authorization_token(&id)).await
                };
                match revoke.await {
                    Ok(_) => return Ok(()),
                    Err(error) => details(diagnostics::failed("revoke", &error)),
                }
            }
        };
        // What the session was opened for is done: that must not become a failure now.
        let detail = format!("It ends by itself, at the end of its `ttl`. {why}");
        cx.report(Diagnostic::warning("Session of a role was not closed", detail));
        Ok(())
    }
}

fn details(diagnostics: Diagnostics) -> String {
    diagnostics.into_iter().map(|it| it.detail).collect()
}

fn role_arn(text: &str) -> Result<(), String> {
    iam::role_of(text).map(drop)
}

fn session_name(text: &str) -> Result<(), String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-".contains(&byte);
    if (2..=64).contains(&text.len()) && text.bytes().all(is_allowed) {
        Ok(())
    } else {
        Err("It must have 2 to 64 letters, digits and `_+=,.@-`.".to_owned())
    }
}

fn session_policy(text: &str) -> Result<(), String> {
    if text.len() > MAX_POLICY_BYTES {
        return Err(format!("It must have at most {MAX_POLICY_BYTES} bytes."));
    }
    policy::check_identity(text).map_err(|error| error.to_string())
}

fn life(seconds: &u32) -> Result<(), String> {
    if (MIN_SESSION_SECONDS..=MAX_MAX_SESSION_SECONDS).contains(seconds) {
        Ok(())
    } else {
        Err(format!(
            "It must be {MIN_SESSION_SECONDS} to {MAX_MAX_SESSION_SECONDS} seconds, and no more than the role allows."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_checked_offline() {
        let cases = [
            ("arn:aws:iam::000000000000:role/ci", true),
            ("arn:aws:iam::000000000000:user/ci", false),
            ("arn:aws:iam::0:role/ci", false),
            ("arn:aws:iam::000000000000:role/", false),
            ("arn:aws:iam::000000000000:role/a/b", false),
            ("ci", false),
        ];
        for (arn, is_valid) in cases {
            assert_eq!(role_arn(arn).is_ok(), is_valid, "{arn}");
        }
        for (name, is_valid) in [
            ("ci", true),
            ("a@b.c", true),
            ("c", false),
            ("a b", false),
            (&"x".repeat(65), false),
        ] {
            assert_eq!(session_name(name).is_ok(), is_valid, "{name}");
        }
        let policy =
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"ecr:BatchGetImage","Resource":"*"}}"#;
        let long = format!("{policy}{}", " ".repeat(MAX_POLICY_BYTES));
        for (policy, is_valid) in [(policy, true), ("{}", false), (&long, false)] {
            assert_eq!(session_policy(policy).is_ok(), is_valid, "{policy}");
        }
        for (seconds, is_valid) in [(899, false), (900, true), (43_200, true), (43_201, false)] {
            assert_eq!(life(&seconds).is_ok(), is_valid, "{seconds}");
        }
    }
}
