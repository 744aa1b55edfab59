// SPDX-License-Identifier: Apache-2.0
//! Tokens: what they say, how they are signed, and what their ids say.
//!
//! A token is `hyt1.<key id>.<payload>.<mac>`: the payload is JSON, the MAC is HMAC-SHA256 over everything before
//! the last point, both base64url. It is never stored; its id is, when it is revoked or renewable.

use std::sync::Arc;

use aws_lc_rs::{constant_time, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hythe_access::{Attributes, Principal, RoleName, RoleSession, Secret, SessionName, TokenScope, UserName};
use hythe_model::AccountId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::keys::{CryptoError, Keys};
use super::signing::{SigningKey, SigningKeys};

/// The longest token, in bytes: it has to fit into a header of common proxies.
pub(crate) const MAX_TOKEN_BYTES: usize = 6 * 1024;
const PREFIX: &str = "hyt1.";

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claims {
    /// The ids of the tokens that it was made with, oldest first; the last is its own.
    pub(crate) ids: Vec<String>,
    /// The account of the principal; absent for anonymous.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<AccountId>,
    /// The user; absent for the administrator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<UserName>,
    /// The role that was taken on; with `session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<RoleName>,
    /// What the session of the role is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) session: Option<SessionName>,
    /// The policy that the session is limited to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Arc<str>>,
    /// What conditions may ask about the session.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub(crate) attributes: Arc<Attributes>,
    /// The access key that everything started from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<String>,
    /// What it may be used for at most, each entry a further limit.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) scopes: Vec<TokenScope>,
    /// When it was made, in seconds since the epoch.
    pub(crate) iat: i64,
    /// When the first of the tokens that it was made with was, or its session began, if that is not when it was made itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<i64>,
    /// When the role was created, in milliseconds since the epoch; with `role`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role_created: Option<i64>,
    /// When the user was created, in milliseconds since the epoch, if somebody else made the token for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user_created: Option<i64>,
    /// When it ends, in seconds since the epoch.
    pub(crate) exp: i64,
}

impl Claims {
    /// Whose rights count.
    pub(crate) fn principal(&self) -> Option<Principal> {
        let role = self.role.as_ref().zip(self.session.as_ref());
        match (&self.account, &self.user, role) {
            (Some(account), Some(user), None) => Some(Principal::User(account.clone(), user.clone())),
            (Some(account), None, None) => Some(Principal::Root(account.clone())),
            (Some(account), None, Some((role, session))) => Some(Principal::Role(RoleSession {
                account: account.clone(),
                role: role.clone(),
                session: session.clone(),
            })),
            (None, None, None) => Some(Principal::Anonymous),
            (None, ..) | (Some(_), Some(_), Some(_)) => None,
        }
    }

    /// The token; `None` if it would be longer than [`MAX_TOKEN_BYTES`].
    pub(crate) fn sign(&self, key: &SigningKey) -> Option<Secret> {
        let payload = serde_json::to_vec(self).ok()?;
        let signed = format!("{PREFIX}{}.{}", key.id, URL_SAFE_NO_PAD.encode(payload));
        let mac = hmac::sign(&key.mac, signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac));
        (token.len() <= MAX_TOKEN_BYTES).then(|| Secret::new(token))
    }

    /// What `token` says, if it was signed with one of these keys.
    pub(crate) fn verify(token: &str, keys: &SigningKeys, now: Timestamp) -> Option<Self> {
        if token.len() > MAX_TOKEN_BYTES {
            return None;
        }
        let (signed, mac) = token.rsplit_once('.')?;
        let (key_id, payload) = signed.strip_prefix(PREFIX)?.split_once('.')?;
        let key = keys.find(key_id, now)?;
        hmac::verify(&key.mac, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(mac).ok()?).ok()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

fn is_empty(attributes: &Arc<Attributes>) -> bool {
    attributes.is_empty()
}

/// What the id of a token says: it can be told from the id alone, without a row, whose token it is.
///
/// 41 bytes in base64url: kind, end, seconds of its first lease, 12 random bytes, and twice 8 bytes of an HMAC
/// over all of these with the account, and with the principal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenId {
    bytes: [u8; ID_BYTES],
}

const ID_BYTES: usize = 41;
const BODY_BYTES: usize = 25;
const PLAIN: u8 = b't';
const LEASED: u8 = b'l';

impl TokenId {
    /// A new id. `lease_seconds`: how long the first lease of a renewable token is.
    pub(crate) fn generate(
        keys: &Keys,
        principal: &Principal,
        exp: i64,
        lease_seconds: Option<u32>,
    ) -> Result<Self, CryptoError> {
        let kind = if lease_seconds.is_some() { LEASED } else { PLAIN };
        let mut random = [0_u8; 12];
        rand::fill(&mut random)?;
        let body = [
            &[kind],
            exp.to_be_bytes().as_slice(),
            &lease_seconds.unwrap_or(0).to_be_bytes(),
            &random,
        ]
        .concat();
        let account = bind(keys, &body, &account_text(principal));
        let owner = bind(keys, &body, &principal.to_string());
        let bytes = [body.as_slice(), &account, &owner].concat();
        Ok(Self {
            bytes: bytes.try_into().map_err(|_| CryptoError)?,
        })
    }

    /// The id that `text` is; `None` if it cannot be one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let id = Self {
            bytes: bytes.try_into().ok()?,
        };
        matches!(id.bytes.first(), Some(&(PLAIN | LEASED))).then_some(id)
    }

    /// Whether the token was made for `principal`.
    pub(crate) fn is_of(&self, keys: &Keys, principal: &Principal) -> bool {
        self.is_bound(keys, &principal.to_string(), BODY_BYTES + 8)
    }

    /// Whether the token was made for somebody in the account of `principal`.
    pub(crate) fn is_of_account(&self, keys: &Keys, principal: &Principal) -> bool {
        self.is_bound(keys, &account_text(principal), BODY_BYTES)
    }

    /// When the token ends at the latest.
    pub(crate) fn expires_at(&self) -> Timestamp {
        let seconds = self
            .bytes
            .get(1..9)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, i64::from_be_bytes);
        Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// How long the first lease was; `None` if the token is not renewable.
    pub(crate) fn lease_seconds(&self) -> Option<u32> {
        let seconds = self.bytes.get(9..13)?.try_into().ok().map(u32::from_be_bytes)?;
        (self.bytes.first() == Some(&LEASED)).then_some(seconds)
    }

    /// Whether the token with the id `text` has a lease.
    pub(crate) fn is_leased(text: &str) -> bool {
        Self::parse(text).is_some_and(|id| id.lease_seconds().is_some())
    }

    fn is_bound(&self, keys: &Keys, owner: &str, at: usize) -> bool {
        let body = self.bytes.get(..BODY_BYTES).unwrap_or_default();
        let bound = self.bytes.get(at..at + 8).unwrap_or_default();
        constant_time::verify_slices_are_equal(bound, &bind(keys, body, owner)).is_ok()
    }
}

