// SPDX-License-Identifier: Apache-2.0
//! What users, groups and roles have in common: their policies, and why they are not created, changed or deleted.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use hythe_access::{GroupName, PolicyName, Principal};
use hythe_model::{AccountId, ParseError, ResourceTags};
use hythe_rules::ManagedPolicy;
use jiff::Timestamp;

use crate::session::{Row, Session, corrupt, values};
use crate::{Store, StoreError};

/// The most policies that a user or a role has, not counting those of groups (IAM, "IAM object quotas", adjustable).
pub const MAX_POLICIES_PER_PRINCIPAL: usize = 20;
/// The most policies that a group has (IAM, "IAM object quotas").
pub const MAX_POLICIES_PER_GROUP: usize = 10;
/// What the managed policies are called in ECR, before the part that they share with ours.
const ECR_PREFIX: &str = "AmazonEC2ContainerRegistry";

/// A policy by its name: one that every deployment has, or one of the account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PolicyRef {
    /// One that every deployment has. No account has one of its own of the same name.
    Managed(ManagedPolicy),
    /// One of the account.
    Customer(PolicyName),
}

impl PolicyRef {
    /// A policy by its name or its ARN, as somebody in `account` writes it; ECR's names of the managed ones count too.
    pub fn parse(text: &str, account: &AccountId) -> Result<Self, ParseError> {
        let reason = "it must be the name of a policy, or the ARN of one of this account or of `aws`";
        let not_valid = || ParseError::new("policy", text, reason);
        let managed = |name: &str| {
            let name = name.strip_prefix(ECR_PREFIX).unwrap_or(name);
            name.parse::<ManagedPolicy>().ok().map(Self::Managed)
        };
        let Some(arn) = text.strip_prefix("arn:aws:iam::") else {
            return match managed(text) {
                Some(policy) => Ok(policy),
                None => text.parse().map(Self::Customer),
            };
        };
        let (owner, name) = arn.split_once(":policy/").ok_or_else(not_valid)?;
        if owner == "aws" {
            return managed(name).ok_or_else(not_valid);
        }
        if owner != account.as_str() || managed(name).is_some() {
            return Err(not_valid());
        }
        name.parse().map(Self::Customer)
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Managed(policy) => policy.as_str(),
            Self::Customer(name) => name.as_str(),
        }
    }

    /// Brings policies into the order of records: by name, each once.
    pub fn sort(policies: &mut Vec<Self>) {
        policies.sort_by(|one, other| one.as_str().cmp(other.as_str()));
        policies.dedup();
    }

    /// The ARN, for the principals of `account`.
    #[must_use]
    pub fn arn(&self, account: &AccountId) -> String {
        match self {
            Self::Managed(policy) => format!("arn:aws:iam::aws:policy/{policy}"),
            Self::Customer(name) => format!("arn:aws:iam::{account}:policy/{name}"),
        }
    }
}

/// The name, as rows have it.
impl FromStr for PolicyRef {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<ManagedPolicy>() {
            Ok(policy) => Ok(Self::Managed(policy)),
            Err(_) => text.parse().map(Self::Customer),
        }
    }
}

impl fmt::Display for PolicyRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// A change of which policies a principal has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttachmentChange {
    /// These and no others.
    Replace(Vec<PolicyRef>),
    /// This one as well.
    Attach(PolicyRef),
    /// This one no longer.
    Detach(PolicyRef),
}

impl AttachmentChange {
    /// What comes of `before`: sorted, each once.
    pub(crate) fn apply(&self, before: &[PolicyRef]) -> Vec<PolicyRef> {
        let mut after = match self {
            Self::Replace(policies) => policies.clone(),
            Self::Attach(policy) => [before, std::slice::from_ref(policy)].concat(),
            Self::Detach(policy) => before.iter().filter(|one| *one != policy).cloned().collect(),
        };
        PolicyRef::sort(&mut after);
        after
    }
}

/// Everything about a principal that decides what it may do, but the texts of its policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalPolicies {
    /// Its policies and those of its groups, each once.
    pub attached: Vec<PolicyRef>,
    /// What limits it at most.
    pub boundary: Option<PolicyRef>,
    /// Its resource tags, which conditions see as `aws:PrincipalTag/<key>`.
    pub tags: ResourceTags,
    /// The groups it is in, by name.
    pub groups: Vec<GroupName>,
    /// Whether it may be used, its end apart: its account is open, and it is not disabled.
    pub is_enabled: bool,
    /// When its credentials stop being good.
    pub expires_at: Option<Timestamp>,
    /// When it was created: documents from before mean another one of its name.
    pub created_at: Timestamp,
}

impl PrincipalPolicies {
    /// Whether its credentials are good at `now`.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.is_enabled && self.expires_at.is_none_or(|end| now < end)
    }
}

