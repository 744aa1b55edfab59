// SPDX-License-Identifier: Apache-2.0
//! Bodies that no file system can compress and no two of which are alike, with digests that cost the client nothing.
//!
//! All bodies of one size share their beginning; the last [`TAIL_BYTES`] differ. The hash of the beginning is computed once
//! (SHA-256 midstate), outside the clock, so that hashing is the server's work and not the client's.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use e2e::registry::digest_text;
use sha2::{Digest as _, Sha256};

/// How many bytes at the end make a body unlike every other.
pub const TAIL_BYTES: usize = 64;
/// The beginning repeats after so many bytes: far more than any file system's compression looks back.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// Makes bodies of one size.
#[derive(Debug)]
pub struct Bodies {
    piece: Vec<u8>,
    bytes: usize,
    midstate: Sha256,
    salt: u64,
    next: AtomicU64,
}

/// One body.
#[derive(Debug)]
pub struct Body<'a> {
    bodies: &'a Bodies,
    tail: [u8; TAIL_BYTES],
    /// Its digest.
    pub digest: String,
}

impl Bodies {
    /// Prepares bodies of `bytes` bytes, at least [`TAIL_BYTES`].
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let bytes = bytes.max(TAIL_BYTES);
        // Different in every process, so that a store that was used before holds none of these bodies.
        let salt = RandomState::new().hash_one(bytes);
        let mut random = Random::new(salt);
        let length = PIECE_BYTES.min(bytes);
        let piece = (0..length.div_ceil(8)).flat_map(|_| random.next().to_le_bytes());
        let mut bodies = Self {
            piece: piece.take(length).collect(),
            bytes,
            midstate: Sha256::new(),
            salt,
            next: AtomicU64::new(0),
        };
        let mut midstate = Sha256::new();
        for part in bodies.beginning() {
            midstate.update(part);
        }
        bodies.midstate = midstate;
        bodies
    }

    /// The size of each body.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// A body unlike all before.
    #[must_use]
    pub fn make(&self) -> Body<'_> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut random = Random::new(self.salt.wrapping_add(number));
        let mut tail = [0; TAIL_BYTES];
        for (place, byte) in tail.chunks_exact_mut(8).zip(std::iter::repeat_with(|| random.next())) {
            place.copy_from_slice(&byte.to_le_bytes());
        }
        // Two seeds might meet; two numbers do not.
        if let Some(place) = tail.first_chunk_mut::<8>() {
            *place = number.to_le_bytes();
        }
        let digest = digest_text(&self.midstate.clone().chain_update(tail).finalize());
        Body {
            bodies: self,
            tail,
            digest,
        }
    }

    fn beginning(&self) -> impl Iterator<Item = &[u8]> {
        let mut left = self.bytes - TAIL_BYTES;
        std::iter::from_fn(move || {
            let part = self.piece.get(..left.min(self.piece.len()))?;
            left -= part.len();
            (!part.is_empty()).then_some(part)
        })
    }
}

impl Body<'_> {
    /// Its bytes, in pieces.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.bodies.beginning().chain(std::iter::once(self.tail.as_slice()))
    }

    /// Its size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bodies.bytes
    }
}

/// Random enough for incompressible bytes and arrival times; the same seed gives the same numbers (splitmix64).
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`; 0 if that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next().checked_rem(bound).unwrap_or(0)
    }

    /// A number in `0..1`.
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
    pub fn fraction(&mut self) -> f64 {
        (self.next() >> 11) as f64 / 9_007_199_254_740_992.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_their_size_and_digest_and_differ() {
        for bytes in [1, 64, 65, 1024, PIECE_BYTES, PIECE_BYTES + 65, 3 * PIECE_BYTES + 1] {
            let bodies = Bodies::new(bytes);
            let (first, second) = (bodies.make(), bodies.make());
            let joined = first.parts().collect::<Vec<_>>().concat();
            assert_eq!(joined.len(), bytes.max(TAIL_BYTES), "{bytes}");
            assert_eq!(first.digest, e2e::registry::digest(&joined), "{bytes}");
            assert_ne!(first.digest, second.digest, "{bytes}");
        }
    }
}
