// SPDX-License-Identifier: Apache-2.0
//! The requests: pushes as engines make them (POST, PATCH, PUT), pulls with the body thrown away.

use std::io::sink;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use e2e::RegistryClient;
use e2e::http::Connection;
use e2e::registry::{digest_text, location, with_query};
use sha2::{Digest as _, Sha256};

use crate::subject::REPOSITORY;

/// Bytes written at once.
const PIECE_BYTES: usize = 256 * 1024;

/// A blob that no other push has, with its digest known beforehand: hashing is the server's work, not the client's.
#[derive(Debug)]
pub struct Blob {
    head: [u8; 16],
    piece: Vec<u8>,
    /// Its size in bytes.
    pub bytes: usize,
    /// Its digest.
    pub digest: String,
}

impl Blob {
    /// Makes a blob of that size, at least 16 bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let mut head = [0; 16];
        let number = NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        let process = u64::from(std::process::id()).to_le_bytes();
        for (place, byte) in head.iter_mut().zip(number.into_iter().chain(process)) {
            *place = byte;
        }
        // Nothing that a file system could compress or leave out.
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let piece = (0..PIECE_BYTES / 8).flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        });
        let mut blob = Self {
            head,
            piece: piece.collect(),
            bytes,
            digest: String::new(),
        };
        let mut hash = Sha256::new();
        for part in blob.parts() {
            hash.update(part);
        }
        blob.digest = digest_text(&hash.finalize());
        blob
    }

    fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let mut left = self.bytes.saturating_sub(self.head.len());
        let pieces = std::iter::from_fn(move || {
            let take = left.min(self.piece.len());
            left -= take;
            (take > 0).then(|| self.piece.get(..take).unwrap_or_default())
        });
        std::iter::once(self.head.as_slice()).chain(pieces)
    }
}

/// Pushes a blob over an open connection.
pub fn push(client: &RegistryClient, connection: &mut Connection, blob: &Blob) -> Result<()> {
    let begin = format!("/v2/{REPOSITORY}/blobs/uploads/");
    let response = connection
        .send("POST", &begin, &client.headers(&[]), &[])?
        .expect(202)?;
    let length = blob.bytes.to_string();
    let headers = client.headers(&[
        ("Content-Type", "application/octet-stream"),
        ("Content-Length", &length),
    ]);
    connection.send_head("PATCH", &location(&response)?, &headers)?;
    for part in blob.parts() {
        connection.write(part)?;
    }
    let response = connection.receive(false)?.expect(202)?;
    let end = with_query(&location(&response)?, "digest", &blob.digest);
    connection.send("PUT", &end, &client.headers(&[]), &[])?.expect(201)?;
    Ok(())
}

/// Pulls a blob over an open connection and counts its bytes.
pub fn pull(client: &RegistryClient, connection: &mut Connection, blob: &Blob) -> Result<()> {
    let target = format!("/v2/{REPOSITORY}/blobs/{}", blob.digest);
    connection.send_head("GET", &target, &client.headers(&[]))?;
    let response = connection.receive_to(false, &mut sink())?.expect(200)?;
    let length = response.header("content-length").unwrap_or_default();
    ensure!(
        length == blob.bytes.to_string(),
        "{length} bytes came back instead of {}",
        blob.bytes
    );
    Ok(())
}
