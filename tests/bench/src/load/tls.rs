// SPDX-License-Identifier: Apache-2.0
//! One certificate for every server, and clients that trust it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use rcgen::{CertificateParams, KeyPair};
use rustls::{ClientConfig, RootCertStore};

/// A self-signed certificate (ECDSA P-256) for 127.0.0.1 in files, as every server takes them.
#[derive(Debug)]
pub struct Identity {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// What a client needs to trust it.
    pub client: Arc<ClientConfig>,
}

impl Identity {
    /// Makes one in a folder.
    pub fn make(folder: &Path) -> Result<Self> {
        let key = KeyPair::generate()?;
        let parameters = CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()])?;
        let certificate = parameters.self_signed(&key)?;
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone())?;
        let identity = Self {
            certificate: folder.join("certificate.pem"),
            key: folder.join("key.pem"),
            client: Arc::new(client_config(roots)?),
        };
        std::fs::write(&identity.certificate, certificate.pem())?;
        std::fs::write(&identity.key, key.serialize_pem())?;
        Ok(identity)
    }
}

fn client_config(roots: RootCertStore) -> Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // No HTTP/2 offered: every server is asked in the same protocol.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
