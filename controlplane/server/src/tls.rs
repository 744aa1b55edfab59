// SPDX-License-Identifier: Apache-2.0
//! Certificates: from files, or from a CA of our own for development.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Config, TlsMode};
use crate::data_dir::{self, DataDir, DataDirError};

/// Days that the development CA is good for.
const CA_DAYS: i64 = 3650;
/// Days that a certificate of the development CA is good for; every start makes a new one.
const LEAF_DAYS: i64 = 397;

/// Why there is no certificate to serve with.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file does not hold what it should.
    #[error("`{}`: {what}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The development CA cannot be made.
    #[error("cannot make the development certificate")]
    Development(#[from] rcgen::Error),
    /// The data folder cannot be used.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
}

/// The certificate in force. New connections see a change at once.
#[derive(Debug)]
pub struct Certificate {
    current: RwLock<Arc<CertifiedKey>>,
    chain_path: PathBuf,
    key_path: PathBuf,
    /// The CA that clients have to be told of, in development.
    pub ca_path: Option<PathBuf>,
}

impl Certificate {
    /// The certificate that `config` asks for; `None` for plain HTTP.
    pub fn open(config: &Config, data: &DataDir, now: Timestamp) -> Result<Option<Arc<Self>>, TlsError> {
        let (chain_path, key_path, ca_path) = match (config.tls.mode, &config.tls.certificate, &config.tls.key) {
            (TlsMode::Files, Some(certificate), Some(key)) => (certificate.clone(), key.clone(), None),
            // `files` without files is refused with the configuration.
            (TlsMode::Off | TlsMode::Files, ..) => return Ok(None),
            (TlsMode::Development, ..) => {
                let paths = DevelopmentCa::open(data, now)?.issue(&names(config), now)?;
                (paths.certificate, paths.key, Some(paths.ca))
            }
        };
        let current = RwLock::new(load(&chain_path, &key_path)?);
        Ok(Some(Arc::new(Self {
            current,
            chain_path,
            key_path,
            ca_path,
        })))
    }

    /// Reads the files again. On failure the old certificate stays in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        let fresh = load(&self.chain_path, &self.key_path)?;
        *self.current.write().unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
        Ok(())
    }

    /// The settings of a listener that shows this certificate.
    pub fn server_config(self: &Arc<Self>) -> Arc<ServerConfig> {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Arc::new(config)
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(
            self.current
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
                .clone(),
        )
    }
}

fn load(certificate_path: &Path, key_path: &Path) -> Result<Arc<CertifiedKey>, TlsError> {
    let bad = |path: &Path, what: String| TlsError::File {
        path: path.into(),
        what,
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(certificate_path)
        .and_then(Iterator::collect)
        .map_err(|error| bad(certificate_path, error.to_string()))?;
    if chain.is_empty() {
        return Err(bad(certificate_path, "it holds no certificate".into()));
    }
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(|error| bad(key_path, error.to_string()))?;
    let key = any_supported_type(&key).map_err(|error| bad(key_path, error.to_string()))?;
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|_| {
        bad(
            key_path,
            format!("the key does not belong to `{}`", certificate_path.display()),
        )
    })?;
    Ok(Arc::new(certified))
}

/// The names that the development certificate is for.
fn names(config: &Config) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(config.tls.names.iter().cloned());
    names.extend(config.registry.hosts.keys().cloned());
    if let Some(domain) = &config.registry.base_domain {
        names.extend([domain.clone(), format!("*.{domain}")]);
    }
    for address in [config.registry.address, config.control.address] {
        if !address.ip().is_unspecified() {
            names.push(address.ip().to_string());
        }
    }
    for url in [&config.registry.public_url, &config.control.public_url]
        .into_iter()
        .flatten()
    {
        let authority = url.split("://").nth(1).unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        names.push(host.to_owned());
    }
    names.sort();
    names.dedup();
    names
}

struct DevelopmentCa {
    dir: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

struct Issued {
    certificate: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

impl DevelopmentCa {
    /// Reads the CA, or makes it.
    fn open(data: &DataDir, now: Timestamp) -> Result<Self, TlsError> {
        let dir = data.join("tls");
        data_dir::make_private_dir(&dir)?;
        let (ca_path, key_path) = (dir.join("ca.pem"), dir.join("ca.key"));
        let files = (std::fs::read_to_string(&ca_path), std::fs::read_to_string(&key_path));
        let issuer = if let (Ok(ca), Ok(key)) = files {
            Issuer::from_ca_cert_pem(&ca, KeyPair::from_pem(&key)?)?
        } else {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::default();
            params
                .distinguished_name
                .push(DnType::CommonName, "Hythe development CA");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            set_validity(&mut params, now, CA_DAYS);
            let certificate = params.self_signed(&key)?;
            data_dir::write_private(&key_path, key.serialize_pem().as_bytes())?;
            data_dir::write_private(&ca_path, certificate.pem().as_bytes())?;
            Issuer::new(params, key)
        };
        Ok(Self { dir, issuer })
    }

    /// Makes a certificate for `names`.
    fn issue(&self, names: &[String], now: Timestamp) -> Result<Issued, TlsError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        let shown = names
            .iter()
            .find(|name| name.parse::<IpAddr>().is_err())
            .map_or("localhost", String::as_str);
        params.distinguished_name.push(DnType::CommonName, shown);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, LEAF_DAYS);
        let certificate = params.signed_by(&key, &self.issuer)?;
        let issued = Issued {
            certificate: self.dir.join("server.pem"),
            key: self.dir.join("server.key"),
            ca: std::path::absolute(self.dir.join("ca.pem")).unwrap_or_else(|_| self.dir.join("ca.pem")),
        };
        data_dir::write_private(&issued.key, key.serialize_pem().as_bytes())?;
        data_dir::write_private(&issued.certificate, certificate.pem().as_bytes())?;
        Ok(issued)
    }
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, days: i64) {
    let date = |time: Timestamp| {
        let date = time.to_zoned(jiff::tz::TimeZone::UTC).date();
        rcgen::date_time_ymd(
            i32::from(date.year()),
            u8::try_from(date.month()).unwrap_or(1),
            u8::try_from(date.day()).unwrap_or(1),
        )
    };
    // A day back, for clients whose clock is behind.
    params.not_before = date(now.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(now));
    params.not_after = date(now.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(now));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_development_ca_stays_and_its_certificates_change() {
        rustls::crypto::aws_lc_rs::default_provider().install_default().ok();
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        let mut config = Config::default();
        config.tls.mode = TlsMode::Development;
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let certificate = Certificate::open(&config, &data, now).unwrap().unwrap();
        let read = |name: &str| std::fs::read_to_string(dir.path().join("tls").join(name)).unwrap();
        let (ca, leaf) = (read("ca.pem"), read("server.pem"));
        config.tls.names.push("registry.example.com".into());
        Certificate::open(&config, &data, now).unwrap().unwrap();
        assert_eq!(read("ca.pem"), ca);
        assert_ne!(read("server.pem"), leaf);
        certificate.reload().unwrap();
        std::fs::write(dir.path().join("tls/server.pem"), "nothing").unwrap();
        assert!(certificate.reload().is_err());
        assert!(certificate.server_config().alpn_protocols.contains(&b"h2".to_vec()));
    }
}
