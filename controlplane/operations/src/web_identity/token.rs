// SPDX-License-Identifier: Apache-2.0
//! JSON Web Tokens (RFC 7519) in their signed compact form: taken apart strictly, and what they say checked.
//!
//! Pure: the time comes in as an argument, and nothing is asked of anybody. RFC 8725 says what goes wrong elsewhere: the
//! algorithm is one of a fixed list that the provider narrows, never `none` and never symmetric; nothing that the token says
//! about where its key is (`jku`, `jwk`, `x5u`, `x5c`) is looked at.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde_json::{Map, Value};

use super::SigningAlgorithm;
use super::json::parse_object;

/// The longest token, in bytes (STS, `AssumeRoleWithWebIdentity`: 20000 characters).
pub const MAX_WEB_IDENTITY_TOKEN_BYTES: usize = 20_000;
/// How far the clocks of issuer and server may be apart, in seconds.
pub(crate) const LEEWAY_SECONDS: i64 = 60;
/// The longest subject, in bytes (`OpenID` Connect Core 1.0, section 2).
const MAX_SUBJECT_BYTES: usize = 255;
/// The most audiences of a token.
const MAX_AUDIENCES: usize = 50;
/// The most condition keys that the claims of a token make.
const MAX_ATTRIBUTES: usize = 100;
/// Claims within claims that make condition keys of their own, this many levels of them.
const MAX_CLAIM_DEPTH: usize = 4;
/// Claims that are about the token, and say nothing about whom it is for.
const BOOKKEEPING: &[&str] = &[
    "iss",
    "aud",
    "exp",
    "iat",
    "nbf",
    "jti",
    "nonce",
    "at_hash",
    "c_hash",
    "s_hash",
    "auth_time",
    "sid",
];

/// Why a token is not accepted. The texts never repeat what the token says, but for its issuer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token, or not one in the strict form.
    #[error("The web identity token is not a signed JSON Web Token: {0}")]
    Malformed(&'static str),
    /// It is signed with something that is not possible.
    #[error(
        "The web identity token is not signed with an algorithm that is possible: RS256 to RS512, PS256 to PS512, ES256, ES384, EdDSA"
    )]
    Algorithm,
    /// A claim is missing or is of the wrong kind.
    #[error("The web identity token has no valid claim `{0}`")]
    Claim(&'static str),
    /// No audience is one that the provider accepts.
    #[error("Incorrect token audience")]
    Audience,
    /// It was issued to somebody whom the provider does not accept.
    #[error("Incorrect token authorized party")]
    AuthorizedParty,
    /// Its time has not come.
    #[error("The web identity token is not valid yet: check the clocks of the issuer and of this server")]
    NotYet,
    /// Its time is over.
    #[error("The web identity token that was passed is expired")]
    Expired,
}

/// A token, taken apart and not yet believed.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    pub(crate) header: Header,
    claims: Map<String, Value>,
    /// What the signature is over.
    pub(super) signed: &'t str,
    pub(super) signature: Vec<u8>,
}

/// What a token says about its signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) algorithm: SigningAlgorithm,
    pub(crate) key_id: Option<String>,
}

/// What a token says, checked against the time and what its provider accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Whom the token is about.
    pub(crate) subject: String,
    /// The audience that the provider accepts; the first, if there are several.
    pub(crate) audience: String,
    /// The claims by name, as conditions ask for them.
    pub(crate) claims: BTreeMap<String, Vec<String>>,
}

