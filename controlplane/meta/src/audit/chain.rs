// SPDX-License-Identifier: Apache-2.0
//! The chain of hashes over the records, and what the deployment's key says about its places.
//!
//! The hash of a record is SHA-256 over the hash of the record before it (32 bytes; zeros before the first), its
//! sequence number, the hash of what it shares with others, and its own time and ids: a busy registry hashes two blocks
//! for each pull that way, not its whole text. Documented in `docs/audit.md`, so that others can check it.

use std::fmt;
use std::sync::Arc;

use hythe_access::RequestId;
use hythe_model::Region;
use sha2::{Digest as _, Sha256};

use super::answers::Answers;
use super::run::Run;
use crate::StoreError;
use crate::session::corrupt;

/// A place in the chain: after the record with this number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChainPosition {
    /// The number of the record; 0 before the first.
    pub sequence: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

impl ChainPosition {
    /// Before the first record.
    pub const START: Self = Self {
        sequence: 0,
        hash: [0; 32],
    };

    /// A place that was written down; `None` if the hash is not 64 hexadecimal digits.
    #[must_use]
    pub fn new(sequence: u64, hash: &str) -> Option<Self> {
        unhex(hash).map(|hash| Self { sequence, hash })
    }

    pub(crate) fn read(sequence: u64, hash: &str) -> Result<Self, StoreError> {
        Self::new(sequence, hash).ok_or_else(|| corrupt("a hash of the audit log is not 64 hexadecimal digits"))
    }

    /// The place after a record of version 1.0, whose hash is over its text.
    #[must_use]
    pub fn after(&self, record: &[u8]) -> Self {
        let sequence = self.sequence.saturating_add(1);
        let mut hasher = Sha256::new();
        hasher.update(self.hash);
        hasher.update(sequence.to_be_bytes());
        hasher.update(record);
        Self {
            sequence,
            hash: hasher.finalize().into(),
        }
    }

    /// The place after a record whose `shared` part has this hash.
    pub(crate) fn after_parts(&self, shared: &[u8; 32], millis: i64, event: u128, request: &RequestId) -> Self {
        let sequence = self.sequence.saturating_add(1);
        let mut hasher = Sha256::new();
        hasher.update(self.hash);
        hasher.update(sequence.to_be_bytes());
        hasher.update(shared);
        hasher.update(millis.to_be_bytes());
        hasher.update(event.to_be_bytes());
        match request {
            RequestId::Number(number) => {
                hasher.update([1]);
                hasher.update(number.to_be_bytes());
            }
            RequestId::Text(text) => {
                hasher.update([0]);
                hasher.update(text.as_bytes());
            }
        }
        Self {
            sequence,
            hash: hasher.finalize().into(),
        }
    }

    /// The place after all records of a run.
    pub(crate) fn after_run(self, run: &Run) -> Self {
        (0..run.len()).fold(self, |position, index| run.link(index, position))
    }

    /// The hash in hexadecimal digits.
    #[must_use]
    pub fn hash_text(&self) -> String {
        hex(&self.hash)
    }
}

/// What a signature says about a place. None can stand for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The chain came by here.
    Anchor,
    /// The chain ends here.
    Head,
    /// What was before this was deleted in due time.
    Base,
}

/// Makes a MAC with the key of the deployment.
pub type Sign = dyn Fn(&[u8]) -> [u8; 32] + Send + Sync;

/// What records are made and vouched for with.
#[derive(Clone)]
pub struct Auditor {
    pub(crate) region: Region,
    sign: Arc<Sign>,
    pub(crate) answers: Arc<Answers>,
}

impl Auditor {
    /// Records of this region, vouched for by `sign`.
    pub fn new(region: Region, sign: Arc<Sign>) -> Self {
        Self {
            region,
            sign,
            answers: Arc::default(),
        }
    }

    pub(crate) fn mac(&self, claim: Claim, position: &ChainPosition) -> String {
        let label: &[u8] = match claim {
            Claim::Anchor => b"hythe audit anchor",
            Claim::Head => b"hythe audit head",
            Claim::Base => b"hythe audit base",
        };
        let text = [label, &[0], &position.sequence.to_be_bytes(), &position.hash].concat();
        hex(&(self.sign)(&text))
    }
}

impl fmt::Debug for Auditor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Auditor({})", self.region)
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chain_depends_on_every_record_its_number_and_what_was_before() {
        let one = ChainPosition::START.after(b"a");
        assert_eq!(one.sequence, 1);
        assert_eq!(
            one.hash_text(),
            "00f87f5348b32d1caf5e59cbfadc31d568b7b2d04679e0d52b5aad8c5d4dfeed"
        );
        let other = ChainPosition {
            sequence: 1,
            ..ChainPosition::START
        };
        let all = [
            one,
            one.after(b"a"),
            other.after(b"a"),
            ChainPosition::START.after(b"b"),
        ];
        for (at, first) in all.iter().enumerate() {
            assert!(all.iter().skip(at + 1).all(|second| first.hash != second.hash));
        }
        assert_eq!(ChainPosition::read(1, &one.hash_text()).unwrap(), one);
        assert!(ChainPosition::read(1, "zz").is_err());
    }

    #[test]
    fn no_claim_stands_for_another() {
        let auditor = Auditor::new(Region::default(), Arc::new(|text: &[u8]| Sha256::digest(text).into()));
        let claims = [Claim::Anchor, Claim::Head, Claim::Base].map(|claim| auditor.mac(claim, &ChainPosition::START));
        assert!(claims[0] != claims[1] && claims[1] != claims[2] && claims[0] != claims[2]);
    }
}
