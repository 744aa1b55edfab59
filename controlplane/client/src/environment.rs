// SPDX-License-Identifier: Apache-2.0
//! What a process finds around it: its environment variables and its working folder.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

type Lookup = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// Environment variables and the working folder, as a value, so that a test can set them.
pub struct Environment {
    lookup: Lookup,
    folder: PathBuf,
}

impl Environment {
    /// The environment of this process.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where clients read the environment"
    )]
    pub fn of_process() -> Self {
        Self {
            lookup: Box::new(|name| std::env::var(name).ok()),
            folder: std::env::current_dir().unwrap_or_else(|_| PathBuf::from(".")),
        }
    }

    /// An environment of these variables, in `folder`.
    pub fn new(variables: impl IntoIterator<Item = (impl Into<String>, impl Into<String>)>, folder: PathBuf) -> Self {
        let variables: HashMap<String, String> = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self {
            lookup: Box::new(move |name| variables.get(name).cloned()),
            folder,
        }
    }

    /// The value of a variable; an empty one counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    /// The working folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The user's home folder.
    #[must_use]
    pub fn home(&self) -> Option<PathBuf> {
        self.get("HOME").or_else(|| self.get("USERPROFILE")).map(PathBuf::from)
    }

    /// The file with the profiles: `HYTHE_CONFIG_FILE`, else `hythe/config.toml` in the user's configuration folder.
    #[must_use]
    pub fn config_file(&self) -> Option<PathBuf> {
        if let Some(path) = self.get("HYTHE_CONFIG_FILE") {
            return Some(self.folder.join(path));
        }
        let folder = self
            .get("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        Some(
            folder
                .or_else(|| Some(self.home()?.join(".config")))?
                .join("hythe")
                .join("config.toml"),
        )
    }

    /// The user's folder for what can be made again: `hythe` in `XDG_CACHE_HOME` or `~/.cache`.
    #[must_use]
    pub fn cache_folder(&self) -> Option<PathBuf> {
        let folder = self
            .get("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .filter(|path| path.is_absolute());
        Some(folder.or_else(|| Some(self.home()?.join(".cache")))?.join("hythe"))
    }

    /// The credentials that a server started in the working folder has written.
    #[must_use]
    pub fn local_credentials_file(&self) -> PathBuf {
        self.folder.join("hythe-data").join("credentials")
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Environment")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}
