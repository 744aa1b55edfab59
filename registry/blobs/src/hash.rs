// SPDX-License-Identifier: Apache-2.0
//! Hashing that can stop in one request and go on in another.

use std::fmt;

use bytes::Bytes;
use hythe_model::{Algorithm, Digest};
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::{Digest as _, Sha256, Sha512};

/// Version of the form of [`Hasher::to_state`]; it changes with the form of `sha2`'s own state.
const STATE_VERSION: u8 = 1;
/// The most bytes that a state may stand for: beyond any file, and far from overflow in `sha2`'s bit count.
const MAX_HASHED_BYTES: u64 = 1 << 60;

/// A hash under way. Its state can be written down and taken up again, after a restart or on another node.
#[derive(Clone)]
pub struct Hasher {
    function: Function,
    bytes: u64,
}

#[derive(Clone)]
enum Function {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// Why some bytes are not the state of a [`Hasher`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashStateError {
    /// Written by another version of this program.
    #[error("the hash state has version {0}, which this version does not read")]
    Version(u8),
    /// Not written by this program, or damaged.
    #[error("the hash state is damaged")]
    Damaged,
}

impl Hasher {
    /// A hash over nothing yet.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        let function = match algorithm {
            Algorithm::Sha256 => Function::Sha256(Sha256::new()),
            Algorithm::Sha512 => Function::Sha512(Sha512::new()),
        };
        Self { function, bytes: 0 }
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        match self.function {
            Function::Sha256(_) => Algorithm::Sha256,
            Function::Sha512(_) => Algorithm::Sha512,
        }
    }

    /// How many bytes were hashed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Hashes more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        match &mut self.function {
            Function::Sha256(function) => function.update(bytes),
            Function::Sha512(function) => function.update(bytes),
        }
        self.bytes = self.bytes.saturating_add(bytes.len() as u64);
    }

    /// The digest of all bytes so far; more may follow.
    #[must_use]
    #[expect(
        clippy::expect_used,
        clippy::missing_panics_doc,
        reason = "each arm's hash has its algorithm's length by its type"
    )]
    pub fn finish(&self) -> Digest {
        match &self.function {
            Function::Sha256(function) => Digest::new(Algorithm::Sha256, &function.clone().finalize()),
            Function::Sha512(function) => Digest::new(Algorithm::Sha512, &function.clone().finalize()),
        }
        .expect("hash of its algorithm's length")
    }

    /// The state, for [`Hasher::from_state`]: at most 256 bytes.
    #[must_use]
    pub fn to_state(&self) -> Bytes {
        let (code, state): (u8, Vec<u8>) = match &self.function {
            Function::Sha256(function) => (1, function.serialize().to_vec()),
            Function::Sha512(function) => (2, function.serialize().to_vec()),
        };
        let mut text = vec![STATE_VERSION, code];
        text.extend(self.bytes.to_le_bytes());
        text.extend(state);
        text.into()
    }

    /// The hash whose state this is.
    pub fn from_state(state: &[u8]) -> Result<Self, HashStateError> {
        use HashStateError::Damaged;
        let (version, rest) = state.split_first().ok_or(Damaged)?;
        if *version != STATE_VERSION {
            return Err(HashStateError::Version(*version));
        }
        let (code, rest) = rest.split_first().ok_or(Damaged)?;
        let (bytes, rest) = rest.split_first_chunk().ok_or(Damaged)?;
        let bytes = u64::from_le_bytes(*bytes);
        let function = match code {
            1 => {
                let (_, tail) = rest.split_first_chunk::<32>().ok_or(Damaged)?;
                let (blocks, tail) = tail.split_first_chunk().ok_or(Damaged)?;
                check_count(bytes, 64, u64::from_le_bytes(*blocks), tail)?;
                Function::Sha256(deserialize(rest)?)
            }
            2 => {
                let (_, tail) = rest.split_first_chunk::<64>().ok_or(Damaged)?;
                let (blocks, tail) = tail.split_first_chunk().ok_or(Damaged)?;
                let blocks = u64::try_from(u128::from_le_bytes(*blocks)).map_err(|_| Damaged)?;
                check_count(bytes, 128, blocks, tail)?;
                Function::Sha512(deserialize(rest)?)
            }
            _ => return Err(Damaged),
        };
        Ok(Self { function, bytes })
    }
}

