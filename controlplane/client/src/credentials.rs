// SPDX-License-Identifier: Apache-2.0
//! With what a client proves who it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hythe_wire::{Secret, TOKEN_USER_NAME};
use reqwest::header::HeaderValue;

use crate::WebIdentity;

/// An access key, a token, or what sessions of a role are opened with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// A long-lived access key.
    AccessKey {
        /// Its id, which is not secret.
        id: String,
        /// Its secret.
        secret: Secret,
    },
    /// The password of an authorization token.
    Token(Secret),
    /// Tokens of an identity provider, which a [`Client`](crate::Client) exchanges for sessions of a role.
    WebIdentity(Box<WebIdentity>),
}

impl Credentials {
    /// A token, given as its password or as base64 of `AWS:<password>`, the two forms in which the API hands it out.
    #[must_use]
    pub fn token(text: &str) -> Self {
        let password = STANDARD
            .decode(text)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|pair| pair.strip_prefix(TOKEN_USER_NAME)?.strip_prefix(':').map(str::to_owned));
        Self::Token(Secret::new(password.unwrap_or_else(|| text.to_owned())))
    }

    /// User name and password for the registry; `None` for those that have to be exchanged first: ask
    /// [`Client::create_authorization_token`](crate::Client::create_authorization_token) for some.
    #[must_use]
    pub fn user_and_password(&self) -> Option<(&str, &Secret)> {
        match self {
            Self::AccessKey { id, secret } => Some((id, secret)),
            Self::Token(password) => Some((TOKEN_USER_NAME, password)),
            Self::WebIdentity(_) => None,
        }
    }

    /// What may be shown: the id of the access key, that it is a token, or the role.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::AccessKey { id, .. } => id,
            Self::Token(_) => "a token",
            Self::WebIdentity(identity) => identity.label(),
        }
    }

    /// `Authorization` for the control plane; `None` if the text cannot stand in a header.
    pub(crate) fn control_header(&self) -> Option<HeaderValue> {
        match self {
            Self::AccessKey { .. } => self.basic_header(),
            Self::Token(password) => sensitive(&format!("Bearer {}", password.expose())),
            Self::WebIdentity(_) => None,
        }
    }

    /// `Authorization` for the registry.
    pub(crate) fn basic_header(&self) -> Option<HeaderValue> {
        let (user, password) = self.user_and_password()?;
        sensitive(&format!(
            "Basic {}",
            STANDARD.encode(format!("{user}:{}", password.expose()))
        ))
    }
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_a_token_are_the_same_token() {
        let encoded = STANDARD.encode("AWS:hy1.abc");
        assert_eq!(Credentials::token(&encoded), Credentials::token("hy1.abc"));
        assert_eq!(
            Credentials::token("hy1.abc").user_and_password(),
            Some(("AWS", &Secret::new("hy1.abc")))
        );
    }

    #[test]
    fn neither_debug_nor_a_header_shows_the_secret() {
        let key = Credentials::AccessKey {
            id: "HYTHE1".into(),
            secret: Secret::new("hunter2"),
        };
        let header = key.control_header().unwrap();
        assert!(!format!("{key:?} {header:?}").contains("hunter2"));
        assert_eq!(header, format!("Basic {}", STANDARD.encode("HYTHE1:hunter2")));
        assert_eq!(Credentials::token("t").control_header().unwrap(), "Bearer t");
        assert!(Credentials::token("a\nb").control_header().is_none());
    }
}
