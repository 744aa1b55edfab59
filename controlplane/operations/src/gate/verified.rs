// SPDX-License-Identifier: Apache-2.0
//! Tokens whose signature was checked before.
//!
//! What a token says never changes, so that only the signature and the parsing are spared. Its end, revocations,
//! leases and the access key behind it are looked at in every request, whether the token is here or not.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use hythe_access::{Caller, Lineage, Secret};
use hythe_model::from_millis;
use jiff::Timestamp;

use super::seconds;
use super::signing::SigningKeys;
use super::token::{Claims, TokenId};

const SHARDS: usize = 16;
/// The most tokens of each of [`SHARDS`].
const MAX_TOKENS: usize = 128;
/// Longer tokens are checked each time, so that all together take a few megabytes at most.
const MAX_TOKEN_BYTES: usize = 2048;

/// A token that was signed here.
#[derive(Debug)]
pub(super) struct Verified {
    /// Who it makes of a request's sender, but for the circumstances of the request.
    pub(super) caller: Caller,
    pub(super) expires_at: Timestamp,
    /// Those of the ids in the lineage that have a lease.
    pub(super) leased: Vec<String>,
}

impl Verified {
    /// Checks the signature, and nothing else.
    fn check(token: &Secret, keys: &SigningKeys, now: Timestamp) -> Option<Self> {
        let claims = Claims::verify(token.expose(), keys, now)?;
        let principal = claims.principal()?;
        let expires_at = seconds(claims.exp);
        let leased = claims.ids.iter().filter(|id| TokenId::is_leased(id)).cloned();
        Some(Self {
            leased: leased.collect(),
            expires_at,
            caller: Caller {
                scopes: Arc::new(claims.scopes),
                session_policy: claims.policy,
                attributes: claims.attributes,
                token_id: claims.ids.last().map(|id| id.as_str().into()),
                lineage: Arc::new(Lineage {
                    access_key_id: claims.key,
                    token_ids: claims.ids,
                    expires_at: Some(expires_at),
                    issued_at: Some(seconds(claims.since.unwrap_or(claims.iat))),
                    role_created_at: claims.role_created.map(from_millis),
                    user_created_at: claims.user_created.map(from_millis),
                }),
                ..Caller::of(principal)
            },
        })
    }
}

type Name = [u8; SHA256_OUTPUT_LEN];

/// The tokens of the latest requests, by the hash of their text: the text itself is not kept.
#[derive(Default)]
pub(super) struct VerifiedTokens([Mutex<HashMap<Name, Arc<Verified>>>; SHARDS]);

impl fmt::Debug for VerifiedTokens {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("VerifiedTokens")
    }
}

impl VerifiedTokens {
    /// What a token says; `None` if it was not signed with these keys.
    pub(super) fn verify(&self, token: &Secret, keys: &SigningKeys, now: Timestamp) -> Option<Arc<Verified>> {
        if token.expose().len() > MAX_TOKEN_BYTES {
            return Verified::check(token, keys, now).map(Arc::new);
        }
        let mut name = [0; SHA256_OUTPUT_LEN];
        let hash = digest(&SHA256, token.expose().as_bytes());
        name.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        if let Some(verified) = self.shard(&name).get(&name) {
            return Some(Arc::clone(verified));
        }
        let verified = Arc::new(Verified::check(token, keys, now)?);
        let mut shard = self.shard(&name);
        if shard.len() >= MAX_TOKENS {
            shard.retain(|_, known| now < known.expires_at);
        }
        if shard.len() >= MAX_TOKENS {
            // Checking them again costs a few microseconds each.
            shard.clear();
        }
        shard.insert(name, Arc::clone(&verified));
        Some(verified)
    }

    #[allow(clippy::indexing_slicing, reason = "a remainder is below its divisor")]
    fn shard(&self, name: &Name) -> MutexGuard<'_, HashMap<Name, Arc<Verified>>> {
        let shard = &self.0[usize::from(name[0]) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use hythe_model::AccountId;

    use super::super::keys::{Keys, MasterKey};
    use super::*;

    fn keys(byte: u8) -> SigningKeys {
        SigningKeys::first(&Keys::derive(&MasterKey::new([byte; 32])).unwrap())
    }

    fn token(keys: &SigningKeys, id: usize, exp: i64) -> Secret {
        let claims = Claims {
            ids: vec![format!("id-{id}")],
            account: Some(AccountId::default()),
            user: None,
            role: None,
            session: None,
            policy: None,
            attributes: Arc::default(),
            key: None,
            scopes: Vec::new(),
            iat: 0,
            since: None,
            role_created: None,
            user_created: None,
            exp,
        };
        claims.sign(&keys.current(seconds(0)).unwrap()).unwrap()
    }

    #[test]
    fn a_token_is_checked_once_and_a_forged_one_always() {
        let keys = keys(1);
        let tokens = VerifiedTokens::default();
        let good = token(&keys, 1, 100);
        let first = tokens.verify(&good, &keys, seconds(0)).unwrap();
        let second = tokens.verify(&good, &keys, seconds(0)).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(second.caller.token_id.as_deref(), Some("id-1"));
        let text = good.expose();
        for at in [0, text.len() / 2, text.len() - 1] {
            let mut forged = text.as_bytes().to_vec();
            forged[at] ^= 1;
            let forged = Secret::new(String::from_utf8(forged).unwrap());
            for _ in 0..2 {
                assert!(tokens.verify(&forged, &keys, seconds(0)).is_none(), "byte {at}");
            }
        }
        let other = super::tests::keys(2);
        assert!(tokens.verify(&token(&other, 1, 100), &keys, seconds(0)).is_none());
    }

    #[test]
    fn the_number_of_tokens_is_bounded() {
        let keys = keys(1);
        let tokens = VerifiedTokens::default();
        for id in 0..3 * SHARDS * MAX_TOKENS {
            let exp = i64::try_from(id).unwrap();
            assert!(
                tokens
                    .verify(&token(&keys, id, exp), &keys, seconds(exp - 100))
                    .is_some()
            );
        }
        let kept: Vec<_> = tokens.0.iter().map(|shard| shard.lock().unwrap().len()).collect();
        assert!(kept.iter().all(|count| (1..=MAX_TOKENS).contains(count)), "{kept:?}");
    }
}
