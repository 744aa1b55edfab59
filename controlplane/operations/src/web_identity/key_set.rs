// SPDX-License-Identifier: Apache-2.0
//! The public keys of an issuer (RFC 7517), and whether one of them has signed a token.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512,
    RsaParameters, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::SigningAlgorithm;
use super::json::parse_object;
use super::token::Token;

/// The most keys of a set.
pub(crate) const MAX_KEYS: usize = 50;
/// The longest text of a set, in bytes.
pub const MAX_JWKS_BYTES: usize = 64 * 1024;
/// The size of RSA moduli, in bytes: 2048 to 8192 bits.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
/// The longest public exponent, in bytes.
const MAX_RSA_EXPONENT_BYTES: usize = 8;
/// The longest id of a key, in bytes.
const MAX_KEY_ID_BYTES: usize = 255;

/// Why a set of keys is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// It is too long.
    #[error("a JWK set has at most {MAX_JWKS_BYTES} bytes")]
    TooLong,
    /// It is no JSON object without duplicate members.
    #[error("it is not a JSON object, or a member is there twice")]
    Json,
    /// There is no list of keys.
    #[error("it has no member `keys` with a list of keys")]
    NoKeys,
    /// There are too many.
    #[error("it has more than {MAX_KEYS} keys")]
    TooMany,
    /// None of them signs tokens.
    #[error("none of its keys is an RSA, P-256, P-384 or Ed25519 key that signs")]
    Unusable,
    /// A key that was given by hand is wrong.
    #[error("key {index}: {reason}")]
    Key {
        /// Its place, from 0.
        index: usize,
        /// What is wrong.
        reason: &'static str,
    },
}

/// Why no key of a set has signed a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// The set has no key with the id that the token names.
    UnknownKey,
    /// The key is of another kind or for another algorithm than the token says.
    WrongKind,
    /// The token names no key, and the set has several that could be meant.
    Ambiguous,
    /// The signature is not that of the key.
    Signature,
}

/// The keys of an issuer that sign tokens.
#[derive(Debug)]
pub(crate) struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Option<SigningAlgorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl KeySet {
    /// The set that an issuer publishes. Keys that are for something else or of an unknown kind are passed over (RFC 7517,
    /// section 5).
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, KeySetError> {
        let keys: Vec<Key> = members(bytes)?.iter().filter_map(|key| Key::parse(key).ok()).collect();
        if keys.is_empty() {
            return Err(KeySetError::Unusable);
        }
        Ok(Self(keys))
    }

    /// The set that an administrator gives: every key must be usable, and none may be private.
    pub(crate) fn parse_given(text: &str) -> Result<Self, KeySetError> {
        let mut keys = Vec::new();
        for (index, key) in members(text.as_bytes())?.iter().enumerate() {
            if ["d", "p", "q", "k"].iter().any(|part| key.get(*part).is_some()) {
                let reason =
                    "it holds a private or symmetric key, which nobody but the issuer may know: give public keys only";
                return Err(KeySetError::Key { index, reason });
            }
            keys.push(Key::parse(key).map_err(|reason| KeySetError::Key { index, reason })?);
        }
        if keys.is_empty() {
            return Err(KeySetError::Unusable);
        }
        Ok(Self(keys))
    }

    /// Whether the key that the token names is here.
    pub(crate) fn has_key_of(&self, token: &Token<'_>) -> bool {
        self.0.iter().any(|key| key.is_named_by(token))
    }

    /// Whether one of the keys has signed `token`. The algorithm is the one that the token says and that the caller has
    /// found to be allowed; a key of another kind is never tried with it.
    pub(crate) fn verify(&self, token: &Token<'_>) -> Result<(), Mismatch> {
        let named: Vec<&Key> = self.0.iter().filter(|key| key.is_named_by(token)).collect();
        if named.is_empty() {
            return Err(Mismatch::UnknownKey);
        }
        let fitting: Vec<&Key> = named
            .into_iter()
            .filter(|key| key.fits(token.header.algorithm))
            .collect();
        match fitting.as_slice() {
            [] => Err(Mismatch::WrongKind),
            [_, _, ..] if token.header.key_id.is_none() => Err(Mismatch::Ambiguous),
            keys if keys.iter().any(|key| key.has_signed(token)) => Ok(()),
            _ => Err(Mismatch::Signature),
        }
    }
}

fn members(bytes: &[u8]) -> Result<Vec<Map<String, Value>>, KeySetError> {
    if bytes.len() > MAX_JWKS_BYTES {
        return Err(KeySetError::TooLong);
    }
    let mut set = parse_object(bytes).map_err(|_| KeySetError::Json)?;
    let Some(Value::Array(keys)) = set.remove("keys") else {
        return Err(KeySetError::NoKeys);
    };
    if keys.len() > MAX_KEYS {
        return Err(KeySetError::TooMany);
    }
    keys.into_iter()
        .enumerate()
        .map(|(index, key)| match key {
            Value::Object(key) => Ok(key),
            _ => Err(KeySetError::Key {
                index,
                reason: "it is not an object",
            }),
        })
        .collect()
}

