// SPDX-License-Identifier: Apache-2.0
//! Issuers of tokens, and the names of the identity providers that stand for them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ParseError;

/// The URL of an issuer of tokens, exactly as its tokens say it (`iss`).
///
/// Invariant: at most 255 bytes; `https://`, or `http://` with a loopback host; a host of lower-case letters, digits, `.`
/// and `-` with a `.` in it, so that no name starts as `aws:` and `sts:` do (or `localhost`, or an IPv6 address in
/// brackets); perhaps a port; perhaps a path without empty or dotted segments. No user, query or
/// fragment (`OpenID` Connect Discovery 1.0, section 3). A trailing slash is kept: an issuer either has it or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct IssuerUrl(Box<str>);

/// The name of an identity provider in an account: the issuer's URL without its scheme, such as
/// `token.actions.githubusercontent.com`.
///
/// Invariant: that of [`IssuerUrl`] after `://`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProviderName(Box<str>);

/// The longest URL of an issuer (IAM, "`CreateOpenIDConnectProvider`").
const MAX_CHARS: usize = 255;
const URL_RULE: &str = "it must be `https://` with a host in lower case and perhaps a port and a path, without user, query \
                        and fragment; `http://` only for 127.0.0.1, [::1] and localhost";
const NAME_RULE: &str = "it must be the URL of the issuer without `https://`";

impl IssuerUrl {
    /// The URL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of the provider that stands for the issuer.
    #[must_use]
    pub fn name(&self) -> ProviderName {
        ProviderName(split(&self.0).map_or("", |(_, rest)| rest).into())
    }

    /// Whether it is the machine itself.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        split(&self.0).is_some_and(|(_, rest)| is_loopback(host(rest)))
    }

    /// Whether it is reached over TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Where its discovery document is (`OpenID` Connect Discovery 1.0, section 4).
    #[must_use]
    pub fn discovery_url(&self) -> String {
        format!("{}/.well-known/openid-configuration", self.0.trim_end_matches('/'))
    }
}

impl ProviderName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IssuerUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_valid = text.len() <= MAX_CHARS
            && split(text).is_some_and(|(is_tls, rest)| is_host_and_path(rest) && (is_tls || is_loopback(host(rest))));
        if is_valid {
            Ok(Self(text.into()))
        } else {
            Err(ParseError::new("issuer", text, URL_RULE))
        }
    }
}

impl FromStr for ProviderName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() <= MAX_CHARS && is_host_and_path(text) {
            Ok(Self(text.into()))
        } else {
            Err(ParseError::new("name of an identity provider", text, NAME_RULE))
        }
    }
}

fn split(url: &str) -> Option<(bool, &str)> {
    match url.strip_prefix("https://") {
        Some(rest) => Some((true, rest)),
        None => Some((false, url.strip_prefix("http://")?)),
    }
}

/// The host, with the brackets of an IPv6 address.
fn host(rest: &str) -> &str {
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rfind(']') {
        Some(end) => authority.get(..=end).unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

fn is_loopback(host: &str) -> bool {
    let is_v4 = host
        .parse::<std::net::Ipv4Addr>()
        .is_ok_and(|address| address.is_loopback());
    is_v4 || host == "localhost" || host == "[::1]"
}

fn is_host_and_path(rest: &str) -> bool {
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, Some(path)),
        None => (rest, None),
    };
    is_authority(authority) && path.is_none_or(is_path)
}

fn is_authority(authority: &str) -> bool {
    let host = host(authority);
    let is_host = match host.strip_prefix('[') {
        Some(address) => address
            .strip_suffix(']')
            .is_some_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok()),
        None => (host.contains('.') || host == "localhost") && host.split('.').all(is_label),
    };
    let rest = authority.get(host.len()..).unwrap_or_default();
    let is_port = rest.is_empty()
        || rest.strip_prefix(':').is_some_and(|port| {
            !port.starts_with('0') && port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
        });
    is_host && is_port
}

fn is_label(label: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len()) && label.bytes().all(is_allowed) && !label.starts_with('-') && !label.ends_with('-')
}

/// The path without its first slash; the last segment may be empty.
fn is_path(path: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@".contains(&byte);
    let is_segment = |segment: &str| !matches!(segment, "" | "." | "..") && segment.bytes().all(is_allowed);
    let body = path.strip_suffix('/').unwrap_or(path);
    path.is_empty() || body.split('/').all(is_segment)
}

macro_rules! text_type {
    ($name:ident) => {
        impl TryFrom<String> for $name {
            type Error = ParseError;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}
text_type!(IssuerUrl);
text_type!(ProviderName);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn issuers_are_urls_without_ambiguity() {
        let good = [
            "https://token.actions.githubusercontent.com",
            "https://gitlab.example.com:8443",
            "https://oidc.eks.eu-west-1.amazonaws.com/id/ABC",
            "https://tenant.auth0.com/",
            "https://kubernetes.default.svc.cluster.local",
            "https://keycloak.example.com/realms/a%20b",
            "https://[2001:db8::1]:8443/x",
            "http://127.0.0.1:8080/a",
            "http://localhost",
            "http://[::1]:1",
        ];
        for text in good {
            let url: IssuerUrl = text.parse().unwrap();
            assert_eq!(url.as_str(), text);
            assert_eq!(url.name().as_str().parse::<ProviderName>().unwrap(), url.name());
        }
        let bad = [
            "",
            "https://",
            "ftp://a.b",
            "http://example.com",
            "http://127.0.0.1.example.com",
            "http://localhost.example.com",
            "https://user@example.com",
            "https://example.com?x",
            "https://example.com#x",
            "https://Example.com",
            "https://example.com:0",
            "https://example.com:99999",
            "https://example.com:+1",
            "https://example.com//a",
            "https://example.com/../a",
            "https://example.com/a b",
            "https://exa_mple.com",
            "https://-a.com",
            "https://a..b",
            "https://aws",
            "https://sts/x",
            "https://[::1",
            "https://[::1]x",
            " https://a.b",
        ];
        for text in bad {
            assert!(text.parse::<IssuerUrl>().is_err(), "{text}");
        }
        assert!(format!("https://a.b/{}", "x".repeat(300)).parse::<IssuerUrl>().is_err());
    }

    #[test]
    fn the_discovery_document_is_below_the_issuer() {
        let at = |text: &str| text.parse::<IssuerUrl>().unwrap().discovery_url();
        assert_eq!(at("https://a.b"), "https://a.b/.well-known/openid-configuration");
        assert_eq!(at("https://a.b/c/"), "https://a.b/c/.well-known/openid-configuration");
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "(https?://)?[a-z\\[\\]:./%@0-9-]{0,40}") {
            if let Ok(url) = text.parse::<IssuerUrl>() {
                prop_assert_eq!(url.as_str(), &text);
            }
            let _ = text.parse::<ProviderName>();
        }
    }
}
