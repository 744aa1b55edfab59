// SPDX-License-Identifier: Apache-2.0
//! Where a server is.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// The URL of a control plane or of a registry.
///
/// Invariant: `http` or `https`, with a host, without user, password, query and fragment, and not ending in a slash.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint(String, Url);

/// Why a text is not an [`Endpoint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid endpoint: {rule}")]
pub struct EndpointError {
    text: String,
    rule: &'static str,
}

impl Endpoint {
    /// The URL, without a slash at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `host` or `host:port`, as it stands in the name of an image.
    #[must_use]
    pub fn authority(&self) -> String {
        let host = self.1.host_str().unwrap_or_default();
        self.1
            .port()
            .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// The same server without a path.
    #[must_use]
    pub fn origin(&self) -> Self {
        let mut url = self.1.clone();
        url.set_path("");
        Self(url.as_str().trim_end_matches('/').to_owned(), url)
    }

    /// Whether bytes travel encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.1.scheme() == "https"
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.1.host_str().unwrap_or_default();
        host == "localhost"
            || host
                .trim_matches(['[', ']'])
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }

    pub(crate) fn url(&self) -> &Url {
        &self.1
    }
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |rule| {
            // The text may hold a password, which must not reach a log.
            let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
            Err(EndpointError {
                text: shown.chars().take(200).collect(),
                rule,
            })
        };
        let Ok(url) = Url::parse(text) else {
            return fail("it must be a URL such as `https://hythe.example.com:8080`");
        };
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return fail("it must start with `http://` or `https://` and a host");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return fail("credentials do not belong into the URL");
        }
        if url.query().is_some() || url.fragment().is_some() {
            return fail("it must have neither a query nor a fragment");
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned(), url))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_no_path() {
        let endpoint: Endpoint = "https://example.com:1/000000000000/x".parse().unwrap();
        assert_eq!(endpoint.origin().as_str(), "https://example.com:1");
    }

    #[test]
    fn endpoints_are_plain_urls() {
        let cases = [
            (
                "http://127.0.0.1:8080",
                Some(("http://127.0.0.1:8080", "127.0.0.1:8080", true)),
            ),
            (
                "https://hythe.example.com/",
                Some(("https://hythe.example.com", "hythe.example.com", false)),
            ),
            (
                "https://example.com/hythe/",
                Some(("https://example.com/hythe", "example.com", false)),
            ),
            ("http://[::1]:5000", Some(("http://[::1]:5000", "[::1]:5000", true))),
            ("hythe.example.com", None),
            ("ftp://example.com", None),
            ("https://user:hunter2@example.com", None),
            ("https://example.com?x=1", None),
            ("", None),
        ];
        for (text, want) in cases {
            let got = text.parse::<Endpoint>();
            if let Err(error) = &got {
                assert!(!error.to_string().contains("hunter2"), "{error}");
            }
            let got = got
                .ok()
                .map(|it| (it.as_str().to_owned(), it.authority(), it.is_loopback()));
            assert_eq!(
                got,
                want.map(|(url, host, local)| (url.into(), host.into(), local)),
                "{text}"
            );
        }
    }
}
