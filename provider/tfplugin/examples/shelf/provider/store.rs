// SPDX-License-Identifier: Apache-2.0
//! The "server": a folder with one JSON file per book, and a journal.

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tfplugin::{Diagnostics, Result};

/// A folder of books.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    pub owner: String,
}

/// What the server knows about a book.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Record {
    pub isbn: String,
    pub title: String,
    pub genre: String,
    pub summary: Option<String>,
    pub revision: u64,
    #[serde(default)]
    pub owner: String,
    pub password: Option<String>,
}

impl Store {
    pub fn new(folder: impl Into<PathBuf>, owner: String) -> Self {
        Self {
            folder: folder.into(),
            owner,
        }
    }

    pub fn get(&self, isbn: &str) -> Result<Option<Record>> {
        match fs::read(self.path(isbn)) {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(failed),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    pub fn put(&self, record: &Record) -> Result<()> {
        let bytes = serde_json::to_vec(record).map_err(failed)?;
        fs::write(self.path(&record.isbn), bytes).map_err(failed)
    }

    pub fn delete(&self, isbn: &str) -> Result<()> {
        match fs::remove_file(self.path(isbn)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed(error)),
            _ => Ok(()),
        }
    }

    pub fn all(&self) -> Result<Vec<Record>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let bytes = fs::read(path).map_err(failed)?;
                records.push(serde_json::from_slice::<Record>(&bytes).map_err(failed)?);
            }
        }
        records.sort_by(|a, b| a.isbn.cmp(&b.isbn));
        Ok(records)
    }

    /// Appends a line to the journal, where tests see what happened.
    pub fn note(&self, line: &str) -> Result<()> {
        let path = self.folder.join("journal.txt");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .map_err(failed)?;
        writeln!(file, "{line}").map_err(failed)
    }

    fn path(&self, isbn: &str) -> PathBuf {
        self.folder.join(format!("{isbn}.json"))
    }
}

fn failed(error: impl std::fmt::Display) -> Diagnostics {
    Diagnostics::error("The shelf is broken", error.to_string())
}
