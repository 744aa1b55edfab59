// SPDX-License-Identifier: Apache-2.0
#![allow(clippy::unwrap_used, reason = "test code")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hythe_meta::IdentityProviderSettings;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

use super::issuers::REFETCH_SECONDS;
use super::*;

const NOW: i64 = 1_900_000_000;
const ISSUER: &str = "https://issuer.example/ci";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair, &'static str),
    Ed(Ed25519KeyPair),
}

struct Signer {
    kid: &'static str,
    key: Key,
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    fn rsa(kid: &'static str) -> Self {
        let key = Key::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).unwrap());
        Self { kid, key }
    }

    fn p256(kid: &'static str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self {
            kid,
            key: Key::Ec(key, "P-256"),
        }
    }

    fn p384(kid: &'static str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self {
            kid,
            key: Key::Ec(key, "P-384"),
        }
    }

    fn ed25519(kid: &'static str) -> Self {
        let key = Key::Ed(Ed25519KeyPair::generate().unwrap());
        Self { kid, key }
    }

    fn jwk(&self) -> Value {
        match &self.key {
            Key::Rsa(pair) => {
                let public = pair.public_key();
                let n = base64(public.modulus().big_endian_without_leading_zero());
                let e = base64(public.exponent().big_endian_without_leading_zero());
                json!({ "kty": "RSA", "use": "sig", "kid": self.kid, "n": n, "e": e })
            }
            Key::Ec(pair, curve) => {
                let point = pair.public_key().as_ref();
                let (x, y) = point[1..].split_at((point.len() - 1) / 2);
                json!({ "kty": "EC", "crv": curve, "kid": self.kid, "x": base64(x), "y": base64(y) })
            }
            Key::Ed(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": base64(pair.public_key()) })
            }
        }
    }

    fn sign(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match &self.key {
            Key::Rsa(pair) => {
                let padding: &'static dyn aws_lc_rs::signature::RsaEncoding = match algorithm {
                    "RS384" => &RSA_PKCS1_SHA384,
                    "RS512" => &RSA_PKCS1_SHA512,
                    "PS256" => &RSA_PSS_SHA256,
                    "PS384" => &RSA_PSS_SHA384,
                    "PS512" => &RSA_PSS_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, message, &mut signature).unwrap();
                signature
            }
            Key::Ec(pair, _) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Key::Ed(pair) => pair.sign(message).as_ref().to_vec(),
        }
    }

    fn token(&self, algorithm: &str, claims: &Value) -> String {
        self.token_of(
            &json!({ "alg": algorithm, "typ": "JWT", "kid": self.kid }).to_string(),
            &claims.to_string(),
        )
    }

    fn token_of(&self, header: &str, claims: &str) -> String {
        let header_json: Value = serde_json::from_str(header).unwrap();
        let signed = format!("{}.{}", base64(header), base64(claims));
        let signature = self.sign(header_json["alg"].as_str().unwrap_or_default(), signed.as_bytes());
        format!("{signed}.{}", base64(signature))
    }
}

fn set(keys: &[&Signer]) -> String {
    json!({ "keys": keys.iter().map(|signer| signer.jwk()).collect::<Vec<_>>() }).to_string()
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "repo:acme/web:ref:refs/heads/main", "aud": "hythe", "iat": NOW - 10, "nbf": NOW - 10,
        "exp": NOW + 300, "repository": "acme/web", "run_attempt": 1, "protected": true,
        "kubernetes.io": { "namespace": "ci", "serviceaccount": { "name": "builder" } }, "groups": ["a", "b"],
    })
}

