// SPDX-License-Identifier: Apache-2.0
//! What the operations on users, groups and roles have in common.

use std::fmt;

use hythe_access::{ActionKind, Caller, Granted, Principal};
use hythe_meta::{MembershipError as Refusal, PolicyRef, StoreError};
use hythe_model::{AccountId, ResourceTags, in_millis};
use jiff::Timestamp;

use crate::policy_document::CheckError;
use crate::{ControlPlane, DocumentError};

/// The longest description of a user, a group or a role, in characters (IAM, "IAM object quotas").
pub const MAX_DESCRIPTION_CHARS: usize = 1000;

/// What kind of principal something is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noun {
    /// Users.
    User,
    /// Groups.
    Group,
    /// Roles.
    Role,
}

impl fmt::Display for Noun {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Role => "role",
        })
    }
}

/// There is none of this name. The text is IAM's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The {noun} with name '{name}' does not exist in the account with id '{account}'")]
pub struct UnknownPrincipal {
    /// What it would be.
    pub noun: Noun,
    /// Its name.
    pub name: String,
    /// The account.
    pub account: AccountId,
}

/// Somebody with a permissions boundary would make or change somebody without it, and so get around it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "you are limited by the permissions boundary `{0}`: whomever you create, give other policies or tags, make credentials \
     for, put into groups or open to others must have the same one, which groups and identity providers cannot; and you \
     cannot change your own"
)]
pub struct Bounded(pub PolicyRef);

