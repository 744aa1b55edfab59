// SPDX-License-Identifier: Apache-2.0
//! Mistakes that a test plants, to show that the harness for power cuts would find them.

#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU8, Ordering};

#[cfg(debug_assertions)]
static MISSING: AtomicU8 = AtomicU8::new(0);

/// One of the ways in which bytes are brought to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sync {
    /// The content of a file.
    File = 1,
    /// The entries of a directory.
    Directory = 2,
    /// A commit of the embedded database.
    Database = 4,
}

impl Sync {
    /// Leaves this out for the life of the process. Without effect in an optimised build.
    pub fn plant_missing(self) {
        #[cfg(debug_assertions)]
        MISSING.fetch_or(self as u8, Ordering::SeqCst);
    }

    /// Whether a test wants this left out. Always false in an optimised build.
    #[must_use]
    #[inline]
    pub fn is_missing(self) -> bool {
        #[cfg(debug_assertions)]
        return MISSING.load(Ordering::SeqCst) & self as u8 != 0;
        #[cfg(not(debug_assertions))]
        false
    }
}

impl std::str::FromStr for Sync {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "file" => Ok(Self::File),
            "directory" => Ok(Self::Directory),
            "database" => Ok(Self::Database),
            other => Err(format!("`{other}` is not one of file, directory, database")),
        }
    }
}