impl std::fmt::Display for TokenId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&URL_SAFE_NO_PAD.encode(self.bytes))
    }
}

fn account_text(principal: &Principal) -> String {
    // Not the form of any principal, so that the two halves of an id never mean the same.
    principal
        .account()
        .map_or_else(|| "account:".to_owned(), |account| format!("account:{account}"))
}

fn bind(keys: &Keys, body: &[u8], owner: &str) -> Vec<u8> {
    let mac = hmac::sign(&keys.token_ids, &[body, owner.as_bytes()].concat());
    mac.as_ref().get(..8).unwrap_or_default().to_vec()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::keys::MasterKey;
    use super::*;

    fn keys(byte: u8) -> Keys {
        Keys::derive(&MasterKey::new([byte; 32])).unwrap()
    }

    fn signing(byte: u8) -> SigningKeys {
        SigningKeys::first(&keys(byte))
    }

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn claims() -> Claims {
        Claims {
            ids: vec!["a".into()],
            account: Some(AccountId::default()),
            user: Some("ada".parse().unwrap()),
            role: None,
            session: None,
            policy: None,
            attributes: Arc::default(),
            key: Some("HYTHEA".into()),
            scopes: vec![TokenScope(vec![hythe_access::ScopeEntry {
                repositories: vec!["team/*".into()],
                actions: vec!["ecr:*".into()],
                account: Some(AccountId::default()),
            }])],
            iat: 1,
            since: None,
            role_created: None,
            user_created: None,
            exp: 2,
        }
    }

    #[test]
    fn a_token_says_what_was_signed_to_those_with_the_key() {
        let token = claims().sign(&signing(1).current(now()).unwrap()).unwrap();
        assert_eq!(Claims::verify(token.expose(), &signing(1), now()), Some(claims()));
        assert_eq!(
            Claims::verify(token.expose(), &signing(2), now()),
            None,
            "another master key"
        );
    }

    #[test]
    fn any_change_of_a_token_is_noticed() {
        let keys = signing(1);
        let token = claims().sign(&keys.current(now()).unwrap()).unwrap();
        for at in 0..token.expose().len() {
            let mut changed = token.expose().as_bytes().to_vec();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(Claims::verify(&changed, &keys, now()), None, "byte {at}");
            assert_eq!(Claims::verify(&token.expose()[..at], &keys, now()), None, "length {at}");
        }
    }

    #[test]
    fn a_token_of_a_session_says_everything_about_it() {
        let claims = Claims {
            user: None,
            role: Some("ci".parse().unwrap()),
            session: Some("run-7".parse().unwrap()),
            role_created: Some(1_700_000_000_123),
            policy: Some("{}".into()),
            attributes: Arc::new([("sub".to_owned(), vec!["repo:x".to_owned()])].into()),
            ..claims()
        };
        let token = claims.sign(&signing(1).current(now()).unwrap()).unwrap();
        let read = Claims::verify(token.expose(), &signing(1), now()).unwrap();
        assert_eq!(read, claims);
        let arn = "arn:aws:sts::000000000000:assumed-role/ci/run-7";
        assert_eq!(read.principal().unwrap().to_string(), arn);
        for wrong in [
            Claims {
                user: Some("ada".parse().unwrap()),
                ..claims.clone()
            },
            Claims {
                account: None,
                ..claims
            },
        ] {
            assert_eq!(wrong.principal(), None);
        }
    }

    #[test]
    fn a_scope_that_does_not_fit_is_not_signed() {
        let entry = hythe_access::ScopeEntry {
            repositories: vec!["x".repeat(MAX_TOKEN_BYTES)],
            actions: vec![],
            account: None,
        };
        let claims = Claims {
            scopes: vec![TokenScope(vec![entry])],
            ..claims()
        };
        assert!(claims.sign(&signing(1).current(now()).unwrap()).is_none());
    }

    #[test]
    fn ids_say_whose_token_it_is() {
        let (keys, other) = (keys(1), keys(2));
        let ada = Principal::User(AccountId::default(), "ada".parse().unwrap());
        let bob = Principal::User(AccountId::default(), "bob".parse().unwrap());
        let root = Principal::Root(AccountId::default());
        let stranger = Principal::Root("111111111111".parse().unwrap());
        let id = TokenId::generate(&keys, &ada, 1_800_000_000, Some(60)).unwrap();
        let id = TokenId::parse(&id.to_string()).unwrap();
        assert!(id.is_of(&keys, &ada) && !id.is_of(&keys, &bob) && !id.is_of(&keys, &root) && !id.is_of(&other, &ada));
        assert!(id.is_of_account(&keys, &root) && !id.is_of_account(&keys, &stranger));
        assert_eq!(id.expires_at(), Timestamp::from_second(1_800_000_000).unwrap());
        assert_eq!(id.lease_seconds(), Some(60));
        assert!(TokenId::is_leased(&id.to_string()));
        let plain = TokenId::generate(&keys, &ada, 1, None).unwrap();
        assert_eq!(plain.lease_seconds(), None);
        assert!(!TokenId::is_leased(&plain.to_string()));
        let renewable = plain.to_string().replacen('d', "b", 1);
        assert!(
            TokenId::parse(&renewable).is_none_or(|id| !id.is_of(&keys, &ada)),
            "the kind is bound"
        );
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in ".*") {
            let keys = signing(1);
            prop_assert_eq!(Claims::verify(&text, &keys, now()), None);
            let id = &keys.current(now()).unwrap().id;
            prop_assert_eq!(Claims::verify(&format!("{PREFIX}{id}.{text}"), &keys, now()), None);
            let _ = TokenId::parse(&text);
        }
    }
}
