// SPDX-License-Identifier: Apache-2.0
//! Sessions of roles for whoever holds a token of an identity provider (STS, `AssumeRoleWithWebIdentity`).
//!
//! A token is believed if its issuer is one of the account's providers, it is signed with a key and an algorithm of that
//! provider, it is meant for this service, and its time is now. Then the role's trust policy decides about its claims.

mod algorithm;
mod issuers;
mod json;
mod key_set;
#[cfg(test)]
mod tests;
mod token;

use std::sync::Arc;

use hythe_access::{Attributes, Caller, Lineage, RolePath, RoleSession, Secret, SessionName, Throttled};
use hythe_meta::{IdentityProviderRecord, StoreError};
use hythe_model::{AccountId, IssuerUrl};
use hythe_rules::Policy;
use jiff::{SignedDuration, Timestamp};

use crate::{ControlPlane, CreatedToken, NewRoleSession, OpenSessionError};

pub use self::algorithm::SigningAlgorithm;
pub use self::issuers::{FetchError, IssuerDocument, IssuerDocuments, MAX_ISSUER_DOCUMENT_BYTES};
pub(crate) use self::issuers::{Issuers, NoDocuments};
pub(crate) use self::key_set::KeySet;
pub use self::key_set::{KeySetError, MAX_JWKS_BYTES};
pub use self::token::{MAX_WEB_IDENTITY_TOKEN_BYTES, TokenError};

use self::issuers::IssuerError;
use self::key_set::Mismatch;
use self::token::{Identity, Token};

/// The shortest session of a role, in seconds (STS, `AssumeRoleWithWebIdentity`).
const MIN_SESSION_SECONDS: u32 = 900;
/// The longest session of a role, in seconds (STS, `AssumeRoleWithWebIdentity`); a role may allow less.
const MAX_SESSION_SECONDS: u32 = 43_200;
/// The session of a role that does not say how long it shall be, in seconds.
const DEFAULT_SESSION_SECONDS: u32 = 3600;
/// The shortest name of a session (STS, `RoleSessionName`).
const MIN_SESSION_NAME_BYTES: usize = 2;

/// A session of a role that somebody asks for with a token of an identity provider.
#[derive(Clone, Debug)]
pub struct WebIdentityRequest {
    /// The role.
    pub role: RolePath,
    /// What the session shall be called.
    pub session: SessionName,
    /// The token.
    pub token: Secret,
    /// How long the session shall be, in seconds; an hour by default.
    pub duration_seconds: Option<u32>,
    /// What the session may do at most, as a policy.
    pub policy: Option<String>,
}

