// SPDX-License-Identifier: Apache-2.0
//! The connections to other registries, which all of them share.

use std::sync::Arc;
use std::time::Duration;

use reqwest::tls::Certificate;
use reqwest::{Client, ClientBuilder, Url, redirect};

use crate::{Network, Reach, UpstreamError};

/// How long it may take until a connection stands.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept.
const POOL_IDLE: Duration = Duration::from_mins(1);
/// How many idle connections are kept for each host.
const MAX_IDLE_PER_HOST: usize = 8;

/// Connections to other registries. Clones share them.
#[derive(Clone, Debug)]
pub struct Outgoing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tls_reach: Reach,
    plain_reach: Reach,
    tls: Client,
    plain: Client,
}

impl Outgoing {
    /// Connections to public addresses and `networks`, in plain HTTP to these networks only. Certificates are checked
    /// against those of the system and, if given, those in `ca_pem`.
    pub fn new(networks: &[Network], ca_pem: Option<&str>) -> Result<Self, String> {
        // Another crypto provider may be linked in; without a default the first handshake would panic.
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let (tls_reach, plain_reach) = (Reach::new(networks), Reach::only(networks));
        let mut tls = builder().dns_resolver(Arc::new(tls_reach.clone()));
        if let Some(pem) = ca_pem {
            tls = tls.tls_certs_merge(certificates(pem)?);
        }
        let plain = builder()
            .dns_resolver(Arc::new(plain_reach.clone()))
            // Plain HTTP must work on a machine without any certificate authorities.
            .tls_certs_only(Vec::new());
        let failed = |error: reqwest::Error| UpstreamError::from(error).to_string();
        let tls = match (tls.build(), ca_pem) {
            (Ok(client), _) => client,
            // A machine without any: nothing can be reached over TLS, and that is what an attempt says.
            (Err(_), None) => {
                let none = builder()
                    .dns_resolver(Arc::new(tls_reach.clone()))
                    .tls_certs_only(Vec::new());
                none.build().map_err(failed)?
            }
            (Err(error), Some(_)) => return Err(failed(error)),
        };
        Ok(Self(Arc::new(Inner {
            tls,
            plain: plain.build().map_err(failed)?,
            tls_reach,
            plain_reach,
        })))
    }

    /// The client for `url`, if its scheme and its host may be reached.
    pub(crate) fn client(&self, url: &Url) -> Result<&Client, UpstreamError> {
        let inner = &*self.0;
        let (client, reach) = match url.scheme() {
            "https" => (&inner.tls, &inner.tls_reach),
            "http" => (&inner.plain, &inner.plain_reach),
            scheme => return Err(UpstreamError::invalid(format!("a URL with the scheme `{scheme}`"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UpstreamError::invalid("a URL with a user"));
        }
        if !reach.may_ask(url) {
            return Err(UpstreamError::Blocked(url.host_str().unwrap_or_default().to_owned()));
        }
        Ok(client)
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("hythe/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
        .pool_max_idle_per_host(MAX_IDLE_PER_HOST)
        // Each step is looked at in `remote.rs`.
        .redirect(redirect::Policy::none())
        .referer(false)
        // A proxy would connect to what is refused here.
        .no_proxy()
}

/// The certificates of a PEM bundle.
pub fn certificates(pem: &str) -> Result<Vec<Certificate>, String> {
    match Certificate::from_pem_bundle(pem.as_bytes()) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err("there is none".into()),
        Err(_) => Err("it is not PEM".into()),
    }
}
