// SPDX-License-Identifier: Apache-2.0
//! A unix socket that only this user can reach.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::UnixListener;

/// Longest path that every system accepts for a socket, in bytes.
const MAX_PATH_BYTES: usize = 100;

/// A fresh folder of mode 0700 with the socket in it; removed when dropped.
#[derive(Debug)]
pub(super) struct SocketFolder {
    folder: TempDir,
}

impl SocketFolder {
    /// Makes the folder in `parent`, else in the system's temporary folder, else in `/tmp` if that path is too long.
    pub fn create(parent: Option<&Path>) -> io::Result<Self> {
        let made = Self::create_in(parent.unwrap_or(&std::env::temp_dir()))?;
        if parent.is_some() || made.socket().as_os_str().len() <= MAX_PATH_BYTES {
            return Ok(made);
        }
        Self::create_in(Path::new("/tmp"))
    }

    fn create_in(parent: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        let folder = builder
            .prefix("tfp")
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(parent)?;
        Ok(Self { folder })
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("s")
    }

    pub fn listen(&self) -> io::Result<UnixListener> {
        UnixListener::bind(self.socket())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nobody_else_can_reach_the_socket_and_nothing_is_left_behind() {
        let folder = SocketFolder::create(None).unwrap();
        let _listener = folder.listen().unwrap();
        let path = folder.socket();
        assert!(path.as_os_str().len() <= MAX_PATH_BYTES);
        let parent = path.parent().unwrap().to_owned();
        assert_eq!(std::fs::metadata(&parent).unwrap().permissions().mode() & 0o777, 0o700);
        drop(folder);
        assert!(!parent.exists());
    }
}
