// SPDX-License-Identifier: Apache-2.0
//! Authorization tokens: create, renew, revoke.

use std::sync::Arc;

use hythe_access::{
    Action, Caller, Granted, Lineage, Principal, PrincipalArn, ScopeEntry, Secret, TokenScope, UserName, kinds,
};
use hythe_meta::{KeepTokenError, MAX_TOKENS_KEPT, StoreError};
use hythe_model::AccountId;
use jiff::{SignedDuration, Timestamp};

use crate::access_key::unknown_user;
use crate::gate::{Mint, MintError, Origin, TokenId};
use crate::principal::BoundaryError;
use crate::{Bounded, ControlPlane, CryptoError, UnknownPrincipal};

/// The shortest life of a token, in seconds.
pub const MIN_TOKEN_SECONDS: u32 = 60;
/// The longest life of a token, in seconds (ECR, "Registry authentication": 12 hours).
pub const MAX_TOKEN_SECONDS: u32 = 43_200;

/// The most entries of a scope.
const MAX_SCOPE_ENTRIES: usize = 50;
/// The most names in one part of an entry.
const MAX_SCOPE_NAMES: usize = 100;
/// The most actions of one entry: each that there is can be named.
const MAX_SCOPE_ACTIONS: usize = 200;

/// A token to be made.
#[derive(Clone, Debug, Default)]
pub struct TokenRequest {
    /// What it may be used for at most; `None` for whatever the caller may do.
    pub scope: Option<TokenScope>,
    /// Its life, in seconds; [`MAX_TOKEN_SECONDS`] by default.
    pub duration_seconds: Option<u32>,
    /// Whether its life can be extended, up to [`MAX_TOKEN_SECONDS`] in all.
    pub is_renewable: bool,
}

