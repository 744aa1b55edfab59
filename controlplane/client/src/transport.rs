// SPDX-License-Identifier: Apache-2.0
//! The HTTP client below both planes' clients.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect;
use reqwest::tls::Certificate;

use crate::{ClientError, Endpoint, Settings};

/// How long it may take until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The most redirects that a download follows (registry to object store is one).
const MAX_REDIRECTS: usize = 3;

/// How to reach and trust a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    /// A PEM file with the certificate authorities to trust beside the system's.
    pub ca_bundle: Option<PathBuf>,
    /// Whether to accept any certificate.
    pub insecure: bool,
}

impl From<&Settings> for Transport {
    fn from(settings: &Settings) -> Self {
        Self {
            ca_bundle: settings.ca_bundle.clone(),
            insecure: settings.insecure,
        }
    }
}

impl Transport {
    /// A client that follows no redirect: an API does not move, and credentials must not follow.
    pub(crate) fn for_api(&self, endpoint: &Endpoint, timeout: Duration) -> Result<reqwest::Client, ClientError> {
        build(
            self.builder(endpoint)?
                .redirect(redirect::Policy::none())
                .timeout(timeout),
        )
    }

    /// A client for large bodies: no limit to the whole, and redirects that never leave TLS.
    pub(crate) fn for_blobs(&self, endpoint: &Endpoint) -> Result<reqwest::Client, ClientError> {
        let is_tls = endpoint.is_tls();
        let policy = redirect::Policy::custom(move |attempt| {
            if attempt.previous().len() > MAX_REDIRECTS || (is_tls && attempt.url().scheme() != "https") {
                attempt.error("a redirect that is not followed")
            } else {
                attempt.follow()
            }
        });
        build(self.builder(endpoint)?.redirect(policy))
    }

    fn builder(&self, endpoint: &Endpoint) -> Result<reqwest::ClientBuilder, ClientError> {
        // Another crypto provider may be linked in; without a default the first handshake would panic.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("hythe/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .tls_danger_accept_invalid_certs(self.insecure);
        let certificates = self.certificates()?;
        if !endpoint.is_tls() {
            // Plain HTTP must work on a machine without any certificate authorities.
            builder = builder.tls_certs_only(certificates);
        } else if !certificates.is_empty() {
            builder = builder.tls_certs_merge(certificates);
        }
        if endpoint.is_loopback() {
            builder = builder.no_proxy();
        }
        Ok(builder)
    }

    fn certificates(&self) -> Result<Vec<Certificate>, ClientError> {
        let Some(path) = &self.ca_bundle else {
            return Ok(Vec::new());
        };
        let fail = |problem: &str| ClientError::Setup(format!("CA bundle `{}`: {problem}", path.display()));
        let pem = std::fs::read(path).map_err(|error| fail(&error.to_string()))?;
        let certificates =
            Certificate::from_pem_bundle(&pem).map_err(|_| fail("it is not a PEM file of certificates"))?;
        if certificates.is_empty() {
            Err(fail("it holds no certificate"))
        } else {
            Ok(certificates)
        }
    }
}

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, ClientError> {
    builder.build().map_err(|error| {
        let cause = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        ClientError::Setup(format!("cannot set up the HTTP client: {cause}"))
    })
}
