// SPDX-License-Identifier: Apache-2.0
//! The deployment's one secret, and the keys that are made from it.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hythe_access::Secret;
use hythe_model::AccountId;
use zeroize::{Zeroize as _, Zeroizing};

/// The cryptography library failed, which it does only when it cannot get memory or randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cryptography library failed")]
pub struct CryptoError;

impl From<aws_lc_rs::error::Unspecified> for CryptoError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self
    }
}

/// The secret of a deployment, from which every other key is made: 32 random bytes, wiped when dropped.
///
/// All nodes of a deployment have the same. Whoever has it can make tokens for anybody.
#[derive(Clone)]
pub struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    /// Takes the bytes that were kept.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A new one.
    pub fn generate() -> Result<Self, CryptoError> {
        let mut bytes = Zeroizing::new([0; 32]);
        rand::fill(&mut *bytes)?;
        Ok(Self(bytes))
    }

    /// The bytes, to be kept where only the server can read them.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MasterKey(…)")
    }
}

/// The keys for each purpose, made from the master key with HKDF (RFC 5869).
pub(crate) struct Keys {
    /// Signs tokens until there is a key that was made for it; the first of the signing keys.
    pub(crate) tokens: hmac::Key,
    /// Its bytes, to be sealed.
    pub(crate) first_token_key: Zeroizing<[u8; 32]>,
    /// Names it in tokens.
    pub(crate) token_key_id: String,
    /// Binds the id of a token to its principal.
    pub(crate) token_ids: hmac::Key,
    /// Makes the nonces of the tokens of pages.
    page_nonces: hmac::Key,
    pages: LessSafeKey,
    /// Vouches for the audit log.
    pub(crate) audit: hmac::Key,
    /// Says whether the master key is the deployment's, without saying what it is.
    pub(crate) check: String,
    seal: LessSafeKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Keys({})", self.token_key_id)
    }
}

/// The form of a sealed secret: this byte, the nonce, the ciphertext with its tag.
const SEALED_VERSION: u8 = 1;

impl Keys {
    pub(crate) fn derive(master: &MasterKey) -> Result<Self, CryptoError> {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"hythe master key").extract(master.expose());
        let derive = |purpose: &[u8]| -> Result<Zeroizing<[u8; 32]>, CryptoError> {
            let mut key = Zeroizing::new([0; 32]);
            root.expand(&[purpose], hkdf::HKDF_SHA256)?.fill(&mut *key)?;
            Ok(key)
        };
        let mac = |purpose: &[u8]| Ok::<_, CryptoError>(hmac::Key::new(hmac::HMAC_SHA256, &*derive(purpose)?));
        let first_token_key = derive(b"sign tokens")?;
        let tokens = hmac::Key::new(hmac::HMAC_SHA256, &*first_token_key);
        let name = hmac::sign(&tokens, b"key id");
        Ok(Self {
            token_key_id: URL_SAFE_NO_PAD.encode(name.as_ref().get(..6).unwrap_or_default()),
            tokens,
            first_token_key,
            token_ids: mac(b"bind token ids")?,
            page_nonces: mac(b"nonces of page tokens")?,
            pages: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*derive(b"seal page tokens")?)?),
            audit: mac(b"vouch for the audit log")?,
            check: STANDARD.encode(*derive(b"check the master key")?),
            seal: LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &*derive(b"seal access keys")?)?),
        })
    }

    /// Encrypts where a page of `list` starts. The same is always sealed the same way: the nonce is made from it, so that no
    /// nonce comes twice for different texts.
    pub(crate) fn seal_page(&self, list: &str, key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mac = hmac::sign(&self.page_nonces, &[list.as_bytes(), &[0], key].concat());
        let nonce = mac.as_ref().get(..NONCE_LEN).unwrap_or_default().to_vec();
        let mut sealed = key.to_vec();
        let aad = Aad::from(list.as_bytes());
        self.pages
            .seal_in_place_append_tag(Nonce::try_assume_unique_for_key(&nonce)?, aad, &mut sealed)?;
        Ok([nonce, sealed].concat())
    }

    /// Decrypts where a page of `list` starts; `None` if it was not sealed for it with this key.
    pub(crate) fn open_page(&self, list: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = sealed.to_vec();
        let opened = self.pages.open_in_place(nonce, Aad::from(list.as_bytes()), &mut text);
        let length = opened.ok()?.len();
        text.truncate(length);
        Some(text)
    }

    /// Encrypts the secret of the access key `id`.
    pub(crate) fn seal(&self, id: &str, secret: &Secret) -> Result<Vec<u8>, CryptoError> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce)?;
        let mut sealed = secret.expose().as_bytes().to_vec();
        self.seal.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(id.as_bytes()),
            &mut sealed,
        )?;
        Ok([&[SEALED_VERSION], nonce.as_slice(), &sealed].concat())
    }

    /// Decrypts the secret of the access key `id`; `None` if it was not sealed for it with this key.
    pub(crate) fn unseal(&self, id: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.strip_prefix(&[SEALED_VERSION])?.split_at_checked(NONCE_LEN)?;
        let mut text = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let length = self
            .seal
            .open_in_place(nonce, Aad::from(id.as_bytes()), &mut text)
            .ok()?
            .len();
        text.truncate(length);
        Some(text)
    }
}

