// SPDX-License-Identifier: Apache-2.0
//! Who the caller is. Needs no permission: it tells callers nothing that they did not bring.

use hythe_access::{Caller, Principal, UserName};
use hythe_model::AccountId;

use crate::ControlPlane;

/// Who the caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerIdentity {
    /// The account.
    pub account: AccountId,
    /// The ARN, as in policies.
    pub arn: String,
    /// The user; `None` for the administrator.
    pub user: Option<UserName>,
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum CallerIdentityError {
    /// The request carried no credentials.
    #[error("the request carries no credentials: send an access key or an authorization token")]
    Anonymous,
}

impl ControlPlane {
    /// Who `caller` is.
    pub fn caller_identity(&self, caller: &Caller) -> Result<CallerIdentity, CallerIdentityError> {
        let (account, user) = match &caller.principal {
            Principal::Anonymous => return Err(CallerIdentityError::Anonymous),
            Principal::Root(account) => (account, None),
            Principal::User(account, user) => (account, Some(user.clone())),
            Principal::Role(session) => (&session.account, None),
        };
        Ok(CallerIdentity {
            account: account.clone(),
            arn: caller.principal.to_string(),
            user,
        })
    }
}
