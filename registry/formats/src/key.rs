// SPDX-License-Identifier: Apache-2.0
//! Public keys as they stand beside a signature: JSON Web Keys (RFC 7517, RFC 7518) with libtrust's key ids.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, EcdsaVerificationAlgorithm,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RsaParameters,
    UnparsedPublicKey,
};
use serde::Deserialize;

use crate::SignatureError;
use crate::jws::decode;

/// The longest modulus of an RSA key, in bytes.
const MAX_MODULUS_BYTES: usize = 8192 / 8;
/// A key id names the first 240 bits of a hash.
const KEY_ID_BYTES: usize = 30;

/// A curve, its coordinates' length in bytes, and what stands before a point in DER (RFC 5480).
struct Curve {
    name: &'static str,
    algorithm: &'static str,
    coordinate_bytes: usize,
    verification: &'static EcdsaVerificationAlgorithm,
    der_prefix: &'static [u8],
}

const CURVES: [Curve; 3] = [
    Curve {
        name: "P-256",
        algorithm: "ES256",
        coordinate_bytes: 32,
        verification: &ECDSA_P256_SHA256_FIXED,
        der_prefix:
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00",
    },
    Curve {
        name: "P-384",
        algorithm: "ES384",
        coordinate_bytes: 48,
        verification: &ECDSA_P384_SHA384_FIXED,
        der_prefix: b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00",
    },
    Curve {
        name: "P-521",
        algorithm: "ES512",
        coordinate_bytes: 66,
        verification: &ECDSA_P521_SHA512_FIXED,
        der_prefix:
            b"\x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00",
    },
];

const RSA: [(&str, &RsaParameters); 3] = [
    ("RS256", &RSA_PKCS1_2048_8192_SHA256),
    ("RS384", &RSA_PKCS1_2048_8192_SHA384),
    ("RS512", &RSA_PKCS1_2048_8192_SHA512),
];

/// A JSON Web Key, as far as libtrust knows them.
#[derive(Debug, Deserialize)]
pub(crate) struct Jwk {
    kty: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crv: String,
    #[serde(default)]
    x: String,
    #[serde(default)]
    y: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

impl Jwk {
    /// Whether `signature` is one of `message` by this key; `index` is the signature's, for the error.
    pub(crate) fn verify(
        &self,
        index: usize,
        algorithm: &str,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        match self.kty.as_str() {
            "EC" => {
                let curve = CURVES.iter().find(|curve| curve.name == self.crv);
                let curve = curve.ok_or(SignatureError::Key(index, "its curve must be P-256, P-384 or P-521"))?;
                if curve.algorithm != algorithm {
                    return Err(SignatureError::Algorithm(index));
                }
                let point = self.point(index, curve)?;
                self.check_id(index, &[curve.der_prefix, &point].concat())?;
                UnparsedPublicKey::new(curve.verification, point)
                    .verify(message, signature)
                    .map_err(|_| SignatureError::Rejected(index))
            }
            "RSA" => {
                let known = RSA.iter().find(|(name, _)| *name == algorithm);
                let (_, parameters) = known.ok_or(SignatureError::Algorithm(index))?;
                let number = |text: &str| decode(text).filter(|bytes| (1..=MAX_MODULUS_BYTES).contains(&bytes.len()));
                let bad =
                    || SignatureError::Key(index, "`n` and `e` must be numbers in base64url, of at most 8192 bits");
                let n = number(&self.n).ok_or_else(bad)?;
                let e = number(&self.e).ok_or_else(bad)?;
                let key = PublicKeyComponents { n, e };
                let der: PublicKeyX509Der<'_> = key.as_der().map_err(|_| bad())?;
                self.check_id(index, der.as_ref())?;
                key.verify(parameters, message, signature)
                    .map_err(|_| SignatureError::Rejected(index))
            }
            _ => Err(SignatureError::Key(index, "its type must be `EC` or `RSA`")),
        }
    }

    fn point(&self, index: usize, curve: &Curve) -> Result<Vec<u8>, SignatureError> {
        let coordinate = |text: &str| decode(text).filter(|bytes| bytes.len() == curve.coordinate_bytes);
        let coordinates = coordinate(&self.x).zip(coordinate(&self.y));
        let (x, y) = coordinates.ok_or(SignatureError::Key(
            index,
            "`x` and `y` must be coordinates in base64url, as long as the curve's",
        ))?;
        Ok([&[4], x.as_slice(), &y].concat())
    }

    /// Engines refuse a key whose id is not its own.
    fn check_id(&self, index: usize, der: &[u8]) -> Result<(), SignatureError> {
        match &self.kid {
            Some(kid) if *kid != key_id(der) => Err(SignatureError::Key(index, "`kid` is not the id of the key")),
            Some(_) | None => Ok(()),
        }
    }
}

/// libtrust's id of a public key in DER: the start of its hash in base32, in groups of four.
pub(crate) fn key_id(der: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = digest(&SHA256, der);
    let mut id = String::new();
    // 5 bytes are 8 characters: two groups.
    for (group, bytes) in hash
        .as_ref()
        .iter()
        .take(KEY_ID_BYTES)
        .copied()
        .collect::<Vec<u8>>()
        .chunks(5)
        .enumerate()
    {
        let bits = bytes.iter().fold(0u64, |bits, byte| bits << 8 | u64::from(*byte));
        for character in 0..8u32 {
            if character % 4 == 0 && (group, character) != (0, 0) {
                id.push(':');
            }
            let value = usize::try_from(bits >> (35 - 5 * character) & 31).unwrap_or_default();
            id.push(char::from(ALPHABET.get(value).copied().unwrap_or(b'A')));
        }
    }
    id
}
