// SPDX-License-Identifier: Apache-2.0
//! Where a server is, how it is spoken to, and as whom.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use base64::Engine as _;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;

/// One listener of a server.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its address.
    pub address: SocketAddr,
    /// What to trust, if it speaks TLS.
    pub tls: Option<Arc<ClientConfig>>,
    /// The value of `Authorization`, if it wants one.
    pub authorization: Option<String>,
}

impl Endpoint {
    /// Plain HTTP on `host:port`.
    pub fn plain(address: &str) -> Result<Self> {
        use std::net::ToSocketAddrs as _;
        let resolved = address
            .to_socket_addrs()
            .with_context(|| format!("`{address}` is not host:port"))?
            .next();
        Ok(Self {
            address: resolved.with_context(|| format!("`{address}` has no address"))?,
            tls: None,
            authorization: None,
        })
    }

    /// From `http://[user:password@]host:port`.
    pub fn from_url(url: &str) -> Result<Self> {
        let Some(rest) = url.strip_prefix("http://") else {
            bail!("`{url}` is not http://host:port: peers are measured over plain HTTP")
        };
        let rest = rest.trim_end_matches('/');
        let Some((credentials, address)) = rest.rsplit_once('@') else {
            return Self::plain(rest);
        };
        let encoded = base64::engine::general_purpose::STANDARD.encode(credentials);
        Ok(Self::plain(address)?.with(format!("Basic {encoded}")))
    }

    /// The same as somebody.
    #[must_use]
    pub fn with(mut self, authorization: String) -> Self {
        self.authorization = Some(authorization);
        self
    }

    /// The same over TLS.
    #[must_use]
    pub fn over(mut self, tls: Arc<ClientConfig>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// The name in the certificate.
    #[must_use]
    pub fn server_name(&self) -> ServerName<'static> {
        ServerName::IpAddress(self.address.ip().into())
    }

    /// A request head without a body: what every request of this endpoint has, and `more` lines, each ended by CRLF.
    #[must_use]
    pub fn head(&self, method: &str, target: &str, more: &str) -> Vec<u8> {
        let authorization = self
            .authorization
            .as_ref()
            .map(|value| format!("Authorization: {value}\r\n"))
            .unwrap_or_default();
        format!(
            "{method} {target} HTTP/1.1\r\nHost: {}\r\n{authorization}{more}\r\n",
            self.address
        )
        .into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_peers() {
        let plain = Endpoint::from_url("http://127.0.0.1:5000/").unwrap();
        assert_eq!(plain.address.to_string(), "127.0.0.1:5000");
        assert_eq!(plain.authorization, None);
        let known = Endpoint::from_url("http://user:pa@ss@127.0.0.1:5000").unwrap();
        assert_eq!(known.authorization.as_deref(), Some("Basic dXNlcjpwYUBzcw=="));
        for wrong in ["https://127.0.0.1:1", "127.0.0.1:1", "http://127.0.0.1"] {
            assert!(Endpoint::from_url(wrong).is_err(), "{wrong}");
        }
    }
}
