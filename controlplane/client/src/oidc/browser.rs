// SPDX-License-Identifier: Apache-2.0
//! A login with a browser on this machine.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use sha2::Digest as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::provider::{TokenAnswer, describe};
use super::{OidcError, OidcProvider, OidcTokens, random_text};
use crate::client::printable;

/// How long somebody has to log in.
const TIMEOUT: Duration = Duration::from_mins(5);
/// How long one request of the browser may take to arrive.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest request, in bytes.
const MAX_REQUEST_BYTES: usize = 16 * 1024;
/// The most requests that are not the answer: browsers ask for icons, and somebody else may knock.
const MAX_STRAY_REQUESTS: usize = 50;
const PATH: &str = "/callback";

/// A login that waits for the browser.
#[derive(Debug)]
pub struct BrowserLogin<'p> {
    provider: &'p OidcProvider,
    listener: TcpListener,
    redirect_uri: String,
    state: String,
    nonce: String,
    verifier: String,
    url: Url,
}

impl<'p> BrowserLogin<'p> {
    /// Begins a login. The answer comes to a port of this machine that is open until then.
    pub async fn begin(provider: &'p OidcProvider, scope: &str) -> Result<Self, OidcError> {
        let mut url = provider
            .authorization_endpoint
            .clone()
            .ok_or_else(|| provider.error("has no authorization endpoint: try `--device`"))?;
        let local = |error: std::io::Error| OidcError::Local(error.to_string());
        let listener = TcpListener::bind("127.0.0.1:0").await.map_err(local)?;
        let redirect_uri = format!("http://{}{PATH}", listener.local_addr().map_err(local)?);
        let (state, nonce, verifier) = (random_text(), random_text(), random_text());
        let challenge = URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(&verifier));
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", &redirect_uri)
            .append_pair("scope", scope)
            .append_pair("state", &state)
            .append_pair("nonce", &nonce)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        Ok(Self {
            provider,
            listener,
            redirect_uri,
            state,
            nonce,
            verifier,
            url,
        })
    }

    /// What the browser has to be sent to.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Waits for the browser to come back, once, and gets the tokens.
    pub async fn finish(self) -> Result<OidcTokens, OidcError> {
        let code = tokio::time::timeout(TIMEOUT, self.code())
            .await
            .map_err(|_| OidcError::TooLate)??;
        let answer = self
            .provider
            .token(&[
                ("grant_type", "authorization_code"),
                ("code", &code),
                ("redirect_uri", &self.redirect_uri),
                ("code_verifier", &self.verifier),
            ])
            .await?;
        match answer {
            TokenAnswer::Tokens(tokens) => {
                self.provider.check(&tokens.id_token, Some(&self.nonce))?;
                Ok(tokens)
            }
            TokenAnswer::Error(code, text) => Err(OidcError::Refused(describe(&code, &text))),
        }
    }

    async fn code(&self) -> Result<String, OidcError> {
        for _ in 0..MAX_STRAY_REQUESTS {
            let (mut stream, _) = self
                .listener
                .accept()
                .await
                .map_err(|error| OidcError::Local(error.to_string()))?;
            let request = tokio::time::timeout(REQUEST_TIMEOUT, read(&mut stream)).await;
            let Some(target) = request.ok().flatten() else { continue };
            let Ok(url) = Url::parse("http://127.0.0.1").and_then(|base| base.join(&target)) else {
                continue;
            };
            let parameter = |name: &str| {
                let found = url.query_pairs().find(|(key, _)| key == name);
                found.map(|(_, value)| value.into_owned())
            };
            // Whoever does not know the state was not sent by this login (RFC 6749, section 10.12).
            if url.path() != PATH || parameter("state").as_deref() != Some(self.state.as_str()) {
                answer(&mut stream, "404 Not Found", "There is nothing here.").await;
                continue;
            }
            if let Some(code) = parameter("code") {
                answer(&mut stream, "200 OK", "You are logged in. You can close this window.").await;
                return Ok(code);
            }
            let code = printable(&parameter("error").unwrap_or_else(|| "no code".into()));
            let text = printable(&parameter("error_description").unwrap_or_default());
            answer(&mut stream, "200 OK", "The login failed. The terminal says why.").await;
            return Err(OidcError::Refused(describe(&code, &text)));
        }
        Err(OidcError::Local("too many requests that are not the answer".into()))
    }
}

/// The target of a GET request.
async fn read(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 2048];
    while !bytes.windows(4).any(|end| end == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).await.ok()?;
        if count == 0 || bytes.len() + count > MAX_REQUEST_BYTES {
            return None;
        }
        bytes.extend_from_slice(buffer.get(..count)?);
    }
    let text = String::from_utf8(bytes).ok()?;
    let mut words = text.lines().next()?.split(' ');
    (words.next() == Some("GET")).then(|| words.next().map(str::to_owned))?
}

/// A browser that does not wait for the answer is not waited for.
async fn answer(stream: &mut TcpStream, status: &str, text: &str) {
    let response = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\nReferrer-Policy: no-referrer\r\n\
         Cache-Control: no-store\r\nConnection: close\r\n\r\n{text}",
        text.len()
    );
    let send = async {
        let _ = stream.write_all(response.as_bytes()).await;
        let _ = stream.shutdown().await;
    };
    let _ = tokio::time::timeout(REQUEST_TIMEOUT, send).await;
}