/// A token that was made.
#[derive(Clone, Debug)]
pub struct CreatedToken {
    /// Its id, to renew and revoke it.
    pub id: String,
    /// The token, which is the password of user `AWS`.
    pub token: Secret,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it ends unless it is renewed or revoked.
    pub expires_at: Timestamp,
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum CreateTokenError {
    /// The life is too short or too long.
    #[error("a token lives {MIN_TOKEN_SECONDS} to {MAX_TOKEN_SECONDS} seconds")]
    Duration,
    /// The scope makes the token longer than clients can send.
    #[error("the token would be too long: give it a shorter scope")]
    TooLong,
    /// It would be the last of a long row of tokens.
    #[error("the credentials are a token made with a token, too many times over: use an access key")]
    TooDeep,
    /// The principal has many renewable tokens already.
    #[error("there are {MAX_TOKENS_KEPT} renewable tokens of the principal already: make one that is not renewable")]
    TooMany,
    /// The cryptography library failed.
    #[error(transparent)]
    Crypto(CryptoError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why no token was made for a user.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserTokenError {
    /// There is no such user.
    #[error(transparent)]
    UserUnknown(#[from] UnknownPrincipal),
    /// The caller would get around its own boundary.
    #[error(transparent)]
    Bounded(#[from] Bounded),
    /// No token was made.
    #[error(transparent)]
    Token(#[from] CreateTokenError),
}

impl From<StoreError> for CreateUserTokenError {
    fn from(error: StoreError) -> Self {
        Self::Token(error.into())
    }
}

impl From<BoundaryError> for CreateUserTokenError {
    fn from(error: BoundaryError) -> Self {
        match error {
            BoundaryError::Bounded(error) => error.into(),
            BoundaryError::Store(error) => error.into(),
        }
    }
}

/// Why a token was not renewed.
#[derive(Debug, thiserror::Error)]
pub enum RenewTokenError {
    /// The life is too short or too long.
    #[error("a token lives {MIN_TOKEN_SECONDS} to {MAX_TOKEN_SECONDS} seconds")]
    Duration,
    /// No token has such an id.
    #[error("`{0}` is not the id of an authorization token")]
    Invalid(String),
    /// It has ended, was revoked, or there is none with this id.
    #[error("there is no authorization token with id `{0}` that still lives: create a new one")]
    Ended(String),
    /// It was made with a fixed end.
    #[error("the authorization token with id `{0}` was not created as renewable")]
    NotRenewable(String),
    /// It is somebody else's.
    #[error("User: {0} is not authorized to renew this authorization token because it was made for another principal")]
    Foreign(Principal),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a token was not revoked.
#[derive(Debug, thiserror::Error)]
pub enum RevokeTokenError {
    /// The request carried no credentials.
    #[error("the request carries no credentials: send an access key or an authorization token")]
    Anonymous,
    /// No token has such an id.
    #[error("`{0}` is not the id of an authorization token")]
    Invalid(String),
    /// The principal has revoked many tokens that have not ended yet.
    #[error(
        "the principal has revoked {MAX_TOKENS_KEPT} tokens that have not ended yet: deactivate the access key that they \
         were made with"
    )]
    TooMany,
    /// It is somebody else's, or the caller's own token is limited and this is another.
    #[error(
        "User: {0} is not authorized to revoke this authorization token because it was made for another principal or purpose"
    )]
    Foreign(Principal),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Checks a scope and brings the names of its actions into their canonical form. The error says which part of it
/// is wrong, as a JSON pointer into the scope, and why.
pub fn parse_scope(entries: Vec<ScopeEntry>) -> Result<TokenScope, (String, String)> {
    let count = |at: String, count: usize, most: usize| {
        if (1..=most).contains(&count) {
            Ok(())
        } else {
            Err((at, format!("it must have 1 to {most} entries")))
        }
    };
    count(String::new(), entries.len(), MAX_SCOPE_ENTRIES)?;
    let mut scope = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        count(
            format!("/{index}/repositories"),
            entry.repositories.len(),
            MAX_SCOPE_NAMES,
        )?;
        count(format!("/{index}/actions"), entry.actions.len(), MAX_SCOPE_ACTIONS)?;
        for (at, pattern) in entry.repositories.iter().enumerate() {
            if !is_repository_pattern(pattern) {
                let reason = "it must be the name of a repository, the start of one with `*` behind it, or `*`";
                return Err((format!("/{index}/repositories/{at}"), reason.into()));
            }
        }
        let actions = entry.actions.iter().enumerate().map(|(at, name)| {
            canonical_action(name).ok_or_else(|| {
                let reason = "it must be an action such as `ecr:BatchGetImage`, or the start of one with `*` behind it";
                (format!("/{index}/actions/{at}"), reason.to_owned())
            })
        });
        scope.push(ScopeEntry {
            actions: actions.collect::<Result<_, _>>()?,
            repositories: entry.repositories,
            account: entry.account,
        });
    }
    Ok(TokenScope(scope))
}

fn is_repository_pattern(pattern: &str) -> bool {
    let start = pattern.strip_suffix('*').unwrap_or(pattern);
    let is_name_char = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
    if pattern.ends_with('*') {
        start.len() <= 256 && start.bytes().all(is_name_char)
    } else {
        pattern.parse::<hythe_model::RepositoryName>().is_ok()
    }
}

fn canonical_action(name: &str) -> Option<String> {
    let Some(start) = name.strip_suffix('*') else {
        return name.parse::<Action>().ok().map(|action| action.to_string());
    };
    let covered = Action::ALL.iter().map(|action| action.as_str()).find_map(|action| {
        action
            .get(..start.len())
            .filter(|head| head.eq_ignore_ascii_case(start))
    });
    covered.map(|start| format!("{start}*"))
}

impl ControlPlane {
    /// Makes a token for the caller, which ends no later than the caller's own credentials.
    #[tracing::instrument(name = "authorization_token.create", skip_all, fields(account.id = %granted.resource()))]
    pub async fn create_token(
        &self,
        granted: &Granted<kinds::GetAuthorizationToken>,
        request: TokenRequest,
    ) -> Result<CreatedToken, CreateTokenError> {
        let caller = granted.caller();
        self.make_token(caller, &caller.principal, request).await
    }

    /// Makes a token for a user, with the user's rights. It ends no later than the caller's own credentials, is limited to
    /// what those are limited to, and is revoked with them.
    #[tracing::instrument(name = "user_token.create", skip_all, fields(user.name = %user))]
    pub async fn create_user_token(
        &self,
        granted: &Granted<kinds::CreateUserToken>,
        user: &UserName,
        request: TokenRequest,
    ) -> Result<CreatedToken, CreateUserTokenError> {
        let (account, by) = (granted.resource(), granted.caller());
        let record = self.store().user(account, user).await?;
        let record = record.ok_or_else(|| unknown_user(account, user))?;
        self.check_boundary(by, account, record.boundary.as_ref()).await?;
        let bearer = Caller {
            scopes: Arc::clone(&by.scopes),
            lineage: Arc::new(Lineage {
                issued_at: None,
                role_created_at: None,
                user_created_at: Some(record.created_at),
                ..(*by.lineage).clone()
            }),
            ..Caller::of(Principal::User(account.clone(), user.clone()))
        };
        Ok(self.make_token(&bearer, &by.principal, request).await?)
    }

    /// Makes a token for the principal of `bearer` with its credentials; `by` has one more.
    async fn make_token(
        &self,
        bearer: &Caller,
        by: &Principal,
        request: TokenRequest,
    ) -> Result<CreatedToken, CreateTokenError> {
        let duration =
            check_duration(request.duration_seconds.unwrap_or(MAX_TOKEN_SECONDS)).ok_or(CreateTokenError::Duration)?;
        let lifetime = if request.is_renewable {
            SignedDuration::from_secs(MAX_TOKEN_SECONDS.into())
        } else {
            duration.1
        };
        let lease_seconds = request.is_renewable.then_some(duration.0);
        let mint = Mint {
            scope: request.scope,
            lifetime,
            lease_seconds,
            origin: Origin::Api,
        };
        let minted = self.gate().mint(bearer, mint).map_err(|error| match error {
            MintError::TooLong => CreateTokenError::TooLong,
            MintError::TooDeep => CreateTokenError::TooDeep,
            MintError::Crypto(error) => CreateTokenError::Crypto(error),
        })?;
        let id = minted.id.to_string();
        let mut expires_at = minted.expires_at;
        if request.is_renewable {
            expires_at = expires_at.min(later(minted.issued_at, duration.1));
            let owner = owner(by);
            self.store()
                .create_lease(&id, expires_at, minted.expires_at, &owner, minted.issued_at)
                .await
                .map_err(|error| match error {
                    KeepTokenError::LimitExceeded => CreateTokenError::TooMany,
                    KeepTokenError::Store(error) => error.into(),
                })?;
            self.gate().revocations().set_lease(&id, expires_at);
        }
        Ok(CreatedToken {
            id,
            token: minted.token,
            issued_at: minted.issued_at,
            expires_at,
        })
    }

    /// Extends the life of a renewable token of the caller's (the administrator: of anybody's in the account), counted from
    /// now; for as long as at its creation if `duration_seconds` is `None`. Returns its new end.
    #[tracing::instrument(name = "authorization_token.renew", skip_all, fields(account.id = %granted.resource()))]
    pub async fn renew_token(
        &self,
        granted: &Granted<kinds::GetAuthorizationToken>,
        id: &str,
        duration_seconds: Option<u32>,
    ) -> Result<Timestamp, RenewTokenError> {
        let caller = granted.caller();
        let token = TokenId::parse(id).ok_or_else(|| RenewTokenError::Invalid(id.to_owned()))?;
        if !self.owns(caller, &token) {
            return Err(RenewTokenError::Foreign(caller.principal.clone()));
        }
        self.extend_token(caller, (id, &token), duration_seconds).await
    }

    /// Extends the life of a renewable token of a user's, as [`Self::renew_token`] does.
    #[tracing::instrument(name = "user_token.renew", skip_all, fields(user.name = %user))]
    pub async fn renew_user_token(
        &self,
        granted: &Granted<kinds::CreateUserToken>,
        user: &UserName,
        id: &str,
        duration_seconds: Option<u32>,
    ) -> Result<Timestamp, RenewTokenError> {
        let (caller, account) = (granted.caller(), granted.resource());
        let token = TokenId::parse(id).ok_or_else(|| RenewTokenError::Invalid(id.to_owned()))?;
        if !self.is_of_user(&token, account, user) {
            return Err(RenewTokenError::Foreign(caller.principal.clone()));
        }
        self.extend_token(caller, (id, &token), duration_seconds).await
    }

    async fn extend_token(
        &self,
        caller: &Caller,
        (id, token): (&str, &TokenId),
        duration_seconds: Option<u32>,
    ) -> Result<Timestamp, RenewTokenError> {
        let ended = || RenewTokenError::Ended(id.to_owned());
        let lease_seconds = token
            .lease_seconds()
            .ok_or_else(|| RenewTokenError::NotRenewable(id.to_owned()))?;
        let (_, duration) =
            check_duration(duration_seconds.unwrap_or(lease_seconds)).ok_or(RenewTokenError::Duration)?;
        let now = self.clock().now();
        let end = token.expires_at();
        let end = caller.lineage.expires_at.map_or(end, |own| own.min(end));
        let until = later(now, duration).min(end);
        if !self.store().extend_lease(id, until, now).await? {
            return Err(ended());
        }
        self.gate().revocations().set_lease(id, until);
        Ok(until)
    }

    /// Revokes a token of the caller's (the administrator: of anybody's in the account). One that has ended is revoked
    /// already. A caller whose own token is limited revokes that one only.
    #[tracing::instrument(name = "authorization_token.revoke", skip_all)]
    pub async fn revoke_token(&self, caller: &Caller, id: &str) -> Result<(), RevokeTokenError> {
        if caller.principal.is_anonymous() {
            return Err(RevokeTokenError::Anonymous);
        }
        let token = TokenId::parse(id).ok_or_else(|| RevokeTokenError::Invalid(id.to_owned()))?;
        let is_own = caller.token_id.as_deref() == Some(id);
        if !(is_own || (caller.scopes.is_empty() && self.owns(caller, &token))) {
            return Err(RevokeTokenError::Foreign(caller.principal.clone()));
        }
        self.end_token(id, &token, &caller.principal).await
    }

    /// Revokes a token of a user's. One that has ended is revoked already.
    #[tracing::instrument(name = "user_token.revoke", skip_all, fields(user.name = %user))]
    pub async fn revoke_user_token(
        &self,
        granted: &Granted<kinds::CreateUserToken>,
        user: &UserName,
        id: &str,
    ) -> Result<(), RevokeTokenError> {
        let account = granted.resource();
        let token = TokenId::parse(id).ok_or_else(|| RevokeTokenError::Invalid(id.to_owned()))?;
        if !self.is_of_user(&token, account, user) {
            return Err(RevokeTokenError::Foreign(granted.caller().principal.clone()));
        }
        self.end_token(id, &token, &granted.caller().principal).await
    }

    /// Revokes a token; `by` has revoked one more.
    async fn end_token(&self, id: &str, token: &TokenId, by: &Principal) -> Result<(), RevokeTokenError> {
        let now = self.clock().now();
        if token.expires_at() > now {
            let owner = owner(by);
            self.store()
                .revoke_token(id, token.expires_at(), &owner, now)
                .await
                .map_err(|error| match error {
                    KeepTokenError::LimitExceeded => RevokeTokenError::TooMany,
                    KeepTokenError::Store(error) => error.into(),
                })?;
            self.gate().revocations().revoke(id);
        }
        Ok(())
    }

    fn is_of_user(&self, token: &TokenId, account: &AccountId, user: &UserName) -> bool {
        let principal = Principal::User(account.clone(), user.clone());
        token.is_of(self.gate().keys(), &principal)
    }

    fn owns(&self, caller: &Caller, token: &TokenId) -> bool {
        let keys = self.gate().keys();
        match &caller.principal {
            Principal::Anonymous => false,
            Principal::Root(_) => token.is_of_account(keys, &caller.principal),
            Principal::User(..) | Principal::Role(_) => token.is_of(keys, &caller.principal),
        }
    }
}

/// Whose tokens are counted together: those of all sessions of a role, whose names are the client's to choose.
fn owner(principal: &Principal) -> String {
    match PrincipalArn::of(principal) {
        Some(arn) => arn.to_string(),
        None => principal.to_string(),
    }
}

fn check_duration(seconds: u32) -> Option<(u32, SignedDuration)> {
    (MIN_TOKEN_SECONDS..=MAX_TOKEN_SECONDS)
        .contains(&seconds)
        .then(|| (seconds, SignedDuration::from_secs(seconds.into())))
}

fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_of_a_role_have_their_tokens_counted_together() {
        let session = |session: &str| {
            owner(&Principal::Role(hythe_access::RoleSession {
                account: "000000000000".parse().unwrap(),
                role: "ci".parse().unwrap(),
                session: session.parse().unwrap(),
            }))
        };
        assert_eq!(session("one"), session("two"));
        let root = Principal::Root("000000000000".parse().unwrap());
        assert_ne!(owner(&root), session("one"));
    }

    #[test]
    fn scopes_are_checked_and_made_canonical() {
        let scope = |repositories: &[&str], actions: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
            parse_scope(vec![ScopeEntry {
                repositories: texts(repositories),
                actions: texts(actions),
                account: None,
            }])
        };
        let parsed = scope(&["team-a/*", "web", "*"], &["ecr:batchgetimage", "ECR:batch*", "ecr:*"]).unwrap();
        assert_eq!(parsed.0[0].actions, ["ecr:BatchGetImage", "ecr:Batch*", "ecr:*"]);
        let cases: [(&[&str], &[&str], &str); 8] = [
            (&[], &["ecr:*"], "/0/repositories"),
            (&["*"], &[], "/0/actions"),
            (&["*", "Web"], &["ecr:*"], "/0/repositories/1"),
            (&["a*b"], &["ecr:*"], "/0/repositories/0"),
            (&["Web*"], &["ecr:*"], "/0/repositories/0"),
            (&["*"], &["ecr:*", "PutImage"], "/0/actions/1"),
            (&["*"], &["s3:*"], "/0/actions/0"),
            (&["*"], &["ecr:Push"], "/0/actions/0"),
        ];
        for (repositories, actions, pointer) in cases {
            assert_eq!(
                scope(repositories, actions).unwrap_err().0,
                pointer,
                "{repositories:?} {actions:?}"
            );
        }
        assert!(parse_scope(vec![]).is_err());
    }
}
