// SPDX-License-Identifier: Apache-2.0
//! The header of blob files, for the fuzz targets in `tests/fuzz-targets` and for nobody else.
#![allow(missing_docs, reason = "not a part of the interface: see `header`")]

use hythe_model::Digest;

use super::header::{Header, USED_BYTES};

/// The length of the part of a header that says something.
pub const HEADER_BYTES: usize = USED_BYTES;

#[must_use]
pub fn read_header(bytes: &[u8; HEADER_BYTES]) -> Option<(Digest, u64)> {
    let header = Header::decode(bytes).ok()?;
    Some((header.digest, header.size))
}

#[must_use]
pub fn write_header(digest: Digest, size: u64) -> Vec<u8> {
    Header { digest, size }.encode()
}
