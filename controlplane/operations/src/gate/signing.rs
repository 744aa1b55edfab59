// SPDX-License-Identifier: Apache-2.0
//! The keys that sign tokens: which one does now, and which ones still verify.
//!
//! A new key is stored a while before it signs (`PUBLISHED_SECONDS`), and every node reads the keys every second, so that each
//! node knows a key before the first token that names it. A key that is not known is not looked up: a token that
//! names one is refused without the store having been asked.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hythe_access::Secret;
use hythe_meta::{SigningKeyRecord, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use zeroize::Zeroizing;

use super::keys::{CryptoError, Keys};
use crate::MAX_TOKEN_SECONDS;

/// How long a key is known to all nodes before it signs.
const PUBLISHED_SECONDS: i64 = 10;
/// How much longer a key verifies than any token of its lives, for nodes whose clocks differ.
const GRACE_SECONDS: i64 = 60;
/// The most keys at once, of which all but one wait for their last tokens to end.
pub const MAX_SIGNING_KEYS: usize = 32;

/// A key that signs tokens.
pub(crate) struct SigningKey {
    /// Counts the keys.
    pub(crate) generation: i64,
    /// Its name in tokens.
    pub(crate) id: String,
    pub(crate) mac: hmac::Key,
    pub(crate) created_at: Timestamp,
    pub(crate) active_from: Timestamp,
    /// Until when it verifies; `None` while there is no newer one.
    pub(crate) verifies_until: Option<Timestamp>,
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SigningKey({})", self.id)
    }
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
pub enum RotateSigningKeyError {
    /// There are as many keys as there may be.
    #[error("there are {MAX_SIGNING_KEYS} signing keys already: wait until the tokens of the oldest have ended")]
    LimitExceeded,
    /// The newest key does not sign yet.
    #[error("the newest signing key does not sign yet: there is no need for another")]
    Pending,
    /// No key could be made.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The keys that this node knows, oldest first; never none.
#[derive(Debug)]
pub(crate) struct SigningKeys(RwLock<Arc<[Arc<SigningKey>]>>);

impl SigningKeys {
    /// The keys of a deployment whose store was not read yet: the one that is made from the master key.
    pub(super) fn first(keys: &Keys) -> Self {
        let key = SigningKey {
            generation: 1,
            id: keys.token_key_id.clone(),
            mac: keys.tokens.clone(),
            created_at: Timestamp::UNIX_EPOCH,
            active_from: Timestamp::UNIX_EPOCH,
            verifies_until: None,
        };
        Self(RwLock::new(Arc::new([Arc::new(key)])))
    }

    /// The key that signs.
    pub(crate) fn current(&self, now: Timestamp) -> Option<Arc<SigningKey>> {
        let known = self.all();
        let newest = known.iter().rev().find(|key| key.active_from <= now);
        newest.or_else(|| known.first()).map(Arc::clone)
    }

    /// The key of this name, if its tokens are still good.
    pub(super) fn find(&self, id: &str, now: Timestamp) -> Option<Arc<SigningKey>> {
        let known = self.all();
        let key = known.iter().rev().find(|key| key.id == id)?;
        key.verifies_until
            .is_none_or(|until| now < until)
            .then(|| Arc::clone(key))
    }

    /// All keys, oldest first.
    pub(crate) fn all(&self) -> Arc<[Arc<SigningKey>]> {
        // Every change is one assignment, so a panic leaves nothing half done.
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes over what the store says. The first node of a deployment stores the first key.
    pub(super) async fn refresh(&self, store: &Store, keys: &Keys, now: Timestamp) -> Result<(), StoreError> {
        let mut records = store.signing_keys().await?;
        if records.is_empty() {
            let first = SigningKeyRecord {
                generation: 1,
                id: keys.token_key_id.clone(),
                sealed: seal(keys, &keys.token_key_id, &keys.first_token_key).map_err(corrupt)?,
                created_at: now,
                active_from: Timestamp::UNIX_EPOCH,
            };
            store.add_signing_key(&first).await?;
            records = store.signing_keys().await?;
        }
        self.take_over(&records, keys)
    }

    /// Makes a new key, which signs in a while.
    pub(crate) async fn rotate(
        &self,
        store: &Store,
        keys: &Keys,
        now: Timestamp,
    ) -> Result<Arc<SigningKey>, RotateSigningKeyError> {
        self.refresh(store, keys, now).await?;
        self.purge(store, keys, now).await?;
        let known = self.all();
        let newest = known.last().ok_or(CryptoError)?;
        if newest.active_from > now {
            return Err(RotateSigningKeyError::Pending);
        }
        if known.len() >= MAX_SIGNING_KEYS {
            return Err(RotateSigningKeyError::LimitExceeded);
        }
        let (mut id, mut bytes) = ([0; 6], Zeroizing::new([0; 32]));
        rand::fill(&mut id).map_err(CryptoError::from)?;
        rand::fill(&mut *bytes).map_err(CryptoError::from)?;
        let id = URL_SAFE_NO_PAD.encode(id);
        let record = SigningKeyRecord {
            generation: newest.generation + 1,
            sealed: seal(keys, &id, &bytes)?,
            id,
            created_at: now,
            active_from: now + SignedDuration::from_secs(PUBLISHED_SECONDS),
        };
        // If another node was faster, its key is as new as this one.
        store.add_signing_key(&record).await?;
        self.refresh(store, keys, now).await?;
        self.all().last().cloned().ok_or(CryptoError.into())
    }

    /// Removes keys of which no token lives any more.
    pub(super) async fn purge(&self, store: &Store, keys: &Keys, now: Timestamp) -> Result<(), StoreError> {
        let known = self.all();
        let kept = known
            .iter()
            .find(|key| key.verifies_until.is_none_or(|until| now < until));
        match kept {
            Some(kept) if kept.generation != known.first().map_or(0, |first| first.generation) => {
                store.delete_signing_keys_before(kept.generation).await?;
                self.refresh(store, keys, now).await
            }
            _ => Ok(()),
        }
    }

    fn take_over(&self, records: &[SigningKeyRecord], keys: &Keys) -> Result<(), StoreError> {
        let known = self.all();
        let is_known = known.len() == records.len()
            && known.iter().zip(records).all(|(key, record)| {
                (key.generation, &key.id, key.created_at) == (record.generation, &record.id, record.created_at)
            });
        if is_known {
            return Ok(());
        }
        let ends = records.iter().skip(1).map(|next| Some(last_use(next.active_from)));
        let mut new = Vec::with_capacity(records.len());
        for (record, verifies_until) in records.iter().zip(ends.chain([None])) {
            let mac = unseal(keys, record).ok_or_else(|| {
                StoreError::Corrupt(format!(
                    "the signing key {} was not sealed with this master key",
                    record.id
                ))
            })?;
            new.push(Arc::new(SigningKey {
                generation: record.generation,
                id: record.id.clone(),
                mac,
                created_at: record.created_at,
                active_from: record.active_from,
                verifies_until,
            }));
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new.into();
        Ok(())
    }
}

/// When the last token ends that was signed before the next key took over.
fn last_use(next_active_from: Timestamp) -> Timestamp {
    let seconds = i64::from(MAX_TOKEN_SECONDS) + GRACE_SECONDS;
    next_active_from
        .checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}

fn corrupt(error: CryptoError) -> StoreError {
    StoreError::Corrupt(error.to_string())
}

/// Not the form of an access key id, so that the one cannot be taken for the other.
fn bound_to(id: &str) -> String {
    format!("signing-key/{id}")
}

fn seal(keys: &Keys, id: &str, bytes: &[u8; 32]) -> Result<Vec<u8>, CryptoError> {
    keys.seal(&bound_to(id), &Secret::new(STANDARD.encode(bytes)))
}

fn unseal(keys: &Keys, record: &SigningKeyRecord) -> Option<hmac::Key> {
    let text = keys.unseal(&bound_to(&record.id), &record.sealed)?;
    let bytes = Zeroizing::new(STANDARD.decode(&*text).ok()?);
    Some(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}