/// A session that was opened.
#[derive(Clone, Debug)]
pub struct WebIdentitySession {
    /// Its token.
    pub token: CreatedToken,
    /// Whom it makes of its bearer.
    pub principal: RoleSession,
    /// The provider that stands behind it.
    pub provider_arn: String,
    /// Whom the provider's token was about.
    pub subject: String,
    /// Whom the provider's token was for.
    pub audience: String,
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum WebIdentityError {
    /// The token is not valid.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The account has no provider for the issuer of the token.
    #[error("No OpenIDConnect provider found in your account for {0}")]
    NoProvider(IssuerUrl),
    /// The provider does not accept the algorithm.
    #[error("The web identity token is signed with {0}, which the identity provider does not accept")]
    Algorithm(SigningAlgorithm),
    /// No key of the issuer has signed the token.
    #[error("{0}")]
    Signature(&'static str),
    /// The issuer's keys are not known.
    #[error(
        "Couldn't retrieve verification key from your identity provider: the server's log has the cause under the id of this request"
    )]
    Unreachable,
    /// Too many requests wait for issuers.
    #[error("too many requests wait for keys of identity providers: try again in a moment")]
    Busy,
    /// The role does not trust the token, or there is no such role: whoever is not trusted is not told which.
    #[error("Not authorized to perform sts:AssumeRoleWithWebIdentity")]
    Denied,
    /// The session is too short, or longer than any may be.
    #[error("a session lasts {MIN_SESSION_SECONDS} to {MAX_SESSION_SECONDS} seconds")]
    Duration,
    /// The session is longer than those of the role may be.
    #[error("The requested DurationSeconds exceeds the MaxSessionDuration set for this role, which is {0} seconds")]
    RoleDuration(u32),
    /// The name of the session is too short.
    #[error("the name of a session has at least {MIN_SESSION_NAME_BYTES} characters")]
    SessionName,
    /// Too many logins have failed where this one comes from.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// The gate refuses to open it.
    #[error(transparent)]
    Open(#[from] OpenSessionError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl WebIdentityError {
    /// Whether it counts as a failed login: a token that was never good, or is not good for this role. One that was good
    /// once is no guess, and neither is what has nothing to do with the token.
    fn is_failed_login(&self) -> bool {
        match self {
            Self::Token(
                TokenError::Malformed(_)
                | TokenError::Algorithm
                | TokenError::Claim(_)
                | TokenError::Audience
                | TokenError::AuthorizedParty,
            )
            | Self::NoProvider(_)
            | Self::Algorithm(_)
            | Self::Signature(_)
            | Self::Denied => true,
            Self::Token(TokenError::NotYet | TokenError::Expired)
            | Self::Unreachable
            | Self::Busy
            | Self::Duration
            | Self::RoleDuration(_)
            | Self::SessionName
            | Self::Throttled(_)
            | Self::Open(_)
            | Self::Store(_) => false,
        }
    }
}

impl From<IssuerError> for WebIdentityError {
    fn from(error: IssuerError) -> Self {
        match error {
            IssuerError::Unreachable => Self::Unreachable,
            IssuerError::Busy => Self::Busy,
        }
    }
}

impl From<Mismatch> for WebIdentityError {
    fn from(mismatch: Mismatch) -> Self {
        Self::Signature(match mismatch {
            Mismatch::UnknownKey => "The issuer has no key with the id that the web identity token names",
            Mismatch::WrongKind => "The key that the web identity token names is not one for its algorithm",
            Mismatch::Ambiguous => "The web identity token names no key, and its issuer has several",
            Mismatch::Signature => "Couldn't verify the signature of the web identity token",
        })
    }
}

impl ControlPlane {
    /// Opens a session of a role for whoever holds the token. It needs no credentials: `caller` says only where the request
    /// comes from. The session ends by its own time, and may outlive the token; until that ends, it can be used again.
    ///
    /// Who fails too often is told to wait, as with other credentials that are wrong; who holds a good token never is.
    pub async fn open_web_identity_session(
        &self,
        caller: &Caller,
        request: WebIdentityRequest,
    ) -> Result<WebIdentitySession, WebIdentityError> {
        let outcome = self.try_web_identity(caller, request).await;
        if outcome.as_ref().is_err_and(WebIdentityError::is_failed_login) {
            self.gate().note_failed_login(caller.source_ip)?;
        }
        outcome
    }