/// The letters of access key ids (RFC 4648, section 6).
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// What every access key id starts with.
pub(crate) const ACCESS_KEY_PREFIX: &str = "HYTHE";
/// The length of an access key id.
pub(crate) const ACCESS_KEY_ID_CHARS: usize = 20;

/// A new access key id: `HYTHE` and 15 of `A-Z2-7`.
pub(crate) fn new_access_key_id() -> Result<String, CryptoError> {
    let mut random = [0_u8; ACCESS_KEY_ID_CHARS - ACCESS_KEY_PREFIX.len()];
    rand::fill(&mut random)?;
    let letters = random
        .iter()
        .filter_map(|byte| BASE32.get(usize::from(byte & 31)))
        .map(|letter| char::from(*letter));
    Ok(ACCESS_KEY_PREFIX.chars().chain(letters).collect())
}

/// A random account id.
pub(crate) fn random_account_id() -> Result<AccountId, CryptoError> {
    /// So many ids there are.
    const IDS: u64 = 1_000_000_000_000;
    let mut random = [0_u8; 8];
    rand::fill(&mut random)?;
    // Which ids come out a little more often does not matter: they are no secret.
    let id = format!("{:012}", u64::from_le_bytes(random) % IDS);
    id.parse().map_err(|_| CryptoError)
}

/// A new secret: 40 characters, 240 random bits.
pub(crate) fn new_secret() -> Result<Secret, CryptoError> {
    let mut random = Zeroizing::new([0_u8; 30]);
    rand::fill(&mut *random)?;
    let secret = Secret::new(STANDARD.encode(*random));
    random.zeroize();
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_opens_with_its_key_and_its_id_only() {
        let keys = Keys::derive(&MasterKey::new([1; 32])).unwrap();
        let other = Keys::derive(&MasterKey::new([2; 32])).unwrap();
        let secret = new_secret().unwrap();
        let sealed = keys.seal("HYTHEA", &secret).unwrap();
        assert_eq!(
            keys.unseal("HYTHEA", &sealed).unwrap().as_slice(),
            secret.expose().as_bytes()
        );
        assert_ne!(keys.seal("HYTHEA", &secret).unwrap(), sealed, "nonces differ");
        assert!(keys.unseal("HYTHEB", &sealed).is_none());
        assert!(other.unseal("HYTHEA", &sealed).is_none());
        assert_ne!(keys.check, other.check);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.unseal("HYTHEA", &changed).is_none(), "byte {at}");
            assert!(keys.unseal("HYTHEA", &sealed[..at]).is_none(), "length {at}");
        }
    }

    #[test]
    fn where_a_page_starts_is_read_by_nobody_and_good_for_its_list_only() {
        let keys = Keys::derive(&MasterKey::new([1; 32])).unwrap();
        let other = Keys::derive(&MasterKey::new([2; 32])).unwrap();
        let sealed = keys.seal_page("list", b"team/secret").unwrap();
        assert_eq!(keys.seal_page("list", b"team/secret").unwrap(), sealed);
        assert_ne!(
            keys.seal_page("list", b"team/secreu").unwrap()[..NONCE_LEN],
            sealed[..NONCE_LEN]
        );
        assert_eq!(
            keys.open_page("list", &sealed).as_deref(),
            Some(b"team/secret".as_slice())
        );
        assert!(sealed.windows(4).all(|window| window != b"team"));
        assert!(keys.open_page("lists", &sealed).is_none() && other.open_page("list", &sealed).is_none());
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(keys.open_page("list", &changed).is_none(), "byte {at}");
            assert!(keys.open_page("list", &sealed[..at]).is_none(), "length {at}");
        }
    }

    #[test]
    fn access_keys_have_the_documented_form() {
        let (id, secret) = (new_access_key_id().unwrap(), new_secret().unwrap());
        assert_eq!(id.len(), ACCESS_KEY_ID_CHARS);
        assert!(
            id.strip_prefix("HYTHE")
                .unwrap()
                .bytes()
                .all(|byte| BASE32.contains(&byte)),
            "{id}"
        );
        assert_eq!(secret.expose().len(), 40);
        assert_ne!(new_access_key_id().unwrap(), id);
        assert_eq!(format!("{:?}", MasterKey::new([1; 32])), "MasterKey(…)");
    }
}
