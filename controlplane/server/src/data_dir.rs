// SPDX-License-Identifier: Apache-2.0
//! The data folder: its lock, the master key, and the administrator's credentials file.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hythe_operations::MasterKey;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// A file or folder cannot be made, read or written.
    #[error("cannot use `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// Another server uses the folder.
    #[error("another `hythe serve` uses the data folder `{}`: stop it, or name another folder with --data-dir", .0.display())]
    InUse(PathBuf),
    /// The master key file holds something else.
    #[error("`{}` does not hold a master key (32 bytes in base64): restore it from a backup", .0.display())]
    MasterKey(PathBuf),
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> DataDirError {
    move |cause| DataDirError::Io {
        path: path.into(),
        cause,
    }
}

/// The folder, locked for this process.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    // Held for as long as the server runs; the system lets go of it however the process ends.
    _lock: File,
}

impl DataDir {
    /// Makes the folder (mode 0700) if it is absent, and locks it.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        make_private_dir(path)?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(at(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.into(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(DataDirError::InUse(path.into())),
            Err(TryLockError::Error(cause)) => Err(DataDirError::Io { path: lock_path, cause }),
        }
    }

    /// The path of something in the folder.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where the administrator's credentials are.
    pub fn credentials_path(&self) -> PathBuf {
        self.join("credentials")
    }
}

/// Makes a folder that only its owner may enter, with its parents.
pub fn make_private_dir(path: &Path) -> Result<(), DataDirError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(at(path))
}

/// Writes a file that only its owner may read, as a whole or not at all.
pub fn write_private(path: &Path, contents: &[u8]) -> Result<(), DataDirError> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", uuid::Uuid::now_v7()));
    let temporary = PathBuf::from(name);
    let write = || {
        let mut file = OpenOptions::new()
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(contents)?;
        file.sync_all()?;
        std::fs::rename(&temporary, path)?;
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    };
    write().map_err(|cause| {
        let _ = std::fs::remove_file(&temporary); // nothing is lost: the file was not in place yet
        at(path)(cause)
    })
}

/// Reads the master key, or makes one if the file is absent.
pub fn master_key(path: &Path) -> Result<MasterKey, DataDirError> {
    match File::open(path) {
        Ok(file) => {
            let mut text = Zeroizing::new(String::new());
            file.take(1024).read_to_string(&mut text).map_err(at(path))?;
            let bytes = STANDARD
                .decode(text.trim())
                .map(Zeroizing::new)
                .map_err(|_| DataDirError::MasterKey(path.into()))?;
            let key = bytes
                .as_slice()
                .try_into()
                .map_err(|_| DataDirError::MasterKey(path.into()))?;
            Ok(MasterKey::new(key))
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                make_private_dir(parent)?;
            }
            let key = MasterKey::generate().map_err(|error| at(path)(io::Error::other(error)))?;
            let text = Zeroizing::new(format!("{}\n", STANDARD.encode(key.expose())));
            write_private(path, text.as_bytes())?;
            Ok(key)
        }
        Err(cause) => Err(at(path)(cause)),
    }
}

/// What the CLI, the provider and the credential helper find by themselves.
#[derive(Clone, Deserialize, Serialize)]
pub struct CredentialsFile {
    /// Base URL of the control plane.
    pub endpoint: String,
    /// Host and port of the registry.
    pub registry: String,
    /// The administrator's access key.
    pub access_key_id: String,
    /// Its secret.
    pub secret_access_key: String,
    /// The CA to trust, if the certificate is not from a public one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<PathBuf>,
}

impl CredentialsFile {
    /// Reads the file; `None` if it is absent.
    pub fn read(path: &Path) -> Result<Option<Self>, DataDirError> {
        match std::fs::read_to_string(path) {
            Ok(text) => toml::from_str(&text)
                .map(Some)
                .map_err(|cause| at(path)(io::Error::other(cause.message().to_owned()))),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(at(path)(cause)),
        }
    }

    /// Writes the file with mode 0600.
    pub fn write(&self, path: &Path) -> Result<(), DataDirError> {
        let body = toml::to_string(self).map_err(|cause| at(path)(io::Error::other(cause)))?;
        let text = Zeroizing::new(format!("# Access of the administrator. Keep it secret.\n{body}"));
        write_private(path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_for_their_owner_only() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(&dir.path().join("data")).unwrap();
        let key_path = data.join("keys/master.key");
        let key = master_key(&key_path).unwrap();
        assert_eq!(master_key(&key_path).unwrap().expose(), key.expose());
        let credentials = CredentialsFile {
            endpoint: "http://127.0.0.1:1".into(),
            registry: "127.0.0.1:2".into(),
            access_key_id: "id".into(),
            secret_access_key: "secret".into(),
            ca_bundle: None,
        };
        credentials.write(&data.credentials_path()).unwrap();
        assert_eq!(
            CredentialsFile::read(&data.credentials_path())
                .unwrap()
                .unwrap()
                .registry,
            "127.0.0.1:2"
        );
        for (path, mode) in [
            (key_path, 0o600),
            (data.credentials_path(), 0o600),
            (dir.path().join("data"), 0o700),
        ] {
            assert_eq!(
                std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
                mode,
                "{}",
                path.display()
            );
        }
    }

    #[test]
    fn a_data_folder_serves_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = DataDir::open(dir.path()).unwrap();
        assert!(matches!(DataDir::open(dir.path()), Err(DataDirError::InUse(_))));
        drop(first);
        assert!(DataDir::open(dir.path()).is_ok());
    }

    #[test]
    fn a_damaged_master_key_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(master_key(&path), Err(DataDirError::MasterKey(_))));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "short");
    }
}