    #[tracing::instrument(name = "web_identity_session.create", skip_all, fields(role.arn = %request.role))]
    async fn try_web_identity(
        &self,
        caller: &Caller,
        request: WebIdentityRequest,
    ) -> Result<WebIdentitySession, WebIdentityError> {
        let seconds = request.duration_seconds.unwrap_or(DEFAULT_SESSION_SECONDS);
        if !(MIN_SESSION_SECONDS..=MAX_SESSION_SECONDS).contains(&seconds) {
            return Err(WebIdentityError::Duration);
        }
        if request.session.as_str().len() < MIN_SESSION_NAME_BYTES {
            return Err(WebIdentityError::SessionName);
        }
        let (provider, identity) = self.identify(&request.role.account, request.token.expose()).await?;
        let role = self.store().role(&request.role.account, &request.role.name).await?;
        let claims = session_attributes(&provider, &identity, &request.session);
        let holder = Caller {
            attributes: Arc::new(claims),
            ..caller.clone()
        };
        let provider_arn = provider.arn();
        let trust = self.gate().trusts_web_identity(&holder, &provider_arn, &request.role);
        let (Some(role), Some(trust)) = (role, trust.await?) else {
            tracing::info!(
                identity_provider.arn = %provider_arn,
                token.subject = identity.subject,
                "the role does not trust the web identity"
            );
            return Err(WebIdentityError::Denied);
        };
        if seconds > role.max_session_seconds {
            return Err(WebIdentityError::RoleDuration(role.max_session_seconds));
        }
        let token = self.gate().open_role_session(NewRoleSession {
            role: request.role.clone(),
            role_created_at: role.created_at,
            session: request.session.clone(),
            duration: SignedDuration::from_secs(seconds.into()),
            policy: request.policy.map(Arc::from),
            attributes: kept(&provider, &trust, &holder.attributes),
            lineage: Lineage::default(),
            scopes: Arc::default(),
        })?;
        Ok(WebIdentitySession {
            token,
            principal: RoleSession {
                account: request.role.account,
                role: request.role.name,
                session: request.session,
            },
            provider_arn,
            subject: identity.subject,
            audience: identity.audience,
        })
    }

    /// Who holds the token, as a provider of `account` says.
    async fn identify(
        &self,
        account: &AccountId,
        text: &str,
    ) -> Result<(IdentityProviderRecord, Identity), WebIdentityError> {
        let token = Token::parse(text)?;
        let issuer: IssuerUrl = token.issuer()?.parse().map_err(|_| TokenError::Claim("iss"))?;
        // The same host and path with another scheme is another issuer.
        let found = self.store().identity_provider(account, &issuer.name()).await?;
        let Some(provider) = found.filter(|provider| provider.url == issuer) else {
            return Err(WebIdentityError::NoProvider(issuer));
        };
        let identity = believe(self.issuers(), &provider, &token, self.clock().now()).await?;
        Ok((provider, identity))
    }
}

/// What conditions of the trust policy may ask about: the claims as `<host and path>:<claim>`, and the session's name.
fn session_attributes(provider: &IdentityProviderRecord, identity: &Identity, session: &SessionName) -> Attributes {
    let name = provider.name();
    let claims = identity
        .claims
        .iter()
        .map(|(claim, values)| (format!("{name}:{claim}"), values.clone()));
    claims
        .chain([
            (FEDERATED_PROVIDER.to_owned(), vec![provider.arn()]),
            (SESSION_NAME.to_owned(), vec![session.to_string()]),
        ])
        .collect()
}

/// What of that later conditions may ask about, as it travels with the session's token: audience, subject, and the claims that
/// the trust policy asks about.
fn kept(provider: &IdentityProviderRecord, trust: &Policy, attributes: &Attributes) -> Attributes {
    let name = provider.name();
    let always = [
        FEDERATED_PROVIDER.to_owned(),
        format!("{name}:aud"),
        format!("{name}:sub"),
    ];
    let is_kept = |key: &String| key != SESSION_NAME && (always.contains(key) || trust.needs(key));
    let kept = attributes.iter().filter(|(key, _)| is_kept(key));
    kept.map(|(key, values)| (key.clone(), values.clone())).collect()
}

const FEDERATED_PROVIDER: &str = "aws:FederatedProvider";
const SESSION_NAME: &str = "sts:RoleSessionName";

/// What `token` says, if `provider` stands behind it.
async fn believe(
    issuers: &Issuers,
    provider: &IdentityProviderRecord,
    token: &Token<'_>,
    now: Timestamp,
) -> Result<Identity, WebIdentityError> {
    let algorithm = token.header.algorithm;
    let accepts = |name: &String| name == algorithm.as_str();
    if !provider.settings.algorithms.iter().any(accepts) {
        return Err(WebIdentityError::Algorithm(algorithm));
    }
    issuers.keys(provider, token, now).await?.verify(token)?;
    Ok(token.check(&provider.settings.client_ids, now)?)
}