impl<'t> Token<'t> {
    /// Takes a token apart.
    pub(crate) fn parse(text: &'t str) -> Result<Self, TokenError> {
        use TokenError::Malformed;
        if text.len() > MAX_WEB_IDENTITY_TOKEN_BYTES {
            return Err(Malformed("it is too long"));
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(Malformed("it does not have three parts"))?;
        let (header, payload) = signed
            .split_once('.')
            .ok_or(Malformed("it does not have three parts"))?;
        if payload.contains('.') {
            return Err(Malformed("it has more than three parts"));
        }
        let decode = |part: &str| {
            URL_SAFE_NO_PAD
                .decode(part)
                .map_err(|_| Malformed("a part is not base64url without padding"))
        };
        let object = |part: &str| {
            parse_object(&decode(part)?)
                .map_err(|_| Malformed("a part is not a JSON object, or a member is there twice"))
        };
        let header = Header::read(&object(header)?)?;
        let claims = object(payload)?;
        let signature = decode(signature)?;
        if signature.is_empty() {
            return Err(TokenError::Algorithm);
        }
        Ok(Self {
            header,
            claims,
            signed,
            signature,
        })
    }

    /// Who claims to have issued it.
    pub(crate) fn issuer(&self) -> Result<&str, TokenError> {
        self.text("iss").ok_or(TokenError::Claim("iss"))
    }

    /// Checks what the token says. To be called once its signature is known to be its issuer's.
    pub(crate) fn check(&self, client_ids: &[String], now: Timestamp) -> Result<Identity, TokenError> {
        let accepted = self.audience(client_ids)?;
        let now = now.as_second();
        let expires_at = self.time("exp")?.ok_or(TokenError::Claim("exp"))?;
        let issued_at = self.time("iat")?.ok_or(TokenError::Claim("iat"))?;
        let not_before = self.time("nbf")?.unwrap_or(issued_at);
        if now >= expires_at.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::Expired);
        }
        if issued_at.max(not_before) > now.saturating_add(LEEWAY_SECONDS) {
            return Err(TokenError::NotYet);
        }
        let subject = self
            .text("sub")
            .filter(|subject| (1..=MAX_SUBJECT_BYTES).contains(&subject.len()))
            .ok_or(TokenError::Claim("sub"))?;
        let mut claims = BTreeMap::from([("aud".to_owned(), accepted.clone())]);
        for (name, value) in &self.claims {
            if !BOOKKEEPING.contains(&name.as_str()) {
                flatten(name.clone(), value, MAX_CLAIM_DEPTH, &mut claims)?;
            }
        }
        Ok(Identity {
            subject: subject.to_owned(),
            audience: accepted.into_iter().next().unwrap_or_default(),
            claims,
        })
    }

    /// The audiences that are accepted: at least one. If the token names the party that it was issued to, that must be one
    /// of the accepted ones too (`OpenID` Connect Core 1.0, section 3.1.3.7).
    fn audience(&self, client_ids: &[String]) -> Result<Vec<String>, TokenError> {
        let audiences: Vec<&str> = match self.claims.get("aud") {
            Some(Value::String(one)) => vec![one],
            Some(Value::Array(several)) if several.len() <= MAX_AUDIENCES => several
                .iter()
                .map(|one| one.as_str().ok_or(TokenError::Claim("aud")))
                .collect::<Result<_, _>>()?,
            _ => return Err(TokenError::Claim("aud")),
        };
        let is_accepted = |party: &str| client_ids.iter().any(|id| id == party);
        match self.claims.get("azp") {
            None => {}
            Some(Value::String(party)) if is_accepted(party) => {}
            Some(Value::String(_)) => return Err(TokenError::AuthorizedParty),
            Some(_) => return Err(TokenError::Claim("azp")),
        }
        let accepted: Vec<String> = audiences
            .into_iter()
            .filter(|audience| is_accepted(audience))
            .map(str::to_owned)
            .collect();
        if accepted.is_empty() {
            return Err(TokenError::Audience);
        }
        Ok(accepted)
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.get(name).and_then(Value::as_str)
    }

    /// Whole seconds since the epoch.
    fn time(&self, name: &'static str) -> Result<Option<i64>, TokenError> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .filter(|seconds| *seconds >= 0)
                .map(Some)
                .ok_or(TokenError::Claim(name)),
        }
    }
}

impl Header {
    fn read(header: &Map<String, Value>) -> Result<Self, TokenError> {
        use TokenError::Malformed;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        // What a reader must understand and we do not, and what makes it another kind of object.
        if ["crit", "b64", "zip", "enc"]
            .iter()
            .any(|name| header.contains_key(*name))
        {
            return Err(Malformed("its header asks for something that is not done here"));
        }
        let is_plain = match header.get("typ") {
            None => true,
            Some(_) => text("typ").is_some_and(|kind| kind.eq_ignore_ascii_case("JWT")),
        };
        if !is_plain {
            return Err(Malformed("its type is not `JWT`"));
        }
        let algorithm = text("alg")
            .and_then(|name| name.parse().ok())
            .ok_or(TokenError::Algorithm)?;
        let key_id = match header.get("kid") {
            None => None,
            Some(_) => Some(text("kid").ok_or(Malformed("its `kid` is not a text"))?.to_owned()),
        };
        Ok(Self { algorithm, key_id })
    }
}

/// Adds a claim with its values: `repository`, and for what is within another `kubernetes.io/namespace`. Conditions do not
/// care about case, so that two claims that differ only in it would be one: a token with such claims is refused, as is one
/// with more claims than are looked at.
fn flatten(
    name: String,
    value: &Value,
    depth: usize,
    into: &mut BTreeMap<String, Vec<String>>,
) -> Result<(), TokenError> {
    let values = match value {
        Value::Object(members) if depth > 0 => {
            for (member, value) in members {
                flatten(format!("{name}/{member}"), value, depth - 1, into)?;
            }
            return Ok(());
        }
        Value::Array(list) => list.iter().filter_map(scalar).collect(),
        value => scalar(value).into_iter().collect::<Vec<_>>(),
    };
    if values.is_empty() {
        return Ok(());
    }
    if into.keys().any(|other| other.eq_ignore_ascii_case(&name)) {
        return Err(TokenError::Malformed("two of its claims have the same name"));
    }
    if into.len() >= MAX_ATTRIBUTES {
        return Err(TokenError::Malformed("it has too many claims"));
    }
    into.insert(name, values);
    Ok(())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}
