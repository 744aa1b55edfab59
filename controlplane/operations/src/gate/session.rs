// SPDX-License-Identifier: Apache-2.0
//! Sessions of roles: a token that makes its bearer somebody in a role.

use std::sync::Arc;

use hythe_access::{Attributes, Caller, Lineage, Principal, RolePath, RoleSession, SessionName, TokenScope};
use hythe_rules::{Policy, PolicyError};
use jiff::{SignedDuration, Timestamp};

use super::{AccessGate, Mint, MintError, Origin};
use crate::CreatedToken;

/// The longest policy of a session, in bytes (STS, `AssumeRole`, `Policy`). It travels in the token.
pub const MAX_SESSION_POLICY_BYTES: usize = 2048;
/// The most that a session may bring with it, in bytes of keys and values. It travels in the token.
pub const MAX_SESSION_ATTRIBUTE_BYTES: usize = 1024;

/// A session to be opened. Whoever asks for it has shown that the role trusts it, and for how long.
#[derive(Clone, Debug)]
pub struct NewRoleSession {
    /// The role.
    pub role: RolePath,
    /// When the role was created: the session ends with it, also if another takes its name.
    pub role_created_at: Timestamp,
    /// What its user calls the session.
    pub session: SessionName,
    /// How long it lasts, unless the credentials that it is opened with end before.
    pub duration: SignedDuration,
    /// What it may do at most, as a policy for identities.
    pub policy: Option<Arc<str>>,
    /// What conditions may ask about it.
    pub attributes: Attributes,
    /// The credentials that it is opened with: it ends with them.
    pub lineage: Lineage,
    /// What those are limited to; the session is, too.
    pub scopes: Arc<Vec<TokenScope>>,
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenSessionError {
    /// The policy of the session is too long.
    #[error("the policy of a session has at most {MAX_SESSION_POLICY_BYTES} bytes")]
    PolicyTooLong,
    /// The policy of the session is none.
    #[error(transparent)]
    Policy(PolicyError),
    /// The session brings more with it than fits into a token.
    #[error("the session brings more with it than fits into a token: use a shorter policy or fewer claims")]
    TooLong,
    /// It would be the last of a long row of tokens.
    #[error("the credentials are a token made with a token, too many times over: use an access key")]
    TooDeep,
    /// The cryptography library failed.
    #[error(transparent)]
    Crypto(crate::CryptoError),
}

impl AccessGate {
    /// Makes the token of a session of a role.
    pub fn open_role_session(&self, new: NewRoleSession) -> Result<CreatedToken, OpenSessionError> {
        if let Some(text) = &new.policy {
            if text.len() > MAX_SESSION_POLICY_BYTES {
                return Err(OpenSessionError::PolicyTooLong);
            }
            Policy::parse_identity(text).map_err(OpenSessionError::Policy)?;
        }
        let values = new.attributes.iter();
        let bytes = values.map(|(key, values)| key.len() + values.iter().map(String::len).sum::<usize>());
        if bytes.sum::<usize>() > MAX_SESSION_ATTRIBUTE_BYTES {
            return Err(OpenSessionError::TooLong);
        }
        let RolePath { account, name: role } = new.role;
        let session = RoleSession {
            account,
            role,
            session: new.session,
        };
        let caller = Caller {
            scopes: new.scopes,
            session_policy: new.policy,
            attributes: Arc::new(new.attributes),
            lineage: Arc::new(Lineage {
                // What is asked about is the session, which begins now.
                issued_at: None,
                role_created_at: Some(new.role_created_at),
                user_created_at: None,
                ..new.lineage
            }),
            ..Caller::of(Principal::Role(session))
        };
        let mint = Mint {
            scope: None,
            lifetime: new.duration,
            lease_seconds: None,
            origin: Origin::Api,
        };
        let minted = self.mint(&caller, mint).map_err(|error| match error {
            MintError::TooLong => OpenSessionError::TooLong,
            MintError::TooDeep => OpenSessionError::TooDeep,
            MintError::Crypto(error) => OpenSessionError::Crypto(error),
        })?;
        Ok(CreatedToken {
            id: minted.id.to_string(),
            token: minted.token,
            issued_at: minted.issued_at,
            expires_at: minted.expires_at,
        })
    }
}
