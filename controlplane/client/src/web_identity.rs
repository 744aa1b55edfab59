// SPDX-License-Identifier: Apache-2.0
//! Credentials that are a token of an identity provider: it is exchanged for a session of a role, again whenever the
//! server says that the session has ended.

use std::path::{Path, PathBuf};

use hythe_wire::{CreateWebIdentitySession, RoleSession, Secret, code, path};
use reqwest::Method;
use reqwest::header::HeaderValue;

use crate::oidc::{OidcLogin, OidcProvider};
use crate::{Client, ClientError, Credentials, Transport};

/// What a session is called if nobody says.
pub const DEFAULT_SESSION_NAME: &str = "hythe";

/// The longest file with a token, in bytes.
const MAX_TOKEN_FILE_BYTES: u64 = 64 * 1024;

/// A role, and the tokens that open sessions of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebIdentity {
    /// `arn:aws:iam::<account>:role/<name>`.
    pub role_arn: String,
    /// What the sessions are called.
    pub role_session_name: String,
    /// Where the tokens are.
    pub source: TokenSource,
    label: String,
}

/// Where tokens of an identity provider are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// In a file that somebody else keeps up to date, such as a Kubernetes projected volume. It is read for each session.
    File(PathBuf),
    /// In the cache of a login with a browser or a device code.
    Login(OidcLogin),
}

impl WebIdentity {
    /// Credentials for `role_arn`; the session is called [`DEFAULT_SESSION_NAME`] unless said otherwise.
    #[must_use]
    pub fn new(role_arn: String, role_session_name: Option<String>, source: TokenSource) -> Self {
        let role_session_name = role_session_name.unwrap_or_else(|| DEFAULT_SESSION_NAME.into());
        let from = match &source {
            TokenSource::File(path) => path.display().to_string(),
            TokenSource::Login(login) => login.issuer.to_string(),
        };
        Self {
            label: format!("{role_arn} as {role_session_name} by {from}"),
            role_arn,
            role_session_name,
            source,
        }
    }

    /// What may be shown: the role, and where the token comes from.
    #[must_use]
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The request for a session with `token`.
    #[must_use]
    pub fn request(&self, token: Secret) -> CreateWebIdentitySession {
        CreateWebIdentitySession {
            role_arn: self.role_arn.clone(),
            role_session_name: self.role_session_name.clone(),
            web_identity_token: token,
            duration_seconds: None,
            policy: None,
        }
    }
}

/// The token in a file.
pub(crate) fn read_token(path: &Path) -> Result<Secret, ClientError> {
    let fail = |problem: String| ClientError::Setup(format!("web identity token file `{}`: {problem}", path.display()));
    let facts = std::fs::metadata(path).map_err(|error| fail(error.to_string()))?;
    if facts.len() > MAX_TOKEN_FILE_BYTES {
        return Err(fail("it is too long".into()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| fail(error.to_string()))?;
    match text.trim() {
        "" => Err(fail("it is empty".into())),
        token => Ok(Secret::new(token)),
    }
}

/// The session that a client is in, and how it gets the next one.
#[derive(Debug)]
pub(crate) struct SessionKeeper {
    identity: WebIdentity,
    transport: Transport,
    /// Held while a session is opened, so that of many calls one does it.
    session: tokio::sync::Mutex<Option<Secret>>,
}

impl SessionKeeper {
    pub(crate) fn new(identity: WebIdentity, transport: Transport) -> Self {
        Self {
            identity,
            transport,
            session: tokio::sync::Mutex::new(None),
        }
    }

    /// `Authorization` with the session's token. `ended`: one that the server does not take any more.
    pub(crate) async fn header(
        &self,
        client: &Client,
        ended: Option<&HeaderValue>,
    ) -> Result<HeaderValue, ClientError> {
        let as_header = |session: &Secret| {
            Credentials::Token(session.clone())
                .control_header()
                .ok_or_else(|| client.decode_error("a session whose token cannot stand in a header"))
        };
        let mut kept = self.session.lock().await;
        let known = match &*kept {
            Some(session) => Some(session.clone()),
            None => self.stored(client),
        };
        if let Some(session) = known {
            let header = as_header(&session)?;
            if Some(&header) != ended {
                *kept = Some(session);
                return Ok(header);
            }
        }
        let session = self.open(client).await?;
        let header = as_header(&session)?;
        *kept = Some(session);
        Ok(header)
    }

    async fn open(&self, client: &Client) -> Result<Secret, ClientError> {
        let login = match &self.identity.source {
            TokenSource::File(path) => return self.exchange(client, read_token(path)?).await,
            TokenSource::Login(login) => login,
        };
        let ended = |cause: &str| {
            ClientError::Setup(format!(
                "the login at `{issuer}` has ended ({cause}): log in again with `hythe login --oidc-issuer {issuer} \
                 --oidc-client-id {id} --role-arn {role}`",
                issuer = login.issuer,
                id = login.client_id,
                role = self.identity.role_arn,
            ))
        };
        let mut tokens = login.load().ok_or_else(|| ended("there are no tokens of it"))?;
        let session = match self.exchange(client, tokens.id_token.clone()).await {
            Err(error) if error.code() == Some(code::EXPIRED_TOKEN) => {
                let refresh_token = tokens
                    .refresh_token
                    .as_ref()
                    .ok_or_else(|| ended("its token has expired"))?;
                let provider =
                    OidcProvider::discover(login.issuer.clone(), login.client_id.clone(), &self.transport).await;
                let provider = provider.map_err(|error| ended(&error.to_string()))?;
                tokens = provider
                    .refresh(refresh_token)
                    .await
                    .map_err(|error| ended(&error.to_string()))?;
                // A provider may take a refresh token once only: the new one is kept before anything else can fail.
                login
                    .store(&tokens)
                    .map_err(|error| ClientError::Setup(format!("cannot keep the tokens of the login: {error}")))?;
                self.exchange(client, tokens.id_token.clone()).await?
            }
            other => other?,
        };
        tokens.sessions.insert(self.name(client), session.clone());
        // A session that cannot be kept is opened again next time.
        let _ = login.store(&tokens);
        Ok(session)
    }

    async fn exchange(&self, client: &Client, token: Secret) -> Result<Secret, ClientError> {
        let session: RoleSession = client
            .open_request(Method::POST, &path::web_identity_sessions())
            .body(&self.identity.request(token))
            .json()
            .await?;
        Ok(session.token.password)
    }

    /// The session that an earlier process has opened.
    fn stored(&self, client: &Client) -> Option<Secret> {
        match &self.identity.source {
            TokenSource::File(_) => None,
            TokenSource::Login(login) => login.load()?.sessions.remove(&self.name(client)),
        }
    }

    /// A session goes to the server only that has given it.
    fn name(&self, client: &Client) -> String {
        format!("{} {}", client.endpoint(), self.identity.label())
    }
}
