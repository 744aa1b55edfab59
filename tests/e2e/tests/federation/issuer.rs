// SPDX-License-Identifier: Apache-2.0
//! A small `OpenID` Connect issuer on a loopback port: real keys, rotation, a discovery document, and the login flows of a
//! provider with people.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// How long one request may take to arrive.
const PATIENCE: Duration = Duration::from_secs(10);

enum Key {
    Rsa(RsaKeyPair),
    Ec(EcdsaKeyPair),
}

#[derive(Default)]
struct State {
    keys: Vec<(String, Key)>,
    /// Challenge and nonce by authorization code.
    codes: HashMap<String, (String, String)>,
    /// How often a device has asked so far.
    device_polls: usize,
    refreshes: usize,
}

/// A running issuer. Dropping it stops it.
pub struct Issuer {
    url: String,
    state: Arc<Mutex<State>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    authority: Option<String>,
}

/// A connection of a client: plain or TLS.
trait Connection: Read + Write {}

impl<T: Read + Write> Connection for T {}

type Accept = Box<dyn Fn(TcpStream) -> Result<Box<dyn Connection>> + Send>;

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[allow(
    clippy::disallowed_methods,
    reason = "tokens are good at the time of the server under test"
)]
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or_default()
}

impl Issuer {
    /// Starts an issuer with an RSA key `rsa-1`.
    pub fn start() -> Result<Self> {
        Self::serve("http", None, Box::new(|stream| Ok(Box::new(stream))))
    }

    /// As [`Issuer::start`], over TLS with a certificate of an authority of its own.
    pub fn start_tls() -> Result<Self> {
        let mut authority = rcgen::CertificateParams::new(Vec::new())?;
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let authority_key = rcgen::KeyPair::generate()?;
        let pem = authority.self_signed(&authority_key)?.pem();
        let authority = rcgen::Issuer::new(authority, authority_key);
        let key = rcgen::KeyPair::generate()?;
        let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()])?.signed_by(&key, &authority)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![own.der().clone()], key.into())?;
        let config = Arc::new(config);
        let accept = move |stream: TcpStream| -> Result<Box<dyn Connection>> {
            Ok(Box::new(StreamOwned::new(
                ServerConnection::new(Arc::clone(&config))?,
                stream,
            )))
        };
        Self::serve("https", Some(pem), Box::new(accept))
    }

    fn serve(scheme: &str, authority: Option<String>, accept: Accept) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("{scheme}://{}", listener.local_addr()?);
        let state = Arc::new(Mutex::new(State::default()));
        let is_over = Arc::new(AtomicBool::new(false));
        let thread = {
            let (url, state, is_over) = (url.clone(), Arc::clone(&state), Arc::clone(&is_over));
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    if is_over.load(Ordering::SeqCst) {
                        return;
                    }
                    // A client that goes away is its own business.
                    let _ = stream
                        .map_err(Into::into)
                        .and_then(|stream| {
                            stream.set_read_timeout(Some(PATIENCE))?;
                            accept(stream)
                        })
                        .and_then(|stream| serve(stream, &url, &state));
                }
            })
        };
        let issuer = Self {
            url,
            state,
            is_over,
            thread: Some(thread),
            authority,
        };
        issuer.add_rsa("rsa-1")?;
        Ok(issuer)
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// The authority of its certificate, in PEM.
    pub fn authority(&self) -> Option<&str> {
        self.authority.as_deref()
    }

    /// The name of the provider that stands for it.
    pub fn name(&self) -> &str {
        self.url.split_once("://").map_or("", |(_, name)| name)
    }

    pub fn add_rsa(&self, kid: &str) -> Result<()> {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).ok().context("no RSA key")?;
        self.lock().keys.push((kid.into(), Key::Rsa(key)));
        Ok(())
    }

    pub fn add_ec(&self, kid: &str) -> Result<()> {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)
            .ok()
            .context("no EC key")?;
        self.lock().keys.push((kid.into(), Key::Ec(key)));
        Ok(())
    }

    pub fn refreshes(&self) -> usize {
        self.lock().refreshes
    }

    /// The set of its public keys.
    pub fn jwks(&self) -> String {
        jwks(&self.lock()).to_string()
    }

    /// A token with `claims`, to which the issuer adds itself and the times, signed with `kid`.
    pub fn token(&self, kid: &str, claims: &Value) -> Result<String> {
        let mut all = json!({ "iss": self.url, "iat": now(), "nbf": now(), "exp": now() + 300, "jti": "1" });
        for (name, value) in claims.as_object().context("claims")? {
            all[name] = value.clone();
        }
        sign(&self.lock(), kid, &all)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.name());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn jwks(state: &State) -> Value {
    let keys: Vec<Value> = state
        .keys
        .iter()
        .map(|(kid, key)| match key {
            Key::Rsa(pair) => {
                let public = pair.public_key();
                json!({
                    "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
                    "n": base64(public.modulus().big_endian_without_leading_zero()),
                    "e": base64(public.exponent().big_endian_without_leading_zero()),
                })
            }
            Key::Ec(pair) => {
                let point = pair.public_key().as_ref();
                let (x, y) = (
                    point.get(1..33).unwrap_or_default(),
                    point.get(33..).unwrap_or_default(),
                );
                json!({ "kty": "EC", "use": "sig", "crv": "P-256", "kid": kid, "x": base64(x), "y": base64(y) })
            }
        })
        .collect();
    json!({ "keys": keys })
}

