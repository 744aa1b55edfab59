// SPDX-License-Identifier: Apache-2.0
//! Blobs in a stopped server's store: many that an image needs, and some that nothing needs and that are due to be taken
//! away. The rows of the former have no files: nobody asks for their bytes. The latter have files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use e2e::registry::{digest, hex};
use sha2::{Digest as _, Sha256};
use sqlx::Connection as _;

use super::fill::{copies, open};

/// The length of the file of a blob that nothing needs: a page of header, a page of bytes.
const FILE_BYTES: u64 = 8192;

/// Adds `count` blobs that the first image of the store needs.
pub fn add_live(database: &Path, count: u64) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let started = Instant::now();
    runtime.block_on(async {
        let mut connection = open(database).await?;
        let name = "printf('sha256:%064x', n.i)".to_owned();
        for (table, instead) in [
            ("blob", vec![("digest", name.clone()), ("content", "NULL".to_owned())]),
            ("repository_blob", vec![("digest", name.clone())]),
            ("image_blob", vec![("blob_digest", name.clone())]),
        ] {
            copies(&mut connection, table, count, &instead, started)
                .await
                .with_context(|| format!("cannot fill the table `{table}`"))?;
        }
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut connection)
            .await?;
        Ok(connection.close().await?)
    })
}

/// The digest of a blob that nothing needs; no two calls for different rounds or numbers give the same.
#[must_use]
pub fn name(round: usize, number: u64) -> String {
    digest(format!("garbage {round}/{number}").as_bytes())
}

/// Where its bytes are: see the map of the data folder in `docs/ARCHITECTURE.md`.
pub fn file(data: &Path, round: usize, number: u64) -> PathBuf {
    let hash = hex(&Sha256::digest(format!("garbage {round}/{number}").as_bytes()));
    let fan_out = hash.get(..2).unwrap_or_default().to_owned();
    data.join("blobs/blobs/sha256").join(fan_out).join(hash)
}

/// Adds `count` blobs to `repository` that nothing needs, as they are when their time is over.
pub fn add_garbage(data: &Path, repository: &str, round: usize, count: u64) -> Result<()> {
    for number in 0..count {
        ensure!(!e2e::process::is_interrupted(), "interrupted");
        let path = file(data, round, number);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        File::create(&path)?.set_len(FILE_BYTES)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connection = open(&data.join("hythe.db")).await?;
        let mut transaction = connection.begin().await?;
        for number in 0..count {
            let digest = name(round, number);
            sqlx::query("INSERT INTO blob (digest, size, created_ms) VALUES (?1, 4096, 0)")
                .bind(&digest)
                .execute(&mut *transaction)
                .await?;
            for statement in [
                "INSERT INTO repository_blob (repository_id, digest, linked_ms, condemned_ms) \
                 SELECT id, ?1, 0, 0 FROM repository WHERE name = ?2",
                "INSERT INTO blob_review (repository_id, digest, due_ms) SELECT id, ?1, 0 FROM repository WHERE name = ?2",
            ] {
                sqlx::query(statement)
                    .bind(&digest)
                    .bind(repository)
                    .execute(&mut *transaction)
                    .await?;
            }
        }
        transaction.commit().await?;
        sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)")
            .execute(&mut connection)
            .await?;
        Ok(connection.close().await?)
    })
}
