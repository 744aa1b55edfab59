// SPDX-License-Identifier: Apache-2.0
//! Signing a schema 1 manifest that was made here.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use serde_json::{Value, json};

use crate::jws::encode;
use crate::key::key_id;

/// The end of a manifest that [`crate::Downgrade`] writes.
const TAIL: &[u8] = b"\n}";
/// One level of its indentation.
const INDENT: &str = "   ";

/// A key to sign with.
///
/// Old engines look whether the signature is one of the manifest by the key beside it, not whose key that is. RSA with
/// the padding of PKCS #1 version 1.5 is used since its signatures are a function of key and text (RFC 8017, section
/// 8.2), so that one image is always the same bytes; ECDSA's are random.
pub struct Signer {
    key: KeyPair,
    jwk: Value,
}

/// The cryptographic library refused; it does so only when it is out of memory or randomness.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manifest cannot be signed: {0}")]
pub struct SignerError(pub &'static str);

impl Signer {
    /// A signer with a new key. Takes a good part of a second: not for an async thread.
    pub fn generate() -> Result<Self, SignerError> {
        let key = KeyPair::generate(KeySize::Rsa2048).map_err(|_| SignerError("no key could be made"))?;
        let public = key.public_key();
        let der: PublicKeyX509Der<'_> = public.as_der().map_err(|_| SignerError("the key cannot be written"))?;
        let jwk = json!({
            "e": encode(public.exponent().big_endian_without_leading_zero()),
            "kid": key_id(der.as_ref()),
            "kty": "RSA",
            "n": encode(public.modulus().big_endian_without_leading_zero()),
        });
        Ok(Self { key, jwk })
    }

    /// The manifest with a signature in it. The same manifest gives the same bytes; the time of signing is left out.
    pub fn sign(&self, manifest: &[u8]) -> Result<Vec<u8>, SignerError> {
        let head = manifest
            .strip_suffix(TAIL)
            .ok_or(SignerError("it does not end as it should"))?;
        let protected = json!({ "formatLength": head.len(), "formatTail": encode(TAIL) });
        let protected = encode(protected.to_string().as_bytes());
        let message = format!("{protected}.{}", encode(manifest));
        let mut signature = vec![0; self.key.public_modulus_len()];
        self.key
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message.as_bytes(),
                &mut signature,
            )
            .map_err(|_| SignerError("the library refused"))?;
        let signatures = json!([{
            "header": { "jwk": self.jwk, "alg": "RS256" },
            "signature": encode(&signature),
            "protected": protected,
        }]);
        let signatures = crate::downgrade::indented(&signatures).ok_or(SignerError("it cannot be written"))?;
        let signatures = String::from_utf8_lossy(&signatures).replace('\n', &format!("\n{INDENT}"));
        let member = format!(",\n{INDENT}\"signatures\": {signatures}");
        Ok([head, member.as_bytes(), TAIL].concat())
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Signer")
            .field("jwk", &self.jwk)
            .finish_non_exhaustive()
    }
}