fn sign(state: &State, kid: &str, claims: &Value) -> Result<String> {
    let (_, key) = state.keys.iter().find(|(name, _)| name == kid).context("no such key")?;
    let algorithm = match key {
        Key::Rsa(_) => "RS256",
        Key::Ec(_) => "ES256",
    };
    let header = json!({ "alg": algorithm, "typ": "JWT", "kid": kid });
    let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
    let random = SystemRandom::new();
    let signature = match key {
        Key::Rsa(pair) => {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(&RSA_PKCS1_SHA256, &random, signed.as_bytes(), &mut signature)
                .ok()
                .context("cannot sign")?;
            signature
        }
        Key::Ec(pair) => {
            let signature = pair.sign(&random, signed.as_bytes()).ok().context("cannot sign")?;
            signature.as_ref().to_vec()
        }
    };
    Ok(format!("{signed}.{}", base64(signature)))
}

/// Answers one request.
fn serve(stream: impl Connection, url: &str, state: &Mutex<State>) -> Result<()> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let target = line.split(' ').nth(1).context("no target")?.to_owned();
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = header.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body)?;
    let mut state = state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (status, location, answer) = answer(&mut state, url, path, query, &body);
    let location = location.map(|to| format!("Location: {to}\r\n")).unwrap_or_default();
    let answer = answer.to_string();
    write!(
        reader.get_mut(),
        "HTTP/1.1 {status} X\r\n{location}Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{answer}",
        answer.len()
    )?;
    reader.get_mut().flush()?;
    Ok(())
}

fn answer(state: &mut State, url: &str, path: &str, query: &str, body: &str) -> (u16, Option<String>, Value) {
    let error = |code: &str| (400, None, json!({ "error": code }));
    match path {
        "/.well-known/openid-configuration" => (
            200,
            None,
            json!({
                "issuer": url, "jwks_uri": format!("{url}/keys"), "authorization_endpoint": format!("{url}/authorize"),
                "token_endpoint": format!("{url}/token"), "device_authorization_endpoint": format!("{url}/device"),
            }),
        ),
        "/keys" => (200, None, jwks(state)),
        // Whoever comes is logged in already.
        "/authorize" => {
            let form = form(query);
            let get = |name: &str| form.get(name).cloned().unwrap_or_default();
            if get("code_challenge_method") != "S256" || get("response_type") != "code" {
                return error("invalid_request");
            }
            let code = format!("code-{}", state.codes.len());
            state.codes.insert(code.clone(), (get("code_challenge"), get("nonce")));
            let to = format!("{}?code={code}&state={}", get("redirect_uri"), get("state"));
            (302, Some(to), json!({}))
        }
        "/device" => (
            200,
            None,
            json!({
                "device_code": "d", "user_code": "ABCD-EFGH", "verification_uri": format!("{url}/activate"),
                "expires_in": 60, "interval": 1,
            }),
        ),
        "/token" => {
            let form = form(body);
            let get = |name: &str| form.get(name).cloned().unwrap_or_default();
            let mut claims = json!({
                "iss": url, "sub": "ada@example.com", "aud": get("client_id"), "iat": now(),
                "exp": now() + 300, "groups": ["developers"],
            });
            match get("grant_type").as_str() {
                "authorization_code" => {
                    let Some((challenge, nonce)) = state.codes.remove(&get("code")) else {
                        return error("invalid_grant");
                    };
                    if base64(Sha256::digest(get("code_verifier"))) != challenge {
                        return error("invalid_grant");
                    }
                    claims["nonce"] = nonce.into();
                }
                "urn:ietf:params:oauth:grant-type:device_code" => {
                    state.device_polls += 1;
                    match state.device_polls {
                        1 => return error("authorization_pending"),
                        2 => return error("slow_down"),
                        _ => {}
                    }
                }
                "refresh_token" if get("refresh_token") == "refresh" => state.refreshes += 1,
                _ => return error("invalid_grant"),
            }
            match sign(state, "rsa-1", &claims) {
                Ok(token) => (
                    200,
                    None,
                    json!({ "id_token": token, "refresh_token": "refresh", "token_type": "Bearer" }),
                ),
                Err(_) => error("server_error"),
            }
        }
        _ => (404, None, json!({})),
    }
}

fn form(text: &str) -> HashMap<String, String> {
    text.split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), decode(value)))
        .collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let hex: String = [rest.next(), rest.next()]
                    .into_iter()
                    .flatten()
                    .map(char::from)
                    .collect();
                bytes.extend(u8::from_str_radix(&hex, 16));
            }
            b'+' => bytes.push(b' '),
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
