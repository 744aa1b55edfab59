// SPDX-License-Identifier: Apache-2.0
//! Documents of identity providers, over HTTP.
//!
//! Who administrates an account names the URL, and need not be who operates the server. So that the server cannot be used
//! to reach what the account cannot: only `https`, at most two redirects, which stay with the same host and port; no address of
//! this machine (but for an issuer that is there, which only the operator's account may have), and none that is
//! link-local or otherwise where clouds keep the credentials of machines; private networks only if the operator leaves them allowed. The
//! address is checked where the connection is made, so that a name that changes its mind gains nothing. Answers are parsed
//! as keys or dropped, and reasons go to the log only.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hythe_operations::{FetchError, IssuerDocument, IssuerDocuments, MAX_ISSUER_DOCUMENT_BYTES};
use hythe_upstream::{Reach, certificates};
use reqwest::{Client, ClientBuilder, Url, header, redirect};

/// How long it may take until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a document may take in all.
const TIMEOUT: Duration = Duration::from_secs(8);
/// The most redirects.
const MAX_REDIRECTS: usize = 2;

/// Reads documents of identity providers over HTTP.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HttpIssuerDocuments {
    /// Whether issuers on private networks may be reached.
    pub(crate) allow_private_networks: bool,
}

#[async_trait]
impl IssuerDocuments for HttpIssuerDocuments {
    async fn fetch(&self, document: &IssuerDocument<'_>) -> Result<Vec<u8>, FetchError> {
        let url = Url::parse(document.url).map_err(|error| FetchError(format!("the URL is not valid: {error}")))?;
        let reach = if document.is_loopback {
            Reach::loopback()
        } else {
            Reach::public(self.allow_private_networks)
        };
        let is_possible = url.scheme() == "https" || (url.scheme() == "http" && document.is_loopback);
        if !is_possible || !url.username().is_empty() || url.password().is_some() {
            return Err(FetchError("the URL is not an https URL without a user".into()));
        }
        if !reach.may_ask(&url) {
            let host = url.host_str().unwrap_or_default();
            return Err(FetchError(format!("`{host}` may not be reached")));
        }
        let client = client(document, reach, url.scheme() == "https")?;
        let mut response = client
            .get(url)
            .header(header::ACCEPT, "application/json")
            .send()
            .await
            .map_err(|error| FetchError(chain(&error)))?;
        if !response.status().is_success() {
            return Err(FetchError(format!("the issuer answered {}", response.status())));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| FetchError(chain(&error)))? {
            if bytes.len() + chunk.len() > MAX_ISSUER_DOCUMENT_BYTES {
                return Err(FetchError(format!(
                    "the document has more than {MAX_ISSUER_DOCUMENT_BYTES} bytes"
                )));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    fn check_ca_bundle(&self, pem: &str) -> Result<(), String> {
        let certificates = certificates(pem)?;
        builder()
            .tls_certs_only(certificates)
            .build()
            .map(drop)
            .map_err(|_| "one of them is not a certificate".into())
    }
}

fn builder() -> ClientBuilder {
    // Another crypto provider may be linked in; without a default the first handshake would panic.
    rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
    Client::builder()
        .user_agent(concat!("hythe/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
}

/// One client for one document: they are read rarely, and each provider has its own authorities.
fn client(document: &IssuerDocument<'_>, reach: Reach, is_tls: bool) -> Result<Client, FetchError> {
    let same_place = redirect::Policy::custom(|attempt| {
        let came_from = attempt.previous().first().map(Url::origin);
        if attempt.previous().len() > MAX_REDIRECTS || came_from != Some(attempt.url().origin()) {
            attempt.error("a redirect that is not followed")
        } else {
            attempt.follow()
        }
    });
    let mut builder = builder().redirect(same_place).dns_resolver(Arc::new(reach));
    if let Some(pem) = document.ca_bundle {
        builder = builder.tls_certs_only(certificates(pem).map_err(FetchError)?);
    } else if !is_tls {
        // Plain HTTP must work on a machine without any certificate authorities.
        builder = builder.tls_certs_only(Vec::new());
    }
    if document.is_loopback {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| FetchError(chain(&error)))
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn documents_are_read_within_bounds() {
        use axum::response::Redirect;
        use axum::routing::get;
        let app = axum::Router::new()
            .route("/good", get(|| async { "{}" }))
            .route("/long", get(|| async { "x".repeat(MAX_ISSUER_DOCUMENT_BYTES + 1) }))
            .route("/moved", get(|| async { Redirect::temporary("/good") }))
            .route("/round", get(|| async { Redirect::temporary("/round") }))
            .route("/away", get(|| async { Redirect::temporary("http://127.0.0.1:1/") }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        let mut server = tokio::task::JoinSet::new();
        server.spawn(async move { axum::serve(listener, app).await.unwrap() });
        let documents = HttpIssuerDocuments {
            allow_private_networks: true,
        };
        let read = async |url: String, is_loopback| {
            let document = IssuerDocument {
                url: &url,
                ca_bundle: None,
                is_loopback,
            };
            match documents.fetch(&document).await {
                Ok(bytes) => String::from_utf8(bytes).unwrap(),
                Err(error) => error.to_string(),
            }
        };
        let cases = [
            ("/good", "{}"),
            ("/moved", "{}"),
            ("/round", "redirect"),
            ("/away", "redirect"),
            ("/long", "more than"),
            ("/nothing", "404"),
        ];
        for (path, want) in cases {
            let got = read(format!("{at}{path}"), true).await;
            assert!(got.contains(want), "{path}: {got}");
        }
        let tls = at.replace("http:", "https:");
        for (url, want) in [
            (format!("{at}/good"), "https"),
            (format!("{tls}/good"), "may not be reached"),
            (tls.replace("127.0.0.1", "localhost"), "may be reached"),
            (tls.replace("127.0.0.1", "0x7f000001"), "may not be reached"),
            ("https://user@example.com".into(), "without a user"),
            ("file:///etc/passwd".into(), "https"),
            ("https://169.254.169.254/latest".into(), "may not be reached"),
        ] {
            let got = read(url.clone(), false).await;
            assert!(got.contains(want), "{url}: {got}");
        }
    }

    #[test]
    fn a_bundle_holds_certificates() {
        let documents = HttpIssuerDocuments {
            allow_private_networks: true,
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let good = rcgen::CertificateParams::default().self_signed(&key).unwrap().pem();
        documents.check_ca_bundle(&good).unwrap();
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for bad in ["", "x", broken, &good.replace("CERTIFICATE", "PUBLIC KEY")] {
            assert!(documents.check_ca_bundle(bad).is_err(), "{bad}");
        }
    }
}