impl Key {
    fn parse(key: &Map<String, Value>) -> Result<Self, &'static str> {
        let text = |name: &str| key.get(name).and_then(Value::as_str);
        if key.get("use").is_some() && text("use") != Some("sig") {
            return Err("its `use` is not `sig`");
        }
        if let Some(operations) = key.get("key_ops") {
            let verifies = operations
                .as_array()
                .is_some_and(|list| list.iter().any(|operation| operation == "verify"));
            if !verifies {
                return Err("its `key_ops` have no `verify`");
            }
        }
        let algorithm = match key.get("alg") {
            None => None,
            Some(_) => Some(
                text("alg")
                    .and_then(|name| name.parse().ok())
                    .ok_or("its `alg` is not one that is possible")?,
            ),
        };
        let id = match key.get("kid") {
            None => None,
            Some(_) => Some(
                text("kid")
                    .filter(|id| id.len() <= MAX_KEY_ID_BYTES)
                    .ok_or("its `kid` is not a text, or too long")?
                    .to_owned(),
            ),
        };
        let part = |name: &str| {
            text(name)
                .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
                .ok_or("a part of the key is missing or not base64url")
        };
        let material = match (text("kty"), text("crv")) {
            (Some("RSA"), _) => rsa(&part("n")?, &part("e")?)?,
            (Some("EC"), Some("P-256")) => Material::P256(point(&part("x")?, &part("y")?, 32)?),
            (Some("EC"), Some("P-384")) => Material::P384(point(&part("x")?, &part("y")?, 48)?),
            (Some("OKP"), Some("Ed25519")) => {
                let x = part("x")?;
                if x.len() != 32 {
                    return Err("an Ed25519 key has 32 bytes");
                }
                Material::Ed25519(x)
            }
            _ => return Err("it is not an RSA, P-256, P-384 or Ed25519 key"),
        };
        let key = Self {
            id,
            algorithm: None,
            material,
        };
        match algorithm {
            Some(algorithm) if !key.fits(algorithm) => Err("its `alg` does not go with its kind"),
            _ => Ok(Self { algorithm, ..key }),
        }
    }

    fn is_named_by(&self, token: &Token<'_>) -> bool {
        token.header.key_id.is_none() || token.header.key_id == self.id
    }

    fn fits(&self, algorithm: SigningAlgorithm) -> bool {
        use SigningAlgorithm as A;
        let is_kind = match algorithm {
            A::RS256 | A::RS384 | A::RS512 | A::PS256 | A::PS384 | A::PS512 => {
                matches!(self.material, Material::Rsa(_))
            }
            A::ES256 => matches!(self.material, Material::P256(_)),
            A::ES384 => matches!(self.material, Material::P384(_)),
            A::EdDSA => matches!(self.material, Material::Ed25519(_)),
        };
        is_kind && self.algorithm.is_none_or(|only| only == algorithm)
    }

    fn has_signed(&self, token: &Token<'_>) -> bool {
        let (message, signature) = (token.signed.as_bytes(), token.signature.as_slice());
        let check = |algorithm: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key)
                .verify(message, signature)
                .is_ok()
        };
        match &self.material {
            Material::Rsa(key) => {
                rsa_parameters(token.header.algorithm).is_some_and(|rsa| key.verify(rsa, message, signature).is_ok())
            }
            Material::P256(point) => check(&ECDSA_P256_SHA256_FIXED, point),
            Material::P384(point) => check(&ECDSA_P384_SHA384_FIXED, point),
            Material::Ed25519(key) => check(&ED25519, key),
        }
    }
}

fn rsa_parameters(algorithm: SigningAlgorithm) -> Option<&'static RsaParameters> {
    use SigningAlgorithm as A;
    match algorithm {
        A::RS256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        A::RS384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        A::RS512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        A::PS256 => Some(&RSA_PSS_2048_8192_SHA256),
        A::PS384 => Some(&RSA_PSS_2048_8192_SHA384),
        A::PS512 => Some(&RSA_PSS_2048_8192_SHA512),
        A::ES256 | A::ES384 | A::EdDSA => None,
    }
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Material, &'static str> {
    let trim = |number: &[u8]| -> Vec<u8> { number.iter().copied().skip_while(|byte| *byte == 0).collect() };
    let (n, e) = (trim(modulus), trim(exponent));
    if !RSA_MODULUS_BYTES.contains(&n.len()) || n.first().is_none_or(|byte| n.len() == 256 && *byte < 0x80) {
        return Err("an RSA key has 2048 to 8192 bits");
    }
    if e.is_empty() || e.len() > MAX_RSA_EXPONENT_BYTES {
        return Err("the public exponent of an RSA key has 1 to 8 bytes");
    }
    Ok(Material::Rsa(RsaPublicKeyComponents { n, e }))
}

/// An uncompressed point (SEC 1, section 2.3.3).
fn point(x: &[u8], y: &[u8], bytes: usize) -> Result<Vec<u8>, &'static str> {
    if x.len() != bytes || y.len() != bytes {
        return Err("a coordinate of the key does not have the length of its curve");
    }
    Ok([&[4], x, y].concat())
}
