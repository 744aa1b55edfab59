// SPDX-License-Identifier: Apache-2.0
//! Looks into the data folder of a server that does not run: whether the database is sound, and whether everything on
//! the disk is named by a row, so that it can be found and collected without a walk.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::process::run;

/// The length of the header of a blob file, in bytes: see the map of the data folder in `docs/ARCHITECTURE.md`.
pub const HEADER_BYTES: u64 = 4096;

/// What is on the disk beside what is needed.
#[derive(Clone, Debug, Default)]
pub struct Leftovers {
    /// What must not be: bytes that no row names, or rows whose bytes are missing.
    pub problems: Vec<String>,
    /// Files of uploads whose session has ended: the expiry finds them by their age.
    pub stray_uploads: Vec<String>,
    /// Sessions that have not ended.
    pub sessions: usize,
    /// Files of blobs.
    pub blob_files: usize,
}

/// Examines the data folder of a server that was stopped or killed.
pub fn examine(data_folder: &Path, blobs_folder: &Path) -> Result<Leftovers> {
    examine_in(data_folder, &[blobs_folder, &blobs_folder.join("archive")])
}

/// The same, of a server that has an archive elsewhere: the folders of blobs, that of the archive last.
pub fn examine_in(data_folder: &Path, blobs_folders: &[&Path]) -> Result<Leftovers> {
    let database = data_folder.join("hythe.db");
    let mut found = Leftovers::default();
    for row in query(&database, "PRAGMA integrity_check")? {
        if text(&row, "integrity_check") != Some("ok") {
            found.problems.push(format!("the database is damaged: {row}"));
        }
    }
    for row in query(&database, "PRAGMA foreign_key_check")? {
        found.problems.push(format!("a row refers to nothing: {row}"));
    }

    // Whatever column a row names a digest in: a session that is sealed names what it will be published as.
    let sessions = query(&database, "SELECT * FROM upload")?;
    let mut named: BTreeSet<&str> = sessions
        .iter()
        .filter_map(Value::as_object)
        .flat_map(|row| row.values().filter_map(Value::as_str))
        .filter(|text| text.contains(':'))
        .collect();
    let queued =
        "SELECT digest FROM blob_review UNION SELECT digest FROM blob_deletion UNION SELECT digest FROM upload_seal";
    let queued = query(&database, queued)?;
    named.extend(queued.iter().filter_map(|row| text(row, "digest")));
    let blobs = query(
        &database,
        "SELECT digest, size, content IS NULL AS is_file FROM blob ORDER BY digest",
    )?;
    let sizes: BTreeMap<&str, &Value> = blobs
        .iter()
        .filter_map(|row| Some((text(row, "digest")?, row)))
        .collect();

    let files = blob_files(blobs_folders)?;
    found.blob_files = files.len();
    for digest in files.keys() {
        if !sizes.contains_key(digest.as_str()) && !named.contains(digest.as_str()) {
            found.problems.push(format!("no row names the file of {digest}"));
        }
    }
    for (digest, row) in sizes {
        let size = row.get("size").and_then(Value::as_u64).context("no size")?;
        let is_file = row.get("is_file").and_then(Value::as_u64) == Some(1);
        match files.get(digest) {
            None if is_file => found.problems.push(format!("the file of {digest} is missing")),
            Some(length) if is_file && *length != size + HEADER_BYTES => found
                .problems
                .push(format!("the file of {digest} has {length} bytes, for a blob of {size}")),
            _ => {}
        }
    }

    let known: BTreeSet<&str> = sessions.iter().filter_map(|row| text(row, "id")).collect();
    found.sessions = known.len();
    for folder in blobs_folders {
        for entry in entries(&folder.join("uploads"))? {
            if !known.contains(entry.as_str()) {
                found.stray_uploads.push(entry);
            }
        }
    }
    Ok(found)
}

/// Rows of a query, as objects. Blobs in them are left out of nothing: they are texts here.
pub fn query(database: &Path, sql: &str) -> Result<Vec<Value>> {
    let printed = run(Command::new("sqlite3").arg("-json").arg(database).arg(sql))?.ok()?;
    if printed.stdout.trim().is_empty() {
        return Ok(Vec::new());
    }
    let rows: Value = serde_json::from_str(&printed.stdout).context("sqlite3 printed something else than JSON")?;
    Ok(rows.as_array().cloned().unwrap_or_default())
}

/// The files of blobs in these folders and their lengths, by digest.
pub fn blob_files(blobs_folders: &[&Path]) -> Result<BTreeMap<String, u64>> {
    let mut files = BTreeMap::new();
    for (root, algorithm) in blobs_folders
        .iter()
        .flat_map(|root| [(root, "sha256"), (root, "sha512")])
    {
        let folder = root.join("blobs").join(algorithm);
        for fan_out in entries(&folder)? {
            for name in entries(&folder.join(&fan_out))? {
                let length = std::fs::metadata(folder.join(&fan_out).join(&name))?.len();
                ensure!(name.starts_with(&fan_out), "{name} lies in {fan_out}");
                files.insert(format!("{algorithm}:{name}"), length);
            }
        }
    }
    Ok(files)
}

fn entries(folder: &Path) -> Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    Ok(names)
}

fn text<'a>(row: &'a Value, name: &str) -> Option<&'a str> {
    row.get(name).and_then(Value::as_str)
}
