// SPDX-License-Identifier: Apache-2.0
//! The first 4096 bytes of every blob file.
//!
//! | bytes | what |
//! |---|---|
//! | 0–7 | `HYTHEBLB` |
//! | 8 | version, 1 |
//! | 9 | kind: 0 plain, 1 sealed (encrypted at rest) |
//! | 10 | algorithm of the digest: 1 SHA-256, 2 SHA-512 |
//! | 11–15 | zero |
//! | 16–23 | size of the content in bytes, little-endian |
//! | 24–87 | hash of the content, padded with zeros |
//! | 88–119 | SHA-256 of bytes 0 to 87 |
//! | 120–4095 | zero; room for what sealing needs |
//!
//! A whole page, so that the content is aligned to pages of the cache.

use std::io;

use hythe_model::{Algorithm, Digest};
use sha2::{Digest as _, Sha256};

/// The length of the header, in bytes: where the content begins.
pub(super) const HEADER_BYTES: u64 = PAGE_BYTES as u64;
const PAGE_BYTES: usize = 4096;
/// The length of the part that says something, in bytes.
pub(super) const USED_BYTES: usize = SIGNED_BYTES + 32;
const SIGNED_BYTES: usize = 88;
const MAGIC: [u8; 8] = *b"HYTHEBLB";
const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const SEALED: u8 = 1;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The name of the content.
    pub(super) digest: Digest,
    /// Its size, in bytes.
    pub(super) size: u64,
}

/// Why a file is not a blob that can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("the file is not a blob of Hythe")]
    Foreign,
    #[error("the blob file has format version {0}; this version of Hythe reads version {VERSION}")]
    Version(u8),
    #[error("the blob is sealed (encrypted at rest), which this version of Hythe does not read")]
    Sealed,
    #[error("the header of the blob file is damaged")]
    Damaged,
    #[error("the blob file holds {0} instead")]
    OtherBlob(Digest),
    #[error("the blob file has {actual} bytes of content instead of {expected}")]
    Size { expected: u64, actual: u64 },
}

impl From<HeaderError> for io::Error {
    fn from(error: HeaderError) -> Self {
        let kind = match error {
            HeaderError::Version(_) | HeaderError::Sealed => io::ErrorKind::Unsupported,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

impl Header {
    /// The bytes to write: [`HEADER_BYTES`] of them.
    pub(super) fn encode(&self) -> Vec<u8> {
        self.encode_as(PLAIN)
    }

    /// As a later version will write it, for tests.
    #[cfg(test)]
    pub(super) fn encode_sealed(&self) -> Vec<u8> {
        self.encode_as(SEALED)
    }

    fn encode_as(&self, kind: u8) -> Vec<u8> {
        let algorithm = match self.digest.algorithm() {
            Algorithm::Sha256 => 1,
            Algorithm::Sha512 => 2,
        };
        let mut bytes = Vec::with_capacity(PAGE_BYTES);
        bytes.extend(MAGIC);
        bytes.extend([VERSION, kind, algorithm, 0, 0, 0, 0, 0]);
        bytes.extend(self.size.to_le_bytes());
        bytes.extend(self.digest.hash());
        bytes.resize(SIGNED_BYTES, 0);
        let check = Sha256::digest(&bytes);
        bytes.extend_from_slice(&check);
        bytes.resize(PAGE_BYTES, 0);
        bytes
    }

    /// Reads the first [`USED_BYTES`] of a file.
    pub(super) fn decode(bytes: &[u8; USED_BYTES]) -> Result<Self, HeaderError> {
        use HeaderError::{Damaged, Foreign, Sealed, Version};
        let (signed, check) = bytes.split_at_checked(SIGNED_BYTES).ok_or(Damaged)?;
        let rest = signed.strip_prefix(&MAGIC).ok_or(Foreign)?;
        let ([version, kind, algorithm, ..], rest) = rest.split_first_chunk::<8>().ok_or(Damaged)?;
        if *version != VERSION {
            return Err(Version(*version));
        }
        if *Sha256::digest(signed) != *check {
            return Err(Damaged);
        }
        match *kind {
            PLAIN => {}
            SEALED => return Err(Sealed),
            _ => return Err(Damaged),
        }
        let algorithm = match algorithm {
            1 => Algorithm::Sha256,
            2 => Algorithm::Sha512,
            _ => return Err(Damaged),
        };
        let (size, hash) = rest.split_first_chunk().ok_or(Damaged)?;
        let hash = hash.get(..algorithm.hash_bytes()).ok_or(Damaged)?;
        let digest = Digest::new(algorithm, hash).ok_or(Damaged)?;
        Ok(Self {
            digest,
            size: u64::from_le_bytes(*size),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> Header {
        Header {
            digest: Digest::new(Algorithm::Sha512, &[7; 64]).unwrap(),
            size: 12345,
        }
    }

    fn used(bytes: &[u8]) -> [u8; USED_BYTES] {
        *bytes.first_chunk().unwrap()
    }

    #[test]
    fn headers_read_back_as_written() {
        for digest in [Digest::new(Algorithm::Sha256, &[9; 32]).unwrap(), header().digest] {
            let header = Header { digest, size: u64::MAX };
            let bytes = header.encode();
            assert_eq!(bytes.len() as u64, HEADER_BYTES);
            assert_eq!(Header::decode(&used(&bytes)), Ok(header));
        }
    }

    #[test]
    fn headers_that_say_something_else_are_refused() {
        let mut newer = used(&header().encode());
        newer[8] = 2;
        let cases = [
            (
                "zeros, as before the header is written",
                [0; USED_BYTES],
                HeaderError::Foreign,
            ),
            ("a newer version", newer, HeaderError::Version(2)),
            ("sealed", used(&header().encode_sealed()), HeaderError::Sealed),
            ("an unknown kind", used(&header().encode_as(9)), HeaderError::Damaged),
        ];
        for (what, bytes, want) in cases {
            assert_eq!(Header::decode(&bytes), Err(want), "{what}");
        }
    }

    proptest! {
        #[test]
        fn no_flipped_bit_goes_unnoticed(at in 0..USED_BYTES, bit in 0..8) {
            let mut bytes = used(&header().encode());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(Header::decode(&bytes).is_err());
        }
    }
}