/// Why a user, a group or a role was not found.
#[derive(Debug, thiserror::Error)]
pub enum PrincipalError {
    /// There is none of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownPrincipal),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a user, a group or a role was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreatePrincipalError {
    /// There is one of this name.
    #[error(
        "The {0} with name '{1}' already exists in the account with id '{2}', in this or another case: choose another name"
    )]
    AlreadyExists(Noun, String, AccountId),
    /// The account has as many as it may have.
    #[error("the account has as many {0}s as it may have, {1}: delete some first")]
    LimitExceeded(Noun, u64),
    /// There is no such policy.
    #[error("the policy `{0}` does not exist in the account: create it first, or name another")]
    PolicyUnknown(PolicyRef),
    /// It would have more policies than it may have.
    #[error("a {0} may have at most {1} policies: put what they say into fewer, or use groups")]
    TooManyPolicies(Noun, usize),
    /// The trust policy names a principal that is not there.
    #[error(transparent)]
    TrustPolicy(#[from] DocumentError),
    /// The caller would get around its own boundary.
    #[error(transparent)]
    Bounded(#[from] Bounded),
    /// The permissions are for different accounts.
    #[error("the permissions are for different accounts")]
    Mixed,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a user, a group or a role was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdatePrincipalError {
    /// The request names nothing to change.
    #[error("the request changes nothing: give at least one setting")]
    Nothing,
    /// There is none of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownPrincipal),
    /// It has changed since the version that the request names.
    #[error("the {0} has changed since you read it: read it again and decide anew")]
    VersionMismatch(Noun),
    /// There is no such policy.
    #[error("the policy `{0}` does not exist in the account: create it first, or name another")]
    PolicyUnknown(PolicyRef),
    /// It would have more policies than it may have.
    #[error("a {0} may have at most {1} policies: put what they say into fewer, or use groups")]
    TooManyPolicies(Noun, usize),
    /// The trust policy names a principal that is not there.
    #[error(transparent)]
    TrustPolicy(#[from] DocumentError),
    /// The caller would get around its own boundary.
    #[error(transparent)]
    Bounded(#[from] Bounded),
    /// The permissions are for different accounts.
    #[error("the permissions are for different accounts")]
    Mixed,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a user, a group or a role was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeletePrincipalError {
    /// There is none of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownPrincipal),
    /// It has changed since the version that the request names.
    #[error("the {0} has changed since you read it: read it again and decide anew")]
    VersionMismatch(Noun),
    /// It is a group, and has so many members.
    #[error("Cannot delete the group '{0}', which has {1} members: remove them from it first")]
    HasMembers(String, u64),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why somebody did not become a member of a group, or did not stop being one.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// There is no such group, or no such user.
    #[error(transparent)]
    Unknown(#[from] UnknownPrincipal),
    /// The caller would get around its own boundary.
    #[error(transparent)]
    Bounded(#[from] Bounded),
    /// The user is in as many groups as one may be.
    #[error("the user '{0}' is in {1} groups, and that is the most: remove it from one first")]
    TooManyGroups(String, u64),
    /// The group has as many members as one may have.
    #[error("the group '{0}' has {1} members, and that is the most: make another group")]
    TooManyMembers(String, u64),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a replacement of all tags of a user or a role takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedPrincipalTags {
    /// The keys of the tags that are removed.
    pub removed: Vec<String>,
    /// The version of the user or the role that has them.
    pub version: i64,
}

impl ReplacedPrincipalTags {
    pub(crate) fn of(before: &ResourceTags, after: &ResourceTags, version: i64) -> Self {
        let keys = before.as_map().keys();
        Self {
            removed: keys.filter(|key| !after.as_map().contains_key(*key)).cloned().collect(),
            version,
        }
    }
}

/// The tags that a user or a role shall have instead of all its own, with the permissions to set some and to remove others:
/// those that are removed from this version.
#[derive(Debug)]
pub struct TagReplacement<T: ActionKind, U: ActionKind> {
    /// The permission to set tags.
    pub tagging: Granted<T>,
    /// The permission to remove those that are gone.
    pub untagging: Granted<U>,
    /// The tags.
    pub tags: ResourceTags,
    /// The version from which it was found out which are gone.
    pub version: i64,
}

/// The one account that all permissions of a change are for.
pub(crate) fn only_account<const N: usize>(
    accounts: [Option<&AccountId>; N],
) -> Result<AccountId, UpdatePrincipalError> {
    let mut accounts = accounts.into_iter().flatten();
    let account = accounts.next().ok_or(UpdatePrincipalError::Nothing)?;
    if accounts.any(|other| other != account) {
        return Err(UpdatePrincipalError::Mixed);
    }
    Ok(account.clone())
}

/// Whom an operation is about, for its errors.
pub(crate) struct About<'a> {
    pub(crate) noun: Noun,
    pub(crate) name: &'a str,
    pub(crate) account: &'a AccountId,
}

impl About<'_> {
    pub(crate) fn unknown(&self) -> UnknownPrincipal {
        UnknownPrincipal {
            noun: self.noun,
            name: self.name.to_owned(),
            account: self.account.clone(),
        }
    }

    pub(crate) fn created(&self, error: hythe_meta::CreatePrincipalError) -> CreatePrincipalError {
        use hythe_meta::CreatePrincipalError as Refusal;
        match error {
            Refusal::AlreadyExists => {
                CreatePrincipalError::AlreadyExists(self.noun, self.name.to_owned(), self.account.clone())
            }
            Refusal::LimitExceeded(most) => CreatePrincipalError::LimitExceeded(self.noun, most),
            Refusal::PolicyUnknown(policy) => CreatePrincipalError::PolicyUnknown(policy),
            Refusal::TooManyPolicies(most) => CreatePrincipalError::TooManyPolicies(self.noun, most),
            Refusal::Store(error) => error.into(),
        }
    }

    pub(crate) fn updated(&self, error: hythe_meta::UpdatePrincipalError) -> UpdatePrincipalError {
        use hythe_meta::UpdatePrincipalError as Refusal;
        match error {
            Refusal::Unknown => self.unknown().into(),
            Refusal::VersionMismatch => UpdatePrincipalError::VersionMismatch(self.noun),
            Refusal::PolicyUnknown(policy) => UpdatePrincipalError::PolicyUnknown(policy),
            Refusal::TooManyPolicies(most) => UpdatePrincipalError::TooManyPolicies(self.noun, most),
            Refusal::Store(error) => error.into(),
        }
    }

    pub(crate) fn deleted(&self, error: hythe_meta::DeletePrincipalError) -> DeletePrincipalError {
        use hythe_meta::DeletePrincipalError as Refusal;
        match error {
            Refusal::Unknown => self.unknown().into(),
            Refusal::VersionMismatch => DeletePrincipalError::VersionMismatch(self.noun),
            Refusal::HasMembers(count) => DeletePrincipalError::HasMembers(self.name.to_owned(), count),
            Refusal::Store(error) => error.into(),
        }
    }

    /// `self` is the group.
    pub(crate) fn membership(&self, user: &str, error: Refusal) -> MembershipError {
        match error {
            Refusal::GroupUnknown => self.unknown().into(),
            Refusal::UserUnknown => UnknownPrincipal {
                noun: Noun::User,
                name: user.to_owned(),
                account: self.account.clone(),
            }
            .into(),
            Refusal::TooManyGroups(most) => MembershipError::TooManyGroups(user.to_owned(), most),
            Refusal::TooManyMembers(most) => MembershipError::TooManyMembers(self.name.to_owned(), most),
            Refusal::Store(error) => error.into(),
        }
    }
}

/// Why the boundary of the caller is in the way.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BoundaryError {
    #[error(transparent)]
    Bounded(#[from] Bounded),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CheckError> for CreatePrincipalError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Document(error) => error.into(),
            CheckError::Store(error) => error.into(),
        }
    }
}

impl From<CheckError> for UpdatePrincipalError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Document(error) => error.into(),
            CheckError::Store(error) => error.into(),
        }
    }
}

impl From<BoundaryError> for CreatePrincipalError {
    fn from(error: BoundaryError) -> Self {
        match error {
            BoundaryError::Bounded(error) => error.into(),
            BoundaryError::Store(error) => error.into(),
        }
    }
}

impl From<BoundaryError> for UpdatePrincipalError {
    fn from(error: BoundaryError) -> Self {
        match error {
            BoundaryError::Bounded(error) => error.into(),
            BoundaryError::Store(error) => error.into(),
        }
    }
}

impl From<BoundaryError> for MembershipError {
    fn from(error: BoundaryError) -> Self {
        match error {
            BoundaryError::Bounded(error) => error.into(),
            BoundaryError::Store(error) => error.into(),
        }
    }
}

impl ControlPlane {
    /// The time as a row gives it back, so that an answer says the same before and after it was stored.
    pub(crate) fn stored_now(&self) -> Timestamp {
        in_millis(self.clock().now())
    }

    /// Refuses what would let a caller with a permissions boundary act beyond it through somebody in `account` who has
    /// `theirs`. In another account the boundary's name means another policy.
    pub(crate) async fn check_boundary(
        &self,
        caller: &Caller,
        account: &AccountId,
        theirs: Option<&PolicyRef>,
    ) -> Result<(), BoundaryError> {
        match self.boundary_of(caller).await? {
            Some(own) if caller.principal.account() != Some(account) || theirs != Some(&own) => {
                Err(Bounded(own).into())
            }
            _ => Ok(()),
        }
    }

    /// Refuses a change of a boundary by somebody who has one: of its own at all, and of others to another.
    pub(crate) async fn check_boundary_change(
        &self,
        caller: &Caller,
        account: &AccountId,
        is_self: bool,
        wanted: Option<&PolicyRef>,
    ) -> Result<(), BoundaryError> {
        match self.boundary_of(caller).await? {
            Some(own) if is_self => Err(Bounded(own).into()),
            _ => self.check_boundary(caller, account, wanted).await,
        }
    }

    async fn boundary_of(&self, caller: &Caller) -> Result<Option<PolicyRef>, StoreError> {
        match &caller.principal {
            Principal::Anonymous | Principal::Root(_) => Ok(None),
            Principal::User(..) | Principal::Role(_) => {
                let found = self.store().principal_policies(&caller.principal).await?;
                Ok(found.and_then(|principal| principal.boundary))
            }
        }
    }
}