/// Compares our count of bytes with `sha2`'s, which is in blocks and a partial block whose length comes
/// first. `sha2` believes any count and overflows on a large one.
fn check_count(bytes: u64, block_bytes: u64, blocks: u64, buffer: &[u8]) -> Result<(), HashStateError> {
    let counted = blocks
        .checked_mul(block_bytes)
        .zip(buffer.first())
        .and_then(|(full, rest)| full.checked_add((*rest).into()));
    if bytes <= MAX_HASHED_BYTES && counted == Some(bytes) {
        Ok(())
    } else {
        Err(HashStateError::Damaged)
    }
}

fn deserialize<T: SerializableState>(state: &[u8]) -> Result<T, HashStateError> {
    let state = SerializedState::<T>::try_from(state).map_err(|_| HashStateError::Damaged)?;
    T::deserialize(&state).map_err(|_| HashStateError::Damaged)
}

impl PartialEq for Hasher {
    /// Whether both have hashed the same bytes with the same algorithm.
    fn eq(&self, other: &Self) -> bool {
        self.to_state() == other.to_state()
    }
}

impl Eq for Hasher {}

impl fmt::Debug for Hasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the state itself, which would tell bytes of the content.
        formatter
            .debug_struct("Hasher")
            .field("algorithm", &self.algorithm())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn algorithms() -> impl Strategy<Value = Algorithm> {
        prop_oneof![Just(Algorithm::Sha256), Just(Algorithm::Sha512)]
    }

    #[test]
    fn digests_are_the_published_ones() {
        // FIPS 180-4 examples: the empty message and `abc`.
        let mut sha256 = Hasher::new(Algorithm::Sha256);
        assert_eq!(
            sha256.finish().to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        sha256.update(b"abc");
        assert_eq!(
            sha256.finish().to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let mut sha512 = Hasher::new(Algorithm::Sha512);
        sha512.update(b"abc");
        assert_eq!(
            sha512.finish().to_string(),
            "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        );
    }

    #[test]
    fn a_state_whose_count_would_overflow_is_refused() {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let state = Hasher::new(algorithm).to_state();
            for at in 0..state.len() {
                let mut hostile = state.to_vec();
                hostile[at..].fill(0xff);
                assert!(Hasher::from_state(&hostile).is_err(), "{algorithm:?} from byte {at}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_state_goes_on_where_it_stopped(
            algorithm in algorithms(),
            content in prop::collection::vec(any::<u8>(), 0..2000),
            cut in any::<prop::sample::Index>(),
        ) {
            let (head, tail) = content.split_at(cut.index(content.len() + 1));
            let mut whole = Hasher::new(algorithm);
            whole.update(&content);
            let mut first = Hasher::new(algorithm);
            first.update(head);
            let mut second = Hasher::from_state(&first.to_state()).unwrap();
            prop_assert_eq!(&second, &first);
            second.update(tail);
            prop_assert_eq!(second.finish(), whole.finish());
            prop_assert_eq!(second.bytes(), content.len() as u64);
            prop_assert!(second.to_state().len() <= 256);
        }

        #[test]
        fn no_state_makes_it_panic(
            algorithm in algorithms(),
            content in prop::collection::vec(any::<u8>(), 0..300),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..12),
            length in any::<prop::sample::Index>(),
        ) {
            let mut hasher = Hasher::new(algorithm);
            hasher.update(&content);
            let mut state = hasher.to_state().to_vec();
            for (at, value) in changes {
                let at = at.index(state.len());
                state[at] = value;
            }
            state.truncate(length.index(state.len() * 4).max(1));
            if let Ok(mut hasher) = Hasher::from_state(&state) {
                hasher.update(&content);
                let _ = hasher.finish();
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(hasher) = Hasher::from_state(&bytes) {
                let _ = hasher.finish();
            }
        }
    }
}
