// SPDX-License-Identifier: Apache-2.0
//! The link by which Docker finds this executable as its credential helper.

use std::path::{Path, PathBuf};

use hythe_client::Environment;

use crate::CREDENTIAL_HELPER_NAME;
use crate::error::{CliError, file};

/// A link that is there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct HelperLink {
    pub(crate) path: PathBuf,
    /// Whether Docker will find it.
    pub(crate) is_in_path: bool,
}

/// Makes the link beside the executable or in `~/.local/bin`, unless there is one that Docker finds.
pub(crate) fn install(environment: &Environment, executable: &Path) -> Result<HelperLink, CliError> {
    let search: Vec<PathBuf> = environment
        .get("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let target = std::fs::canonicalize(executable).map_err(file("find", executable))?;
    let is_there =
        |folder: &PathBuf| std::fs::canonicalize(folder.join(CREDENTIAL_HELPER_NAME)).is_ok_and(|path| path == target);
    if let Some(folder) = search.iter().find(|folder| is_there(folder)) {
        return Ok(HelperLink {
            path: folder.join(CREDENTIAL_HELPER_NAME),
            is_in_path: true,
        });
    }
    let beside = target.parent().map(Path::to_path_buf);
    let local = environment.home().map(|home| home.join(".local").join("bin"));
    let mut folders: Vec<PathBuf> = beside.into_iter().chain(local).collect();
    folders.sort_by_key(|folder| !search.contains(folder)); // stable: those that Docker searches come first
    let mut last = CliError::NoHome;
    for folder in folders {
        let path = folder.join(CREDENTIAL_HELPER_NAME);
        match std::fs::create_dir_all(&folder).and_then(|()| link(&target, &folder, &path)) {
            Ok(()) => {
                return Ok(HelperLink {
                    path,
                    is_in_path: search.contains(&folder),
                });
            }
            Err(error) => last = file("write", &path)(error),
        }
    }
    Err(last)
}

/// Makes or replaces the link, atomically.
fn link(target: &Path, folder: &Path, path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    let make = |at: &Path| std::os::unix::fs::symlink(target, at);
    #[cfg(not(unix))]
    let make = |at: &Path| std::fs::copy(target, at).map(drop);
    let temporary = tempfile::Builder::new()
        .prefix(".docker-credential-")
        .make_in(folder, make)?;
    temporary.into_temp_path().persist(path).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_is_where_docker_looks_if_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let root = std::fs::canonicalize(folder.path()).unwrap();
        let (apps, home) = (root.join("apps"), root.join("home"));
        std::fs::create_dir_all(&apps).unwrap();
        let executable = apps.join("hythe");
        std::fs::write(&executable, "").unwrap();
        let local = home.join(".local/bin");
        let environment =
            |path: &str| Environment::new([("HOME", home.to_str().unwrap()), ("PATH", path)], root.clone());

        let made = install(&environment("/nowhere"), &executable).unwrap();
        assert_eq!(
            made,
            HelperLink {
                path: apps.join(CREDENTIAL_HELPER_NAME),
                is_in_path: false
            }
        );
        std::fs::remove_file(&made.path).unwrap();

        let made = install(&environment(&format!("/nowhere:{}", local.display())), &executable).unwrap();
        assert_eq!(
            made,
            HelperLink {
                path: local.join(CREDENTIAL_HELPER_NAME),
                is_in_path: true
            }
        );
        assert_eq!(std::fs::canonicalize(&made.path).unwrap(), executable);

        let again = install(
            &environment(&format!("{}:{}", apps.display(), local.display())),
            &executable,
        )
        .unwrap();
        assert_eq!(
            again.path,
            local.join(CREDENTIAL_HELPER_NAME),
            "the one that is there will do"
        );
    }
}
