// SPDX-License-Identifier: Apache-2.0
//! What the planes ask of access control.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::{self, Debug};
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use hythe_model::{AccountId, RepositoryPath};
use jiff::Timestamp;

use crate::{Action, Caller, RolePath, Secret, SessionName, Throttled, TokenScope};

/// What an action works on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A repository.
    Repository(RepositoryPath),
    /// A registry as a whole, by its account.
    Registry(AccountId),
    /// A role.
    Role(RolePath),
}

impl Resource {
    /// The account that owns it.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        match self {
            Self::Repository(path) => &path.account,
            Self::Registry(account) => account,
            Self::Role(role) => &role.account,
        }
    }
}

impl From<RolePath> for Resource {
    fn from(role: RolePath) -> Self {
        Self::Role(role)
    }
}

impl From<RepositoryPath> for Resource {
    fn from(path: RepositoryPath) -> Self {
        Self::Repository(path)
    }
}

impl From<AccountId> for Resource {
    fn from(account: AccountId) -> Self {
        Self::Registry(account)
    }
}

/// What a request brought to show who sent it.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// Nothing.
    None,
    /// User and password: `AWS` with an authorization token, or an access key id with its secret.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: Secret,
    },
    /// An authorization token, or one of the Docker token flow.
    Bearer(Secret),
}

/// Why credentials do not show who sent a request. The texts are ECR's where ECR has one.
#[derive(Debug, thiserror::Error)]
pub enum AuthenticationError {
    /// Unknown user or key, wrong password, or a token that was not signed here.
    #[error("Not Authorized")]
    Rejected,
    /// The token is past its time.
    #[error("Your authorization token has expired. Reauthenticate and try again.")]
    Expired,
    /// The token was revoked.
    #[error("Your authorization token has been revoked. Reauthenticate and try again.")]
    Revoked,
    /// The key exists and is switched off.
    #[error("The access key is inactive")]
    Inactive,
    /// The account is closed, or the user is disabled or past its end.
    #[error("The account is closed, or the user is disabled or has expired")]
    Disabled,
    /// Too many logins have failed where this one comes from.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// The store behind the gate does not answer.
    #[error("cannot check the credentials")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// What a request says that conditions of policies may ask about, besides who sends it and from where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestContext {
    /// The image tags that the request names (`ecr:ImageTag`): those to be set, read or deleted. Empty for a request
    /// that names digests only.
    pub image_tags: Vec<String>,
    /// The resource tags in the request (`aws:RequestTag/…`); their names are `aws:TagKeys`.
    pub request_tags: BTreeMap<String, String>,
    /// Names of resource tags in the request that come without values, as in their removal; `aws:TagKeys` too.
    pub tag_keys: Vec<String>,
    /// The ARN of what the request is about within an account: a user, a group, a role that is administered, a policy or
    /// an identity provider. To policies it is the resource.
    pub about: Option<Arc<str>>,
    /// What the session of a role shall be called that the request opens (`sts:RoleSessionName`).
    pub role_session_name: Option<SessionName>,
    /// The setting of the registry that the request reads or changes (`ecr:AccountSetting`).
    pub account_setting: Option<&'static str>,
}

impl RequestContext {
    /// A request that names this image tag.
    pub fn of_image_tag(tag: impl Into<String>) -> Self {
        Self {
            image_tags: vec![tag.into()],
            ..Self::default()
        }
    }
}

/// A no, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why, in ECR's words.
    pub reason: String,
    /// Whether a statement denies it, rather than that none allows it.
    pub is_explicit: bool,
}

impl fmt::Display for Denial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

/// For a reason without a statement.
impl From<String> for Denial {
    fn from(reason: String) -> Self {
        Self {
            reason,
            is_explicit: false,
        }
    }
}

impl From<&str> for Denial {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

/// The statement of a policy that a yes rests on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grounds {
    /// The kind of its policy, such as `identity-based policy`.
    pub kind: &'static str,
    /// The name of its policy, if it has one.
    pub policy: Option<Arc<str>>,
    /// Which of the policy's statements, from 1.
    pub number: usize,
    /// The name that its author gave it.
    pub sid: Option<Arc<str>>,
}

/// As an explanation of the decision names it.
impl fmt::Display for Grounds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "statement {}", self.number)?;
        if let Some(sid) = &self.sid {
            write!(formatter, " (`{sid}`)")?;
        }
        write!(formatter, " of the {}", self.kind)?;
        match &self.policy {
            Some(policy) => write!(formatter, " `{policy}`"),
            None => Ok(()),
        }
    }
}

/// The answer to "may this caller?", with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes, because of this statement; `None` for administrators, who need none.
    Allowed(Option<Grounds>),
    /// No.
    Denied(Denial),
}

impl Decision {
    /// Whether it is a yes.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// The store behind the gate does not answer.
#[derive(Debug, thiserror::Error)]
#[error("cannot decide whether the request is allowed")]
pub struct GateError(#[source] pub Box<dyn Error + Send + Sync>);

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// What it would have to say does not fit into a token.
    #[error("the token would be too long: ask for fewer scopes, or log in with an access key")]
    TooLong,
    /// The gate does not answer.
    #[error(transparent)]
    Unavailable(#[from] GateError),
}

/// A token, and until when it is good.
#[derive(Clone, Debug)]
pub struct IssuedToken {
    /// The token; also the password of user `AWS`.
    pub token: Secret,
    /// When it was made.
    pub issued_at: Timestamp,
    /// When it stops being good.
    pub expires_at: Timestamp,
}

/// Access control, as the planes see it.
#[async_trait]
pub trait Gate: Debug + Send + Sync {
    /// Finds out whose credentials these are. The circumstances of the request (address, TLS) are the
    /// caller's to fill in.
    async fn authenticate(&self, credentials: &Credentials) -> Result<Caller, AuthenticationError>;

    /// As [`Self::authenticate`], of a request from `source`: a gate may slow down those who fail. It takes note of both.
    async fn authenticate_from(
        &self,
        _source: Option<IpAddr>,
        credentials: &Credentials,
    ) -> Result<Caller, AuthenticationError> {
        self.authenticate(credentials).await
    }

    /// Whether the caller may ask for `action` now, or has to wait as it has asked too often. To be called once for each
    /// request, with its first action, when the circumstances are filled in.
    fn admit(&self, _caller: &Caller, _action: Action) -> Result<(), Throttled> {
        Ok(())
    }

    /// Whether `caller` may do `action` on `resource`, by everything that is known now.
    async fn decide(
        &self,
        caller: &Caller,
        action: Action,
        resource: &Resource,
        context: &RequestContext,
    ) -> Result<Decision, GateError>;

    /// To be called before [`Self::decide`] is called for each of these repositories, which are of one account, ordered by
    /// name, and nearly all there are between the first and the last: a gate may read together what it would read for
    /// each. Decides nothing.
    async fn expect(&self, _repositories: &[RepositoryPath]) -> Result<(), GateError> {
        Ok(())
    }

    /// Makes a token for the same principal with at most the rights of `caller`, limited further to
    /// `scope`. It never outlives the token that `caller` used.
    async fn issue(&self, caller: &Caller, scope: TokenScope) -> Result<IssuedToken, IssueError>;
}
