// SPDX-License-Identifier: Apache-2.0
//! A clock of a server that a test moves.

use std::path::PathBuf;

use anyhow::Result;
use tempfile::TempDir;

/// What a server believes the time to be, if it is started with [`Self::variable`].
#[derive(Debug)]
pub struct TestClock {
    file: PathBuf,
    _folder: TempDir,
}

impl TestClock {
    /// A clock that is right.
    ///
    /// # Errors
    /// If there is no folder to be had.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        Ok(Self {
            file: folder.path().join("offset"),
            _folder: folder,
        })
    }

    /// The variable of the environment that gives a server this clock.
    #[must_use]
    pub fn variable(&self) -> (String, String) {
        (
            "HYTHE_TEST_CLOCK_OFFSET_FILE".to_owned(),
            self.file.display().to_string(),
        )
    }

    /// The clock jumps to so many seconds from now.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn jump(&self, seconds: i64) -> Result<()> {
        // In one step: it never reads half a number.
        let next = self.file.with_extension("next");
        std::fs::write(&next, seconds.to_string())?;
        Ok(std::fs::rename(next, &self.file)?)
    }
}