fn with(changes: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn provider(jwks: Option<String>) -> IdentityProviderRecord {
    IdentityProviderRecord {
        account: AccountId::default(),
        url: ISSUER.parse().unwrap(),
        settings: IdentityProviderSettings {
            client_ids: vec!["hythe".into(), "other".into()],
            algorithms: SigningAlgorithm::ALL.iter().map(ToString::to_string).collect(),
            jwks,
            ..IdentityProviderSettings::default()
        },
        created_at: at(0),
        updated_at: at(0),
        version: 1,
    }
}

async fn identify(provider: &IdentityProviderRecord, token: &str, now: i64) -> Result<Identity, WebIdentityError> {
    let issuers = Issuers::new(Arc::new(NoDocuments));
    believe(&issuers, provider, &Token::parse(token)?, at(now)).await
}

async fn said(provider: &IdentityProviderRecord, token: &str) -> String {
    match identify(provider, token, NOW).await {
        Ok(identity) => format!("{} for {}", identity.subject, identity.audience),
        Err(error) => error.to_string(),
    }
}

#[tokio::test]
async fn every_algorithm_is_verified_with_a_key_of_its_kind() {
    let rsa = Signer::rsa("rsa");
    let (p256, p384, ed) = (Signer::p256("p256"), Signer::p384("p384"), Signer::ed25519("ed"));
    let provider = provider(Some(set(&[&rsa, &p256, &p384, &ed])));
    for algorithm in SigningAlgorithm::ALL {
        let signer = match algorithm {
            SigningAlgorithm::ES256 => &p256,
            SigningAlgorithm::ES384 => &p384,
            SigningAlgorithm::EdDSA => &ed,
            _ => &rsa,
        };
        let token = signer.token(algorithm.as_str(), &claims());
        let identity = identify(&provider, &token, NOW).await.unwrap();
        assert_eq!(identity.subject, "repo:acme/web:ref:refs/heads/main", "{algorithm}");
        let mut changed = token.clone().into_bytes();
        let at = changed.len() - 20;
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(said(&provider, &changed).await.contains("signature"), "{algorithm}");
        let only_others = IdentityProviderRecord {
            settings: IdentityProviderSettings {
                algorithms: provider
                    .settings
                    .algorithms
                    .iter()
                    .filter(|name| *name != algorithm.as_str())
                    .cloned()
                    .collect(),
                ..provider.settings.clone()
            },
            ..provider.clone()
        };
        assert!(
            said(&only_others, &token).await.contains("does not accept"),
            "{algorithm}"
        );
    }
}

#[tokio::test]
async fn claims_become_what_conditions_ask_for() {
    let signer = Signer::p256("k");
    let identity = identify(
        &provider(Some(set(&[&signer]))),
        &signer.token("ES256", &with(&json!({ "aud": ["elsewhere", "hythe"] }))),
        NOW,
    )
    .await
    .unwrap();
    let expected = [
        ("aud", vec!["hythe"]),
        ("groups", vec!["a", "b"]),
        ("kubernetes.io/namespace", vec!["ci"]),
        ("kubernetes.io/serviceaccount/name", vec!["builder"]),
        ("protected", vec!["true"]),
        ("repository", vec!["acme/web"]),
        ("run_attempt", vec!["1"]),
        ("sub", vec!["repo:acme/web:ref:refs/heads/main"]),
    ];
    let expected = expected.map(|(name, values)| (name.to_owned(), values.into_iter().map(str::to_owned).collect()));
    assert_eq!(
        identity.claims,
        std::collections::BTreeMap::<String, Vec<String>>::from(expected)
    );
}

/// What it shows, the claims that differ, and what is said.
#[tokio::test]
async fn what_a_token_says_is_checked() {
    const GOOD: &str = "repo:acme/web:ref:refs/heads/main for hythe";
    let signer = Signer::ed25519("k");
    let provider = provider(Some(set(&[&signer])));
    let expired = "The web identity token that was passed is expired";
    let not_yet = "not valid yet";
    let cases = [
        ("nothing differs", json!({}), GOOD),
        ("just expired, within the leeway", json!({ "exp": NOW - 59 }), GOOD),
        ("expired", json!({ "exp": NOW - 60 }), expired),
        ("never expires", json!({ "exp": null }), "claim `exp`"),
        ("an end that is no time", json!({ "exp": "tomorrow" }), "claim `exp`"),
        ("an end before all time", json!({ "exp": -1 }), "claim `exp`"),
        ("an end with a fraction", json!({ "exp": 2e9 + 0.5 }), "claim `exp`"),
        ("not yet, within the leeway", json!({ "nbf": NOW + 60 }), GOOD),
        ("not yet", json!({ "nbf": NOW + 61 }), not_yet),
        ("issued in the future", json!({ "iat": NOW + 61 }), not_yet),
        ("without nbf", json!({ "nbf": null }), GOOD),
        ("without iat", json!({ "iat": null }), "claim `iat`"),
        (
            "another audience",
            json!({ "aud": "hythe2" }),
            "Incorrect token audience",
        ),
        (
            "an audience in another case",
            json!({ "aud": "Hythe" }),
            "Incorrect token audience",
        ),
        ("no audience", json!({ "aud": null }), "claim `aud`"),
        (
            "an empty list of audiences",
            json!({ "aud": [] }),
            "Incorrect token audience",
        ),
        (
            "an audience that is no text",
            json!({ "aud": ["hythe", 1] }),
            "claim `aud`",
        ),
        ("the second audience", json!({ "aud": ["x", "hythe"] }), GOOD),
        ("issued to an accepted party", json!({ "azp": "other" }), GOOD),
        (
            "issued to another party",
            json!({ "azp": "elsewhere" }),
            "authorized party",
        ),
        ("a party that is no text", json!({ "azp": 1 }), "claim `azp`"),
        ("no subject", json!({ "sub": null }), "claim `sub`"),
        ("an empty subject", json!({ "sub": "" }), "claim `sub`"),
        ("a subject that is no text", json!({ "sub": ["repo"] }), "claim `sub`"),
        ("claims that differ in case only", json!({ "SUB": "root" }), "same name"),
        (
            "a claim that looks like one within another",
            json!({ "kubernetes.io/namespace": "kube-system" }),
            "same name",
        ),
    ];
    for (what, changes, want) in cases {
        let got = said(&provider, &signer.token("EdDSA", &with(&changes))).await;
        assert!(got.contains(want), "{what}: {got}");
    }
    let many: serde_json::Map<String, Value> = (0..200).map(|n| (format!("c{n}"), json!(n))).collect();
    let got = said(&provider, &signer.token("EdDSA", &with(&many.into()))).await;
    assert!(got.contains("too many claims"), "{got}");
}

#[tokio::test]
async fn forged_tokens_are_refused() {
    let (rsa, other, ec) = (Signer::rsa("rsa"), Signer::rsa("rsa"), Signer::p256("ec"));
    let provider = provider(Some(set(&[&rsa, &ec])));
    let good = rsa.token("RS256", &claims());
    assert!(said(&provider, &good).await.starts_with("repo:"));
    let parts: Vec<&str> = good.split('.').collect();
    let [header, payload, signature] = parts[..] else {
        unreachable!("a token has three parts")
    };

    // RFC 8725, section 2.1: no signature at all, in each spelling.
    for alg in ["none", "None", "NONE", "nOnE", ""] {
        let header = base64(json!({ "alg": alg, "kid": "rsa" }).to_string());
        for token in [
            format!("{header}.{payload}."),
            format!("{header}.{payload}.{signature}"),
        ] {
            assert!(said(&provider, &token).await.contains("algorithm"), "{alg}");
        }
    }
    assert!(
        said(&provider, &format!("{header}.{payload}."))
            .await
            .contains("algorithm")
    );
    // The public key as the secret of a MAC.
    let jwk = rsa.jwk();
    for secret in [
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        jwk.to_string().into_bytes(),
    ] {
        let signed = format!("{}.{payload}", base64(r#"{"alg":"HS256","typ":"JWT","kid":"rsa"}"#));
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed.as_bytes());
        let got = said(&provider, &format!("{signed}.{}", base64(mac))).await;
        assert!(got.contains("algorithm"), "{got}");
    }
    // A key that nobody has, another's key of the same name, and a key of another kind.
    let renamed = Signer {
        kid: "ghost",
        ..Signer::rsa("x")
    };
    assert!(
        said(&provider, &renamed.token("RS256", &claims()))
            .await
            .contains("no key with the id")
    );
    assert!(
        said(&provider, &other.token("RS256", &claims()))
            .await
            .contains("signature")
    );
    let token = rsa.token_of(r#"{"alg":"ES256","kid":"rsa"}"#, &claims().to_string());
    assert!(said(&provider, &token).await.contains("not one for its algorithm"));
    let token = rsa.token_of(r#"{"alg":"RS256","kid":"ec"}"#, &claims().to_string());
    assert!(said(&provider, &token).await.contains("not one for its algorithm"));
    // The same key with another padding than the token says.
    let signed = format!("{}.{payload}", base64(r#"{"alg":"PS256","kid":"rsa"}"#));
    let token = format!("{signed}.{}", base64(rsa.sign("RS256", signed.as_bytes())));
    assert!(said(&provider, &token).await.contains("signature"));
    // A key that the token brings along is not looked at.
    let header_with_key = json!({ "alg": "RS256", "kid": "rsa", "jwk": other.jwk(), "jku": "https://evil.example" });
    let token = other.token_of(&header_with_key.to_string(), &claims().to_string());
    assert!(said(&provider, &token).await.contains("signature"));
    // Without a name, the only key of the kind is meant; of two, none.
    let token = rsa.token_of(r#"{"alg":"RS256"}"#, &claims().to_string());
    assert!(said(&provider, &token).await.starts_with("repo:"));
    let two = super::tests::provider(Some(set(&[&rsa, &other])));
    assert!(said(&two, &token).await.contains("names no key"));
    // Other claims under the same signature.
    let token = format!(
        "{header}.{}.{signature}",
        base64(with(&json!({ "sub": "root" })).to_string())
    );
    assert!(said(&provider, &token).await.contains("signature"));
}

#[tokio::test]
async fn tokens_have_one_form() {
    let signer = Signer::ed25519("k");
    let provider = provider(Some(set(&[&signer])));
    let text = claims().to_string();
    let good = signer.token("EdDSA", &claims());
    let (head, rest) = good.split_once('.').unwrap();
    let cases = [
        (
            "a claim twice",
            signer.token_of(r#"{"alg":"EdDSA","kid":"k"}"#, &text.replacen('{', r#"{"aud":"x","#, 1)),
        ),
        (
            "a member of the header twice",
            signer.token_of(r#"{"alg":"EdDSA","kid":"x","kid":"k"}"#, &text),
        ),
        (
            "something that must be understood",
            signer.token_of(r#"{"alg":"EdDSA","kid":"k","crit":["exp"]}"#, &text),
        ),
        (
            "a payload that is not encoded",
            signer.token_of(r#"{"alg":"EdDSA","kid":"k","b64":false}"#, &text),
        ),
        (
            "another type",
            signer.token_of(r#"{"alg":"EdDSA","kid":"k","typ":"logout+jwt"}"#, &text),
        ),
        (
            "a name of a key that is no text",
            signer.token_of(r#"{"alg":"EdDSA","kid":1}"#, &text),
        ),
        (
            "a payload that is a list",
            signer.token_of(r#"{"alg":"EdDSA","kid":"k"}"#, "[]"),
        ),
        ("padding", format!("{head}=.{rest}")),
        ("white space", format!("{head} .{rest}")),
        ("a line end", format!("{good}\n")),
        ("four parts", format!("{good}.x")),
        ("five parts, as if encrypted", format!("{good}.x.y")),
        ("two parts", head.to_owned() + ".x"),
        ("nothing", String::new()),
        (
            "a huge token",
            format!("{head}.{}.{rest}", "A".repeat(MAX_WEB_IDENTITY_TOKEN_BYTES)),
        ),
    ];
    assert!(said(&provider, &good).await.starts_with("repo:"));
    for (what, token) in cases {
        let got = said(&provider, &token).await;
        assert!(
            got.starts_with("The web identity token is not a signed JSON Web Token"),
            "{what}: {got}"
        );
    }
}

proptest! {
    #[test]
    fn taking_a_token_apart_never_panics(text in "[A-Za-z0-9_.=-]{0,60}", header in ".{0,40}", claims in ".{0,40}") {
        let _ = Token::parse(&text);
        let _ = Token::parse(&format!("{}.{}.AAAA", base64(&header), base64(&claims)));
        let _ = KeySet::parse(header.as_bytes());
    }
}

#[test]
fn keys_that_are_given_must_all_be_public_and_usable() {
    let rsa = Signer::rsa("a").jwk();
    let set = |key: Value| json!({ "keys": [key] }).to_string();
    let edit = |name: &str, value: Value| {
        let mut key = rsa.clone();
        key[name] = value;
        set(key)
    };
    KeySet::parse_given(&set(rsa.clone())).unwrap();
    let cases = [
        ("a private key", edit("d", json!("AQAB")), "private"),
        (
            "a symmetric key",
            set(json!({ "kty": "oct", "k": "AAAA" })),
            "private or symmetric",
        ),
        ("a key that encrypts", edit("use", json!("enc")), "`use`"),
        ("a key that only signs", edit("key_ops", json!(["sign"])), "`key_ops`"),
        ("an algorithm that is none", edit("alg", json!("HS256")), "`alg`"),
        ("an algorithm of another kind", edit("alg", json!("ES256")), "`alg`"),
        ("a short key", edit("n", json!(base64([0xff; 128]))), "2048"),
        ("no exponent", edit("e", json!("")), "exponent"),
        (
            "a kind that is not known",
            set(json!({ "kty": "EC", "crv": "secp256k1", "x": "", "y": "" })),
            "not an RSA",
        ),
        (
            "a short point",
            set(json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" })),
            "coordinate",
        ),
        ("no keys", json!({ "keys": [] }).to_string(), "none of its keys"),
        ("no list", json!({}).to_string(), "`keys`"),
        ("no JSON", "x".into(), "not a JSON object"),
        (
            "too many",
            json!({ "keys": vec![rsa.clone(); 51] }).to_string(),
            "more than 50",
        ),
        ("too long", " ".repeat(MAX_JWKS_BYTES + 1), "at most"),
    ];
    for (what, text, want) in cases {
        let error = KeySet::parse_given(&text).unwrap_err().to_string();
        assert!(error.contains(want), "{what}: {error}");
    }
    // What an issuer publishes beside its signing keys does not matter.
    let mixed = json!({ "keys": [{ "kty": "oct", "k": "AAAA" }, rsa, { "kty": "new" }] }).to_string();
    KeySet::parse(mixed.as_bytes()).unwrap();
    assert!(KeySet::parse(br#"{"keys":[{"kty":"new"}]}"#).is_err());
}

/// An issuer that can be told what to answer, and counts how often it is asked for its keys.
#[derive(Debug)]
struct Issuer {
    discovery: Mutex<Option<Value>>,
    keys: Mutex<String>,
    fetched: AtomicUsize,
}

#[async_trait::async_trait]
impl IssuerDocuments for Issuer {
    async fn fetch(&self, document: &IssuerDocument<'_>) -> Result<Vec<u8>, FetchError> {
        assert!(!document.is_loopback);
        let discovery = self.discovery.lock().unwrap().clone();
        let discovery = discovery.ok_or_else(|| FetchError("it is down".into()))?;
        if document.url == format!("{ISSUER}/.well-known/openid-configuration") {
            return Ok(discovery.to_string().into_bytes());
        }
        assert_eq!(document.url, "https://keys.example/set");
        self.fetched.fetch_add(1, Ordering::SeqCst);
        Ok(self.keys.lock().unwrap().clone().into_bytes())
    }

    fn check_ca_bundle(&self, _: &str) -> Result<(), String> {
        Ok(())
    }
}

fn discovery() -> Value {
    json!({ "issuer": ISSUER, "jwks_uri": "https://keys.example/set" })
}

fn issuer(keys: &[&Signer]) -> (Arc<Issuer>, Issuers) {
    let issuer = Arc::new(Issuer {
        discovery: Mutex::new(Some(discovery())),
        keys: Mutex::new(set(keys)),
        fetched: AtomicUsize::new(0),
    });
    let documents: Arc<dyn IssuerDocuments> = Arc::<Issuer>::clone(&issuer);
    (issuer, Issuers::new(documents))
}

#[tokio::test]
async fn keys_are_fetched_rarely_and_rotate() {
    let (old, new, ghost) = (Signer::p256("old"), Signer::p256("new"), Signer::p256("ghost"));
    let (issuer, issuers) = issuer(&[&old]);
    let provider = provider(None);
    let log_in = async |signer: &Signer, after: i64| {
        let claims = with(&json!({ "exp": NOW + after + 300 }));
        let token = signer.token("ES256", &claims);
        believe(&issuers, &provider, &Token::parse(&token).unwrap(), at(NOW + after))
            .await
            .map(|identity| identity.subject)
            .map_err(|error| error.to_string())
    };
    let fetched = || issuer.fetched.load(Ordering::SeqCst);

    log_in(&old, 0).await.unwrap();
    for after in 0..20 {
        log_in(&old, after).await.unwrap();
    }
    assert_eq!(fetched(), 1, "kept");
    // A key that nobody has makes the server look again, but only once in an interval.
    for _ in 0..20 {
        assert!(log_in(&ghost, 100).await.unwrap_err().contains("no key with the id"));
    }
    assert_eq!(fetched(), 2);
    // A new key counts as soon as the interval has passed.
    *issuer.keys.lock().unwrap() = set(&[&old, &new]);
    assert!(log_in(&new, 100 + REFETCH_SECONDS - 1).await.is_err());
    log_in(&new, 100 + REFETCH_SECONDS).await.unwrap();
    assert_eq!(fetched(), 3);
    // The old key is gone, and is noticed when the kept ones are not fresh any more.
    *issuer.keys.lock().unwrap() = set(&[&new]);
    log_in(&old, 110).await.unwrap();
    assert!(log_in(&old, 800).await.unwrap_err().contains("no key with the id"));
    // The clock is set back: what was fetched in the future is not fresh.
    log_in(&new, 500).await.unwrap();
    assert_eq!(fetched(), 5);
}

#[tokio::test]
async fn kept_keys_bridge_an_outage_up_to_a_limit() {
    let signer = Signer::p256("k");
    let (issuer, issuers) = issuer(&[&signer]);
    let provider = provider(None);
    let log_in = async |after: i64| {
        let claims = with(&json!({ "exp": NOW + after + 300 }));
        let token = signer.token("ES256", &claims);
        believe(&issuers, &provider, &Token::parse(&token).unwrap(), at(NOW + after))
            .await
            .map(drop)
            .map_err(|error| error.to_string())
    };
    log_in(0).await.unwrap();
    *issuer.discovery.lock().unwrap() = None;
    log_in(3600).await.unwrap();
    log_in(3601).await.unwrap();
    log_in(24 * 3600 - 1).await.unwrap();
    assert!(log_in(24 * 3600).await.unwrap_err().contains("Couldn't retrieve"));
    assert!(
        log_in(24 * 3600 + 1).await.unwrap_err().contains("Couldn't retrieve"),
        "within the interval"
    );
    *issuer.discovery.lock().unwrap() = Some(discovery());
    log_in(24 * 3600 + REFETCH_SECONDS).await.unwrap();
}

#[tokio::test]
async fn an_issuer_is_asked_for_its_own_keys_only() {
    let signer = Signer::p256("k");
    let token = signer.token("ES256", &claims());
    let other_issuer = json!({ "issuer": "https://issuer.example", "jwks_uri": "https://keys.example/set" });
    let plain_http = json!({ "issuer": ISSUER, "jwks_uri": "http://keys.example/set" });
    let file = json!({ "issuer": ISSUER, "jwks_uri": "file:///etc/passwd" });
    let nowhere = json!({ "issuer": ISSUER });
    for document in [other_issuer, plain_http, file, nowhere, json!([])] {
        let (issuer, issuers) = issuer(&[&signer]);
        *issuer.discovery.lock().unwrap() = Some(document.clone());
        let believed = believe(&issuers, &provider(None), &Token::parse(&token).unwrap(), at(NOW)).await;
        assert!(matches!(believed, Err(WebIdentityError::Unreachable)), "{document}");
        assert_eq!(issuer.fetched.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_provider_that_changes_is_asked_anew() {
    let signer = Signer::p256("k");
    let (issuer, issuers) = issuer(&[&signer]);
    let token = signer.token("ES256", &claims());
    let log_in = async |provider: &IdentityProviderRecord| {
        believe(&issuers, provider, &Token::parse(&token).unwrap(), at(NOW))
            .await
            .unwrap();
        issuer.fetched.load(Ordering::SeqCst)
    };
    let first = provider(None);
    assert_eq!((log_in(&first).await, log_in(&first).await), (1, 1));
    let mut with_authority = first.clone();
    with_authority.settings.ca_bundle = Some("x".into());
    assert_eq!(log_in(&with_authority).await, 2, "who is trusted has changed");
    let elsewhere = IdentityProviderRecord {
        account: "111111111111".parse().unwrap(),
        ..first
    };
    assert_eq!(log_in(&elsewhere).await, 3, "accounts share nothing");
}
