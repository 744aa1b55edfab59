// SPDX-License-Identifier: Apache-2.0
//! Taking on a role.

use std::sync::Arc;

use hythe_access::{Attributes, Granted, Principal, RolePath, RoleSession, SessionName, kinds};
use hythe_meta::StoreError;
use jiff::{SignedDuration, Timestamp};

use crate::{ControlPlane, CreatedToken, NewRoleSession, OpenSessionError};

/// The shortest session of a role, in seconds (STS, `AssumeRole`).
pub const MIN_SESSION_SECONDS: u32 = 900;
/// The session of a role that does not say how long it shall be, in seconds (STS, `AssumeRole`).
pub const DEFAULT_SESSION_SECONDS: u32 = 3600;

/// A session of a role to be opened.
#[derive(Clone, Debug)]
pub struct RoleSessionRequest {
    /// What it is called.
    pub session: SessionName,
    /// How long it lasts, in seconds; [`DEFAULT_SESSION_SECONDS`] by default.
    pub duration_seconds: Option<u32>,
    /// What it may do at most.
    pub policy: Option<String>,
}

/// A session of a role that was opened.
#[derive(Clone, Debug)]
pub struct OpenedSession {
    /// Whom it makes of its bearer.
    pub principal: Principal,
    /// Its token.
    pub token: CreatedToken,
}

/// Why no session of a role was opened.
#[derive(Debug, thiserror::Error)]
pub enum AssumeRoleError {
    /// The session is too short, or longer than the role allows.
    #[error("a session of this role lasts {MIN_SESSION_SECONDS} to {0} seconds")]
    Duration(u32),
    /// The role is gone.
    #[error("the role `{0}` does not exist")]
    Unknown(RolePath),
    /// What the session shall be cannot be.
    #[error(transparent)]
    Open(#[from] OpenSessionError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Makes the caller somebody in a role that trusts it. The session ends with the credentials that it is opened with,
    /// and is limited to what those are limited to.
    #[tracing::instrument(name = "role.assume", skip_all, fields(role = %granted.resource()))]
    pub async fn assume_role(
        &self,
        granted: &Granted<kinds::AssumeRole>,
        request: RoleSessionRequest,
    ) -> Result<OpenedSession, AssumeRoleError> {
        let (path, caller) = (granted.resource(), granted.caller());
        let (role_created_at, duration) = self.session_duration(path, request.duration_seconds).await?;
        self.open_session(NewRoleSession {
            role: path.clone(),
            role_created_at,
            session: request.session,
            duration,
            policy: request.policy.map(Arc::from),
            attributes: Attributes::new(),
            lineage: (*caller.lineage).clone(),
            scopes: Arc::clone(&caller.scopes),
        })
    }

    /// When the role was created, and how long a session of it lasts for which somebody asks for so many seconds.
    pub(crate) async fn session_duration(
        &self,
        path: &RolePath,
        seconds: Option<u32>,
    ) -> Result<(Timestamp, SignedDuration), AssumeRoleError> {
        let role = self.store().role(&path.account, &path.name).await?;
        let role = role.ok_or_else(|| AssumeRoleError::Unknown(path.clone()))?;
        let seconds = seconds.unwrap_or(DEFAULT_SESSION_SECONDS);
        if (MIN_SESSION_SECONDS..=role.max_session_seconds).contains(&seconds) {
            Ok((role.created_at, SignedDuration::from_secs(seconds.into())))
        } else {
            Err(AssumeRoleError::Duration(role.max_session_seconds))
        }
    }

    /// Opens a session of a role, for somebody who may.
    pub(crate) fn open_session(&self, new: NewRoleSession) -> Result<OpenedSession, AssumeRoleError> {
        let principal = Principal::Role(RoleSession {
            account: new.role.account.clone(),
            role: new.role.name.clone(),
            session: new.session.clone(),
        });
        let token = self.gate().open_role_session(new)?;
        Ok(OpenedSession { principal, token })
    }
}
