// SPDX-License-Identifier: Apache-2.0
//! Signatures inside a schema 1 manifest: libtrust's "pretty" JSON Web Signatures (RFC 7515, section 7.2).
//!
//! What is signed is the text before the member `signatures`, closed again: the first `formatLength` bytes of the
//! document, then `formatTail`. Both stand in the `protected` part of each signature, and are signed with the rest.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::key::Jwk;

/// The most signatures of a manifest: each costs a hash over all of it.
pub const MAX_SIGNATURES: usize = 16;
/// The longest `formatTail`, in bytes: white space and a brace.
const MAX_TAIL_BYTES: usize = 1024;
/// The longest `protected` part, in bytes of base64url.
const MAX_PROTECTED_BYTES: usize = 8192;

// As lenient as the engines' own.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Why the signatures of a manifest are not taken. Signatures count from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The type says that there are signatures, and there are none.
    #[error("the manifest is of a signed type and has no `signatures`: sign it, or push it as unsigned schema 1")]
    Absent,
    /// More than [`MAX_SIGNATURES`].
    #[error("a manifest may have at most {MAX_SIGNATURES} signatures")]
    TooMany,
    /// The document or a part of a signature is not JSON of the right form.
    #[error("`signatures` cannot be read: {0}")]
    Syntax(String),
    /// The protected part is not what it should be.
    #[error("`signatures[{0}].protected` {1}")]
    Protected(usize, &'static str),
    /// The text that a signature covers is not this manifest.
    #[error("`signatures[{0}]` does not cover the manifest: {1}")]
    Payload(usize, &'static str),
    /// The key is absent or no key.
    #[error("`signatures[{0}].header`: the key cannot be used: {1}")]
    Key(usize, &'static str),
    /// The algorithm is unknown, or not one of the key.
    #[error("`signatures[{0}].header.alg` must be ES256, ES384 or ES512, as the key's curve, or RS256, RS384 or RS512")]
    Algorithm(usize),
    /// The signature is not one of this text by this key.
    #[error("`signatures[{0}]` is not valid: the manifest was altered after it was signed, or another key signed it")]
    Rejected(usize),
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    signatures: Option<Vec<Signature>>,
}

#[derive(Deserialize)]
struct Signature {
    header: Header,
    #[serde(rename = "signature")]
    value: String,
    protected: String,
}

#[derive(Deserialize)]
struct Header {
    #[serde(default)]
    jwk: Option<Jwk>,
    alg: String,
    #[serde(default)]
    x5c: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Protected {
    format_length: usize,
    format_tail: String,
}

/// What follows the signed text: the signatures alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rest {
    #[serde(rename = "signatures")]
    _signatures: IgnoredAny,
}

/// Checks that every signature of a schema 1 manifest is one of the manifest by the key beside it, and says how many
/// there are. Whether that key is to be trusted is not for a registry to say.
///
/// # Errors
/// Also if there is no signature and `must_be_signed`.
pub fn verify(manifest: &[u8], must_be_signed: bool) -> Result<usize, SignatureError> {
    let syntax = |error: serde_json::Error| SignatureError::Syntax(error.to_string());
    let document: Document = serde_json::from_slice(manifest).map_err(syntax)?;
    let signatures = document.signatures.unwrap_or_default();
    if signatures.is_empty() && must_be_signed {
        return Err(SignatureError::Absent);
    }
    if signatures.len() > MAX_SIGNATURES {
        return Err(SignatureError::TooMany);
    }
    let mut signed: Option<Signed> = None;
    for (index, signature) in signatures.iter().enumerate() {
        let (length, tail) = signature.format(index)?;
        let signed = match &signed {
            // Different texts could not both be this manifest.
            Some(signed) if (signed.length, &signed.tail) != (length, &tail) => {
                return Err(SignatureError::Payload(
                    index,
                    "it covers another part than the one before it",
                ));
            }
            Some(signed) => signed,
            None => signed.insert(Signed::new(index, manifest, length, tail)?),
        };
        let message = format!("{}.{}", signature.protected, signed.payload);
        signature.verify(index, message.as_bytes())?;
    }
    Ok(signatures.len())
}

/// The text that the signatures cover.
struct Signed {
    length: usize,
    tail: Vec<u8>,
    payload: String,
}

impl Signed {
    fn new(index: usize, manifest: &[u8], length: usize, tail: Vec<u8>) -> Result<Self, SignatureError> {
        let outside = || SignatureError::Payload(index, "`formatLength` is beyond its end");
        let (head, rest) = manifest.split_at_checked(length).ok_or_else(outside)?;
        let payload = [head, &tail].concat();
        let is_document =
            serde_json::from_slice::<IgnoredAny>(&payload).is_ok() && payload.trim_ascii_start().starts_with(b"{");
        if !is_document {
            return Err(SignatureError::Payload(index, "the signed text is no JSON object"));
        }
        // Nothing but `signatures` may follow what is signed: readers of the whole document must see what was signed.
        let rest = rest.trim_ascii_start().strip_prefix(b",").unwrap_or_default();
        if serde_json::from_slice::<Rest>(&[b"{", rest].concat()).is_err() {
            return Err(SignatureError::Payload(
                index,
                "something else than `signatures` follows the signed text",
            ));
        }
        let payload = encode(&payload);
        Ok(Self { length, tail, payload })
    }
}

impl Signature {
    fn format(&self, index: usize) -> Result<(usize, Vec<u8>), SignatureError> {
        let bad = |what| SignatureError::Protected(index, what);
        if self.protected.len() > MAX_PROTECTED_BYTES {
            return Err(bad("is too long"));
        }
        let bytes = decode(&self.protected).ok_or_else(|| bad("is not base64url"))?;
        let protected: Protected =
            serde_json::from_slice(&bytes).map_err(|_| bad("must have `formatLength` and `formatTail`"))?;
        let tail = decode(&protected.format_tail).filter(|tail| tail.len() <= MAX_TAIL_BYTES);
        let tail = tail.ok_or_else(|| bad("must have a short `formatTail` in base64url"))?;
        Ok((protected.format_length, tail))
    }

    fn verify(&self, index: usize, message: &[u8]) -> Result<(), SignatureError> {
        if self.header.x5c.is_some() {
            return Err(SignatureError::Key(
                index,
                "chains of certificates (`x5c`) are not taken",
            ));
        }
        let key = self.header.jwk.as_ref();
        let key = key.ok_or(SignatureError::Key(index, "there is no `jwk`"))?;
        let signature = decode(&self.value).ok_or(SignatureError::Rejected(index))?;
        key.verify(index, &self.header.alg, message, &signature)
    }
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Signed by a Docker registry, by skopeo, and with the algorithms that both know.
    const SIGNED: [(&str, &[u8], usize); 8] = [
        (
            "a registry's",
            include_bytes!("../tests/fixtures/schema1-es256.json"),
            1,
        ),
        ("skopeo's", include_bytes!("../tests/fixtures/schema1-skopeo.json"), 1),
        ("ES384", include_bytes!("../tests/fixtures/schema1-es384.json"), 1),
        ("ES512", include_bytes!("../tests/fixtures/schema1-es512.json"), 1),
        ("RS256", include_bytes!("../tests/fixtures/schema1-rs256.json"), 1),
        ("RS384", include_bytes!("../tests/fixtures/schema1-rs384.json"), 1),
        ("RS512", include_bytes!("../tests/fixtures/schema1-rs512.json"), 1),
        (
            "two signatures",
            include_bytes!("../tests/fixtures/schema1-two.json"),
            2,
        ),
    ];

    fn text(at: usize) -> String {
        String::from_utf8(SIGNED[at].1.to_vec()).unwrap()
    }

    #[test]
    fn signatures_of_others_are_valid() {
        for (what, manifest, count) in SIGNED {
            assert_eq!(verify(manifest, true), Ok(count), "{what}");
        }
        assert_eq!(
            verify(include_bytes!("../tests/fixtures/schema1-compact.json"), true),
            Ok(1)
        );
    }

    #[test]
    fn no_signature_is_fine_where_none_is_due() {
        assert_eq!(verify(b"{}", false), Ok(0));
        assert_eq!(verify(b"{}", true), Err(SignatureError::Absent));
        assert_eq!(verify(b"{\"signatures\":[]}", true), Err(SignatureError::Absent));
    }

    #[test]
    fn an_altered_manifest_is_refused() {
        for (what, manifest, _) in SIGNED {
            let manifest = std::str::from_utf8(manifest).unwrap();
            let altered = manifest.replacen("\"arm64\"", "\"amd64\"", 1);
            assert_eq!(
                verify(altered.as_bytes(), true),
                Err(SignatureError::Rejected(0)),
                "{what}"
            );
        }
        // White space is signed too.
        let altered = text(0).replacen("   \"name\"", "  \"name\" ", 1);
        assert_eq!(verify(altered.as_bytes(), true), Err(SignatureError::Rejected(0)));
    }

    #[test]
    fn other_faults_are_named() {
        let two = text(7);
        let second = two.rfind("\"alg\": \"RS256\"").unwrap();
        let signed = text(0);
        let jwk = signed.find("\"jwk\"").unwrap();
        let cases = [
            (
                "another algorithm",
                signed.replace("ES256", "ES384"),
                "`signatures[0].header.alg` must be",
            ),
            (
                "no algorithm",
                signed.replace("\"ES256\"", "\"none\""),
                "`signatures[0].header.alg` must be",
            ),
            (
                "of the second",
                format!("{}{}", &two[..second], two[second..].replace("RS256", "HS256")),
                "`signatures[1].header.alg`",
            ),
            (
                "another id",
                signed.replace("\"kid\": \"", "\"kid\": \"A"),
                "`kid` is not the id of the key",
            ),
            (
                "another curve",
                signed.replace("P-256", "P-384"),
                "`signatures[0].header.alg` must be",
            ),
            ("no curve", signed.replace("P-256", "P-1"), "its curve must be"),
            (
                "no such type of key",
                signed.replace("\"EC\"", "\"oct\""),
                "its type must be",
            ),
            (
                "a short coordinate",
                signed.replace("\"x\": \"", "\"x\": \"AAAA"),
                "as long as the curve's",
            ),
            ("no key", signed.replace("\"jwk\"", "\"jwx\""), "there is no `jwk`"),
            (
                "a chain",
                format!("{}\"x5c\": [], {}", &signed[..jwk], &signed[jwk..]),
                "`x5c`",
            ),
            (
                "a member after what is signed",
                signed.replace("   \"signatures\"", "   \"tag\": \"x\", \"signatures\""),
                "something else",
            ),
            (
                "a member after the signatures",
                format!("{},\"tag\":\"x\"}}", signed.trim_end().strip_suffix('}').unwrap()),
                "something else",
            ),
            (
                "no length",
                signed.replace("\"protected\": \"eyJmb3JtYXRMZW5", "\"protected\": \"e30"),
                "`signatures[0].protected`",
            ),
            (
                "broken",
                signed.replace("\"signature\":", "\"sig\":"),
                "cannot be read: missing field `signature`",
            ),
            ("no list", "{\"signatures\":{}}".into(), "cannot be read"),
        ];
        for (what, manifest, want) in cases {
            let error = verify(manifest.as_bytes(), true).unwrap_err().to_string();
            assert!(error.contains(want), "{what}: {error}");
        }
        let many = format!(
            "{{\"signatures\":[{}]}}",
            vec![r#"{"header":{"alg":"x"},"signature":"","protected":""}"#; 17].join(",")
        );
        assert_eq!(verify(many.as_bytes(), true), Err(SignatureError::TooMany));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = verify(&bytes, true);
        }

        #[test]
        fn no_byte_of_what_is_signed_may_change(at in 0usize..1931, to in any::<u8>()) {
            let mut manifest = SIGNED[0].1.to_vec();
            prop_assume!(manifest[at] != to);
            manifest[at] = to;
            prop_assert!(verify(&manifest, true).is_err());
        }

        #[test]
        fn cut_documents_are_refused(end in 0usize..2577) {
            prop_assert!(verify(&SIGNED[0].1[..end], true).is_err());
        }
    }
}
