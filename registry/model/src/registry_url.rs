// SPDX-License-Identifier: Apache-2.0
//! Where another registry is.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::ParseError;

/// Where another registry is, such as `registry-1.docker.io` or `http://127.0.0.1:5000`.
///
/// Invariant: at most 255 bytes; perhaps `http://` or `https://` (which is what is meant without), a host in lower case
/// (a name, an IPv4 address, or an IPv6 address in brackets), and perhaps a port. Neither user nor path. It is shown
/// without `https://`, as ECR has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct RegistryUrl {
    is_plain: bool,
    authority: Arc<str>,
}

const MAX_BYTES: usize = 255;
const PATTERN: &str = r"^(https?://)?([a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$";
const RULE: &str = "it must be a host in lower case and perhaps a port, such as `registry.example.com` or \
                    `https://registry.example.com:5000`, without user and path";

impl RegistryUrl {
    /// Whether it is reached without TLS.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// Host, and port if one is given.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        let (host, _) = split_port(&self.authority);
        host.trim_matches(['[', ']'])
    }

    /// Scheme, host and port, whether the port is written or not: two addresses with the same are one registry (RFC 6454,
    /// section 4).
    #[must_use]
    pub fn origin(&self) -> String {
        let (scheme, usual) = if self.is_plain { ("http", 80) } else { ("https", 443) };
        let (host, port) = split_port(&self.authority);
        let port = port.and_then(|port| port.parse::<u16>().ok()).unwrap_or(usual);
        format!("{scheme}://{host}:{port}")
    }

    /// With its scheme.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", if self.is_plain { "http" } else { "https" }, self.authority)
    }
}

/// The port, with whatever stands there, belongs to what is behind the last colon outside of brackets.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (authority, None),
    }
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host.strip_prefix('[') {
        let address = address.strip_suffix(']').unwrap_or_default();
        return address.parse::<std::net::Ipv6Addr>().is_ok();
    }
    let is_label = |label: &str| {
        let bytes = label.as_bytes();
        let is_word = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        bytes.len() <= 63
            && bytes.first().is_some_and(is_word)
            && bytes.last().is_some_and(is_word)
            && bytes.iter().all(|byte| is_word(byte) || *byte == b'-')
    };
    // What ends in a number is an address (WHATWG URL, "host parsing"), and must then be one that is written as usual:
    // `0x7f000001` and `127.1` are 127.0.0.1 to some and names to others.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit()) || last.starts_with("0x");
    host.split('.').all(is_label) && (!is_number || host.parse::<std::net::Ipv4Addr>().is_ok())
}

impl FromStr for RegistryUrl {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseError::new("registry", text, RULE);
        let (is_plain, authority) = match text.strip_prefix("http://") {
            Some(authority) => (true, authority),
            None => (false, text.strip_prefix("https://").unwrap_or(text)),
        };
        let (host, port) = split_port(authority);
        let is_port = |port: &str| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        };
        if text.len() > MAX_BYTES || !is_host(host) || !port.is_none_or(is_port) {
            return Err(fail());
        }
        Ok(Self {
            is_plain,
            authority: authority.into(),
        })
    }
}

impl fmt::Display for RegistryUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_plain {
            formatter.write_str("http://")?;
        }
        formatter.write_str(&self.authority)
    }
}

impl TryFrom<String> for RegistryUrl {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RegistryUrl> for String {
    fn from(url: RegistryUrl) -> Self {
        url.to_string()
    }
}

impl schemars::JsonSchema for RegistryUrl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RegistryUrl".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": PATTERN, "description": "host of a registry, perhaps with a port" })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn registries_are_hosts() {
        // Text, how it is shown, host.
        let good = [
            ("registry-1.docker.io", "registry-1.docker.io", "registry-1.docker.io"),
            ("https://ghcr.io", "ghcr.io", "ghcr.io"),
            ("http://127.0.0.1:5000", "http://127.0.0.1:5000", "127.0.0.1"),
            ("localhost:5000", "localhost:5000", "localhost"),
            ("[::1]:5000", "[::1]:5000", "::1"),
            ("[::1]", "[::1]", "::1"),
        ];
        for (text, shown, host) in good {
            let url: RegistryUrl = text.parse().unwrap();
            assert_eq!((url.to_string().as_str(), url.host()), (shown, host), "{text}");
        }
        for bad in [
            "",
            "ftp://x",
            "user@host",
            "host/path",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "Host",
            "a b",
            "host?x",
            "host#x",
            "[::1",
            "::1",
            "0x7f000001",
            "127.1",
            "2130706433",
            "1.2.3.4.",
            "-a.example.com",
            "http://https://x",
            "http:///x",
        ] {
            assert!(bad.parse::<RegistryUrl>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_origin_has_scheme_host_and_port() {
        for (text, origin) in [
            ("registry.example.com", "https://registry.example.com:443"),
            ("https://registry.example.com:443", "https://registry.example.com:443"),
            ("registry.example.com:0443", "https://registry.example.com:443"),
            ("registry.example.com:80", "https://registry.example.com:80"),
            ("http://registry.example.com", "http://registry.example.com:80"),
            ("[::1]", "https://[::1]:443"),
            ("http://[::1]:5000", "http://[::1]:5000"),
        ] {
            assert_eq!(text.parse::<RegistryUrl>().unwrap().origin(), origin, "{text}");
        }
    }

    proptest! {
        #[test]
        fn display_and_parse_agree(text in "(https?://)?[a-z0-9.:\\[\\]-]{1,20}") {
            if let Ok(url) = text.parse::<RegistryUrl>() {
                prop_assert_eq!(url.to_string().parse::<RegistryUrl>(), Ok(url));
            }
        }
    }
}