/// Why a user, a group or a role was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreatePrincipalError {
    /// The account has one of this name, maybe in another case.
    #[error("there is one of this name already")]
    AlreadyExists,
    /// The account has as many as one may have.
    #[error("an account has at most {0} of them")]
    LimitExceeded(u64),
    /// There is no such policy.
    #[error("the policy `{0}` does not exist")]
    PolicyUnknown(PolicyRef),
    /// More policies than one may have.
    #[error("it would have more than {0} policies")]
    TooManyPolicies(usize),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a user, a group or a role was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdatePrincipalError {
    /// The account has none of this name.
    #[error("it does not exist")]
    Unknown,
    /// Somebody changed it since the expected version was read.
    #[error("it was changed in the meantime")]
    VersionMismatch,
    /// There is no such policy.
    #[error("the policy `{0}` does not exist")]
    PolicyUnknown(PolicyRef),
    /// More policies than one may have.
    #[error("it would have more than {0} policies")]
    TooManyPolicies(usize),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a user, a group or a role was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeletePrincipalError {
    /// The account has none of this name.
    #[error("it does not exist")]
    Unknown,
    /// Somebody changed it since the expected version was read.
    #[error("it was changed in the meantime")]
    VersionMismatch,
    /// It is a group, and has so many members.
    #[error("it has {0} members")]
    HasMembers(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why policies were not given to a principal.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PoliciesError {
    #[error("the policy `{0}` does not exist")]
    Unknown(PolicyRef),
    #[error("too many policies")]
    TooMany(usize),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<PoliciesError> for CreatePrincipalError {
    fn from(error: PoliciesError) -> Self {
        match error {
            PoliciesError::Unknown(policy) => Self::PolicyUnknown(policy),
            PoliciesError::TooMany(most) => Self::TooManyPolicies(most),
            PoliciesError::Store(error) => Self::Store(error),
        }
    }
}

impl From<PoliciesError> for UpdatePrincipalError {
    fn from(error: PoliciesError) -> Self {
        match error {
            PoliciesError::Unknown(policy) => Self::PolicyUnknown(policy),
            PoliciesError::TooMany(most) => Self::TooManyPolicies(most),
            PoliciesError::Store(error) => Self::Store(error),
        }
    }
}

/// What kind of principal a row of `policy_use` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    User,
    Group,
    Role,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        }
    }

    fn max_policies(self) -> usize {
        match self {
            Self::User | Self::Role => MAX_POLICIES_PER_PRINCIPAL,
            Self::Group => MAX_POLICIES_PER_GROUP,
        }
    }
}

const POLICY_EXISTS: &str = "SELECT version FROM policy WHERE account_id = $1 AND name = $2";
const FORGET_USES: &str = "DELETE FROM policy_use WHERE account_id = $1 AND kind = $2 AND name = $3";
const INSERT_USE: &str =
    "INSERT INTO policy_use (account_id, policy, kind, name, is_boundary) VALUES ($1, $2, $3, $4, $5)";

/// Writes down which policies a principal has, after a look whether there are such policies. `new` ones are looked at,
/// those that the principal had before are taken to be there.
pub(crate) async fn set_uses(
    session: &mut Session,
    account: &AccountId,
    (kind, name): (Kind, &str),
    policies: &[PolicyRef],
    boundary: Option<&PolicyRef>,
) -> Result<(), PoliciesError> {
    if policies.len() > kind.max_policies() {
        return Err(PoliciesError::TooMany(kind.max_policies()));
    }
    forget_uses(session, account, (kind, name)).await?;
    let attached = policies.iter().map(|policy| (policy, false));
    for (policy, is_boundary) in attached.chain(boundary.map(|policy| (policy, true))) {
        if let PolicyRef::Customer(customer) = policy {
            let found = session
                .fetch_optional(POLICY_EXISTS, values![account, customer])
                .await?;
            if found.is_none() {
                return Err(PoliciesError::Unknown(policy.clone()));
            }
        }
        let values = values![account, policy.as_str(), kind.as_str(), name, is_boundary];
        session.execute(INSERT_USE, values).await?;
    }
    Ok(())
}

/// Forgets which policies a principal had.
pub(crate) async fn forget_uses(
    session: &mut Session,
    account: &AccountId,
    (kind, name): (Kind, &str),
) -> Result<(), StoreError> {
    let values = values![account, kind.as_str(), name];
    session.execute(FORGET_USES, values).await.map(drop)
}

pub(crate) fn policies_column(policies: &[PolicyRef]) -> Result<String, StoreError> {
    let names: Vec<&str> = policies.iter().map(PolicyRef::as_str).collect();
    Ok(serde_json::to_string(&names)?)
}

pub(crate) fn read_policies(row: &Row, column: usize) -> Result<Vec<PolicyRef>, StoreError> {
    let names: Vec<String> = serde_json::from_str(&row.text(column)?)?;
    names.iter().map(|name| name.parse().map_err(corrupt)).collect()
}

pub(crate) fn read_tags(row: &Row, column: usize) -> Result<ResourceTags, StoreError> {
    let tags: BTreeMap<String, String> = serde_json::from_str(&row.text(column)?)?;
    ResourceTags::new(tags).map_err(corrupt)
}

/// Whether a version is another one than the expected one, if one is expected.
pub(crate) fn is_other(version: i64, expected: Option<i64>) -> bool {
    expected.is_some_and(|expected| expected != version)
}

const OF_USER: &str = "
    SELECT app_user.policies, boundary, tags, is_disabled OR COALESCE(account.is_closed, TRUE), expires_ms,
           app_user.created_ms
      FROM app_user LEFT JOIN account ON account.id = app_user.account_id
     WHERE app_user.account_id = $1 AND app_user.name = $2";
const OF_ROLE: &str = "
    SELECT app_role.policies, boundary, tags, COALESCE(account.is_closed, TRUE), app_role.created_ms
      FROM app_role LEFT JOIN account ON account.id = app_role.account_id
     WHERE app_role.account_id = $1 AND app_role.name = $2";
const OF_GROUPS: &str = "
    SELECT app_group.name, app_group.policies
      FROM group_member JOIN app_group
        ON app_group.account_id = group_member.account_id AND app_group.name = group_member.group_name
     WHERE group_member.account_id = $1 AND group_member.user_name = $2
     ORDER BY app_group.name";

impl Store {
    /// What decides about what a principal may do; `None` if there is no such principal, and for anonymous. The
    /// administrator of an account has no policies: it may do everything in it.
    pub async fn principal_policies(&self, principal: &Principal) -> Result<Option<PrincipalPolicies>, StoreError> {
        let mut session = self.reader().await?;
        match principal {
            Principal::Anonymous => Ok(None),
            Principal::Root(account) => {
                drop(session);
                Ok(self.account(account).await?.map(|account| PrincipalPolicies {
                    attached: Vec::new(),
                    boundary: None,
                    tags: ResourceTags::default(),
                    groups: Vec::new(),
                    is_enabled: !account.is_closed,
                    expires_at: None,
                    created_at: account.created_at,
                }))
            }
            Principal::User(account, name) => {
                let Some(row) = session.fetch_optional(OF_USER, values![account, name]).await? else {
                    return Ok(None);
                };
                let mut attached = read_policies(&row, 0)?;
                let mut groups = Vec::new();
                for group in session.fetch_all(OF_GROUPS, values![account, name]).await? {
                    groups.push(group.parsed(0)?);
                    attached.extend(read_policies(&group, 1)?);
                }
                attached.sort();
                attached.dedup();
                Ok(Some(PrincipalPolicies {
                    attached,
                    boundary: row.optional_parsed(1)?,
                    tags: read_tags(&row, 2)?,
                    groups,
                    is_enabled: !row.bool(3)?,
                    expires_at: row.optional_time(4)?,
                    created_at: row.time(5)?,
                }))
            }
            Principal::Role(role) => {
                let values = values![&role.account, &role.role];
                let Some(row) = session.fetch_optional(OF_ROLE, values).await? else {
                    return Ok(None);
                };
                Ok(Some(PrincipalPolicies {
                    attached: read_policies(&row, 0)?,
                    boundary: row.optional_parsed(1)?,
                    tags: read_tags(&row, 2)?,
                    groups: Vec::new(),
                    is_enabled: !row.bool(3)?,
                    expires_at: None,
                    created_at: row.time(4)?,
                }))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_named_in_many_ways() {
        let account: AccountId = "111111111111".parse().unwrap();
        let cases = [
            ("ReadOnly", Some("ReadOnly")),
            ("AmazonEC2ContainerRegistryPowerUser", Some("PowerUser")),
            ("arn:aws:iam::aws:policy/FullAccess", Some("FullAccess")),
            (
                "arn:aws:iam::aws:policy/AmazonEC2ContainerRegistryPullOnly",
                Some("PullOnly"),
            ),
            ("team-a", Some("team-a")),
            ("arn:aws:iam::111111111111:policy/team-a", Some("team-a")),
            ("arn:aws:iam::222222222222:policy/team-a", None),
            ("arn:aws:iam::111111111111:policy/ReadOnly", None),
            ("arn:aws:iam::aws:policy/team-a", None),
            ("arn:aws:iam::111111111111:user/team-a", None),
            ("a b", None),
            ("", None),
        ];
        for (text, want) in cases {
            let policy = PolicyRef::parse(text, &account).ok();
            assert_eq!(policy.as_ref().map(PolicyRef::as_str), want, "{text}");
            if let Some(policy) = policy {
                assert_eq!(policy.as_str().parse(), Ok(policy.clone()), "{text}");
                assert_eq!(PolicyRef::parse(&policy.arn(&account), &account), Ok(policy), "{text}");
            }
        }
    }

    #[test]
    fn changes_keep_policies_sorted_and_single() {
        let policies = |text: &str| -> Vec<PolicyRef> { text.split(' ').map(|name| name.parse().unwrap()).collect() };
        let before = policies("ReadOnly a");
        let cases = [
            (AttachmentChange::Attach("b".parse().unwrap()), "ReadOnly a b"),
            (AttachmentChange::Attach("a".parse().unwrap()), "ReadOnly a"),
            (AttachmentChange::Detach("a".parse().unwrap()), "ReadOnly"),
            (AttachmentChange::Replace(policies("z PullOnly z")), "PullOnly z"),
        ];
        for (change, want) in cases {
            assert_eq!(change.apply(&before), policies(want), "{change:?}");
        }
    }
}
