// SPDX-License-Identifier: Apache-2.0
//! The configuration file: named profiles, and the credentials file that a local server writes.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use hythe_model::IssuerUrl;
use hythe_wire::Secret;
use serde::{Deserialize, Serialize};

use crate::Credentials;
use crate::settings::SettingsError;

/// The longest configuration file, in bytes.
const MAX_CONFIG_BYTES: u64 = 1024 * 1024;

/// What the configuration file holds (`~/.config/hythe/config.toml`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// The profile to use when none is named; `default` unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_profile: Option<String>,
    /// The profiles by name.
    #[serde(default)]
    pub profiles: BTreeMap<String, Profile>,
}

/// One server and how to log in there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// The URL of the control plane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// `host[:port]` of the registry, for the Docker credential helper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// The id of an access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key_id: Option<String>,
    /// The secret of the access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_access_key: Option<Secret>,
    /// An authorization token, in place of an access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// The ARN of a role whose sessions are opened with tokens of an identity provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// What the sessions of the role are called; `hythe` unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_session_name: Option<String>,
    /// A file with a token of an identity provider, which is read for each session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web_identity_token_file: Option<PathBuf>,
    /// The URL of an identity provider at which `hythe login` has logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_issuer: Option<IssuerUrl>,
    /// The id that the identity provider knows this program by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oidc_client_id: Option<String>,
    /// A PEM file with the certificate authorities to trust beside the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<PathBuf>,
    /// Whether to accept any certificate. For experiments only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// A credentials file of a server on this machine, which fills in what is absent above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
}

impl ConfigFile {
    /// Reads the file; an absent one is empty.
    pub fn load(path: &Path) -> Result<Self, SettingsError> {
        Ok(read_toml(path)?.unwrap_or_default())
    }

    /// Writes the file, atomically and readable for its owner only. Comments of the old one are lost.
    pub fn save(&self, path: &Path) -> Result<(), SettingsError> {
        let text = toml::to_string(self).map_err(|error| SettingsError::File {
            path: path.into(),
            problem: error.to_string(),
        })?;
        write_private(path, text.as_bytes()).map_err(|error| SettingsError::File {
            path: path.into(),
            problem: error.to_string(),
        })
    }

    /// A profile, with its credentials file read in; `None` if there is none of this name.
    pub fn profile(&self, name: &str, path: &Path) -> Result<Option<Profile>, SettingsError> {
        let Some(profile) = self.profiles.get(name) else {
            return Ok(None);
        };
        let mut profile = profile.clone();
        profile.ca_bundle = profile.ca_bundle.map(|bundle| beside(path, &bundle));
        profile.web_identity_token_file = profile.web_identity_token_file.map(|file| beside(path, &file));
        if let Some(file) = &profile.credentials_file {
            let file = beside(path, file);
            let Some(local) = Profile::from_credentials_file(&file)? else {
                return Err(SettingsError::File {
                    path: file,
                    problem: "no such file; is the server's data gone?".into(),
                });
            };
            profile.endpoint = profile.endpoint.or(local.endpoint);
            profile.registry = profile.registry.or(local.registry);
            profile.ca_bundle = profile.ca_bundle.or(local.ca_bundle);
            if profile.token.is_none() && profile.access_key_id.is_none() && profile.role_arn.is_none() {
                profile.access_key_id = local.access_key_id;
                profile.secret_access_key = local.secret_access_key;
            }
        }
        Ok(Some(profile))
    }
}

impl Profile {
    /// Reads the file that a server wrote at its first start; `None` if it is not there.
    pub fn from_credentials_file(path: &Path) -> Result<Option<Self>, SettingsError> {
        let mut profile: Option<Self> = read_toml(path)?;
        if let Some(profile) = &mut profile {
            profile.ca_bundle = profile.ca_bundle.take().map(|bundle| {
                let near = beside(path, &bundle);
                if near.exists() { near } else { bundle }
            });
        }
        Ok(profile)
    }
}

/// A token, or both parts of an access key, or nothing.
pub(crate) fn credentials(
    of: &str,
    token: Option<&Secret>,
    id: Option<&str>,
    secret: Option<&Secret>,
) -> Result<Option<Credentials>, SettingsError> {
    match (token, id, secret) {
        (Some(token), _, _) => Ok(Some(Credentials::token(token.expose().trim()))),
        (None, Some(id), Some(secret)) => Ok(Some(Credentials::AccessKey {
            id: id.into(),
            secret: secret.clone(),
        })),
        (None, None, None) => Ok(None),
        (None, Some(_), None) => Err(SettingsError::HalfAccessKey {
            of: of.into(),
            missing: "secret access key",
        }),
        (None, None, Some(_)) => Err(SettingsError::HalfAccessKey {
            of: of.into(),
            missing: "access key id",
        }),
    }
}

/// Writes a file through a temporary one beside it, which only its owner may read.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?; // mode 0600
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn beside(file: &Path, other: &Path) -> PathBuf {
    file.parent()
        .map_or_else(|| other.to_path_buf(), |folder| folder.join(other))
}

fn read_toml<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Option<T>, SettingsError> {
    let fail = |problem: String| SettingsError::File {
        path: path.into(),
        problem,
    };
    let text = match std::fs::metadata(path) {
        Ok(facts) if facts.len() > MAX_CONFIG_BYTES => return Err(fail("it is too long".into())),
        Ok(_) => std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(fail(error.to_string())),
    };
    toml::from_str(&text).map(Some).map_err(|error| {
        // The error's own text quotes the line, which may hold a secret.
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map(|before| before.matches('\n').count() + 1);
        fail(match line {
            Some(line) => format!("line {line}: {}", error.message()),
            None => error.message().to_owned(),
        })
    })
}
