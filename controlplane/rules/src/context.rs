// SPDX-License-Identifier: Apache-2.0
//! What is to be decided, and what is known about it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use hythe_access::{Action, Attributes, Principal, RequestContext};
use hythe_model::AccountId;
use jiff::Timestamp;

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub enum Requester<'a> {
    /// Somebody with the rights that policies give.
    Principal(&'a Principal),
    /// The administrator of the deployment, who counts as the administrator of every account. Only a denial stops it.
    Administrator(&'a Principal),
    /// Somebody with a token of an identity provider, by the ARN of the provider; asks for a role.
    Federated(&'a str),
    /// A service, for which the policies of resources decide alone.
    Service(&'a str),
}

impl<'a> Requester<'a> {
    /// The principal; `None` for one of another kind.
    #[must_use]
    pub fn principal(&self) -> Option<&'a Principal> {
        match self {
            Self::Principal(principal) | Self::Administrator(principal) => Some(principal),
            Self::Federated(_) | Self::Service(_) => None,
        }
    }

    /// Whether it belongs to `account`.
    #[must_use]
    pub fn is_of(&self, account: &AccountId) -> bool {
        match self {
            Self::Administrator(_) => true,
            Self::Principal(principal) => principal.account() == Some(account),
            Self::Federated(_) | Self::Service(_) => false,
        }
    }

    /// Whether it needs no policy of its own.
    pub(crate) fn is_root(&self) -> bool {
        matches!(self, Self::Administrator(_) | Self::Principal(Principal::Root(_)))
    }
}

/// As in error texts.
impl fmt::Display for Requester<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Principal(Principal::Anonymous) => formatter.write_str("anonymous"),
            Self::Principal(principal) | Self::Administrator(principal) => principal.fmt(formatter),
            Self::Federated(name) | Self::Service(name) => formatter.write_str(name),
        }
    }
}

/// What conditions and variables may ask about. What is `None` or empty is absent: a condition about it does not hold,
/// unless it is a denial or says `IfExists`.
#[derive(Clone, Copy, Debug, Default)]
pub struct ConditionContext<'a> {
    /// The time (`aws:CurrentTime`, `aws:EpochTime`).
    pub now: Option<Timestamp>,
    /// When the session began, or the first of the tokens on the way was made (`aws:TokenIssueTime`).
    pub token_issued_at: Option<Timestamp>,
    /// The address of the client.
    pub source_ip: Option<IpAddr>,
    /// Whether the request came over TLS.
    pub is_secure: Option<bool>,
    /// What the client calls itself.
    pub user_agent: Option<&'a str>,
    /// The region of the deployment (`aws:RequestedRegion`).
    pub region: Option<&'a str>,
    /// What the request names: image tags and resource tags.
    pub request: Option<&'a RequestContext>,
    /// The tags of the resource (`aws:ResourceTag/…`, `ecr:ResourceTag/…`).
    pub resource_tags: Option<&'a BTreeMap<String, String>>,
    /// The tags of the principal (`aws:PrincipalTag/…`).
    pub principal_tags: Option<&'a BTreeMap<String, String>>,
    /// What the session brought with it: claims, and tags of the session as `aws:PrincipalTag/…`.
    pub attributes: Option<&'a Attributes>,
    /// For simulations: values by key, in lower case, before which all others step back.
    pub given: Option<&'a Attributes>,
}

/// What is to be decided.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub requester: Requester<'a>,
    /// What for.
    pub action: Action,
    /// On what: the ARN of a repository, a role or what else there is in an account, or `*` for an action on the registry
    /// or the account as a whole. One `*` at the end of an ARN stands for everything that begins so: all of it must be allowed, and
    /// nothing of it denied.
    pub resource: &'a str,
    /// The account that owns the resource.
    pub owner: &'a AccountId,
    /// The circumstances.
    pub context: &'a ConditionContext<'a>,
}

impl Request<'_> {
    /// The text of a denial for a reason of the caller's.
    #[must_use]
    pub fn denial(&self, because: &str) -> String {
        format!(
            "User: {} is not authorized to perform: {} on resource: {} {because}",
            self.requester, self.action, self.resource
        )
    }
}
