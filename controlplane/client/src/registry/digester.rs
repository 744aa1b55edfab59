// SPDX-License-Identifier: Apache-2.0
//! Hashing bytes as they pass.

use hythe_model::{Algorithm, Digest};
use sha2::{Digest as _, Sha256, Sha512};

/// A hash in the making.
#[derive(Clone)]
pub(super) enum Digester {
    Sha256(Sha256),
    Sha512(Sha512),
}

impl Digester {
    pub(super) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Sha256 => Self::Sha256(Sha256::new()),
            Algorithm::Sha512 => Self::Sha512(Sha512::new()),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hash) => hash.update(bytes),
            Self::Sha512(hash) => hash.update(bytes),
        }
    }

    /// The digest; `None` never comes, since the lengths are the algorithms'.
    pub(super) fn finish(self) -> Option<Digest> {
        match self {
            Self::Sha256(hash) => Digest::new(Algorithm::Sha256, &hash.finalize()),
            Self::Sha512(hash) => Digest::new(Algorithm::Sha512, &hash.finalize()),
        }
    }
}

/// Whether `bytes` are those that `expected` names.
pub(super) fn has_digest(bytes: &[u8], expected: &Digest) -> bool {
    let mut digester = Digester::new(expected.algorithm());
    digester.update(bytes);
    digester.finish().as_ref() == Some(expected)
}

/// The SHA-256 digest of `bytes`.
pub(super) fn sha256(bytes: &[u8]) -> Option<Digest> {
    let mut digester = Digester::new(Algorithm::Sha256);
    digester.update(bytes);
    digester.finish()
}
