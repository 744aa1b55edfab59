// SPDX-License-Identifier: Apache-2.0
//! Groups of users of an account.

use hythe_access::{GroupName, UserName};
use hythe_model::AccountId;
use jiff::Timestamp;

use crate::principal::PolicyRef;
use crate::principal::{
    AttachmentChange, CreatePrincipalError, DeletePrincipalError, Kind, UpdatePrincipalError, forget_uses, is_other,
    policies_column, read_policies, set_uses,
};
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most groups of one account (IAM, "IAM object quotas"). Creates that run at the same time may overshoot it by
/// their number.
pub const MAX_GROUPS_PER_ACCOUNT: u64 = 300;
/// The most groups that one user is in (IAM, "IAM object quotas").
pub const MAX_GROUPS_PER_USER: u64 = 10;
/// The most members of one group: they all come in one answer.
pub const MAX_MEMBERS_PER_GROUP: u64 = 1000;

/// A group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRecord {
    /// The account that the group belongs to.
    pub account: AccountId,
    /// The name within the account.
    pub name: GroupName,
    /// What it is for.
    pub description: String,
    /// The policies that its members have; sorted by name.
    pub policies: Vec<PolicyRef>,
    /// Its members, by name; `None` in lists. Creating ignores them.
    pub members: Option<Vec<UserName>>,
    /// When it was created.
    pub created_at: Timestamp,
    /// Counts the changes, those of members too, from 1; creating ignores it.
    pub version: i64,
}

/// What to change about a group; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct GroupChange {
    /// What it is for.
    pub description: Option<String>,
    /// Its policies.
    pub policies: Option<AttachmentChange>,
}

/// Why somebody did not become a member of a group, or did not stop being one.
#[derive(Debug, thiserror::Error)]
pub enum MembershipError {
    /// The account has no such group.
    #[error("the group does not exist")]
    GroupUnknown,
    /// The account has no such user.
    #[error("the user does not exist")]
    UserUnknown,
    /// The user is in as many groups as one may be.
    #[error("a user is in at most {0} groups")]
    TooManyGroups(u64),
    /// The group has as many members as one may have.
    #[error("a group has at most {0} members")]
    TooManyMembers(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl GroupRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: row.parsed(0)?,
            name: row.parsed(1)?,
            description: row.text(2)?,
            policies: read_policies(row, 3)?,
            members: None,
            created_at: row.time(4)?,
            version: row.int(5)?,
        })
    }

    fn member_count(&self) -> u64 {
        self.members.as_ref().map_or(0, |members| members.len() as u64)
    }
}

const COUNT: &str = "SELECT COUNT(*) FROM (SELECT name FROM app_group WHERE account_id = $1 LIMIT $2) AS some_of_them";
/// Finds also one whose name differs in case only (IAM, "IAM identifiers").
const FIND_FOLDED: &str = "SELECT name FROM app_group WHERE account_id = $1 AND lower(name) = lower($2)";
const INSERT: &str = "
    INSERT INTO app_group (account_id, name, description, policies, created_ms, version)
    VALUES ($1, $2, $3, $4, $5, 1)";
const SELECT: &str = "
    SELECT account_id, name, description, policies, created_ms, version
      FROM app_group WHERE account_id = $1 AND name = $2";
pub(crate) const LIST: &str = "
    SELECT account_id, name, description, policies, created_ms, version
      FROM app_group WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3";
/// A user whom the version before deleted is no member.
const MEMBERS: &str = "
    SELECT user_name FROM group_member
     WHERE account_id = $1 AND group_name = $2
       AND EXISTS (SELECT 1 FROM app_user WHERE app_user.account_id = $1 AND app_user.name = group_member.user_name)
     ORDER BY user_name";
const UPDATE: &str = "
    UPDATE app_group SET description = $3, policies = $4, version = $5 WHERE account_id = $1 AND name = $2";
const DELETE: &str = "DELETE FROM app_group WHERE account_id = $1 AND name = $2";
const DELETE_MEMBERS: &str = "DELETE FROM group_member WHERE account_id = $1 AND group_name = $2";
const ADD_MEMBER: &str = "INSERT INTO group_member (account_id, group_name, user_name) VALUES ($1, $2, $3)";
const REMOVE_MEMBER: &str = "DELETE FROM group_member WHERE account_id = $1 AND group_name = $2 AND user_name = $3";
/// What is shown of a user names its groups.
const CHANGE_USER: &str = "UPDATE app_user SET version = version + 1 WHERE account_id = $1 AND name = $2";
const CHANGE_GROUP: &str = "UPDATE app_group SET version = version + 1 WHERE account_id = $1 AND name = $2";

impl Store {
    /// Creates a group, with version 1 and without members.
    pub async fn create_group(&self, group: &GroupRecord) -> Result<(), CreatePrincipalError> {
        // Apart from the transaction, which otherwise would be in conflict with every other.
        let values = values![&group.account, MAX_GROUPS_PER_ACCOUNT];
        let count = self.reader().await?.fetch_one(COUNT, values).await?.size(0)?;
        self.write(Durability::Full, (group.clone(), count), |session, (group, count)| {
            Box::pin(async move {
                let key = values![&group.account, &group.name];
                if session.fetch_optional(FIND_FOLDED, key).await?.is_some() {
                    return Err(CreatePrincipalError::AlreadyExists);
                }
                if *count >= MAX_GROUPS_PER_ACCOUNT {
                    return Err(CreatePrincipalError::LimitExceeded(MAX_GROUPS_PER_ACCOUNT));
                }
                let policies = AttachmentChange::Replace(group.policies.clone()).apply(&[]);
                let who = (Kind::Group, group.name.as_str());
                set_uses(session, &group.account, who, &policies, None).await?;
                let values = values![
                    &group.account,
                    &group.name,
                    &group.description,
                    policies_column(&policies)?,
                    group.created_at
                ];
                session.execute(INSERT, values).await?;
                Ok(())
            })
        })
        .await
    }

    /// The group with its members.
    pub async fn group(&self, account: &AccountId, name: &GroupName) -> Result<Option<GroupRecord>, StoreError> {
        find(&mut self.reader().await?, account, name).await
    }

    /// The groups of an account after `after`, by name, at most `limit` of them, without their members.
    pub async fn groups(
        &self,
        account: &AccountId,
        after: Option<&GroupName>,
        limit: usize,
    ) -> Result<Vec<GroupRecord>, StoreError> {
        let after = after.map_or("", GroupName::as_str);
        let mut session = self.reader().await?;
        let rows = session.fetch_all(LIST, values![account, after, limit]).await?;
        rows.iter().map(GroupRecord::read).collect()
    }

    /// Changes a group, if its version is the expected one. A change that changes nothing leaves the version.
    pub async fn update_group(
        &self,
        account: &AccountId,
        name: &GroupName,
        change: GroupChange,
        expected_version: Option<i64>,
    ) -> Result<GroupRecord, UpdatePrincipalError> {
        self.write(
            Durability::Full,
            (account.clone(), name.clone(), change, expected_version),
            |session, (account, name, change, expected)| {
                Box::pin(async move {
                    let found = find(session, account, name)
                        .await?
                        .ok_or(UpdatePrincipalError::Unknown)?;
                    if is_other(found.version, *expected) {
                        return Err(UpdatePrincipalError::VersionMismatch);
                    }
                    let mut group = found.clone();
                    if let Some(description) = &change.description {
                        group.description.clone_from(description);
                    }
                    if let Some(policies) = &change.policies {
                        group.policies = policies.apply(&group.policies);
                    }
                    if group == found {
                        return Ok(found);
                    }
                    group.version += 1;
                    if group.policies != found.policies {
                        set_uses(session, account, (Kind::Group, name.as_str()), &group.policies, None).await?;
                    }
                    let policies = policies_column(&group.policies)?;
                    let values = values![account, name, &group.description, policies, group.version];
                    session.execute(UPDATE, values).await?;
                    Ok(group)
                })
            },
        )
        .await
    }

    /// Deletes a group without members, with its attachments, if its version is the expected one; returns what was
    /// deleted.
    pub async fn delete_group(
        &self,
        account: &AccountId,
        name: &GroupName,
        expected_version: Option<i64>,
    ) -> Result<GroupRecord, DeletePrincipalError> {
        self.write(
            Durability::Full,
            (account.clone(), name.clone(), expected_version),
            |session, (account, name, expected)| {
                Box::pin(async move {
                    let found = find(session, account, name)
                        .await?
                        .ok_or(DeletePrincipalError::Unknown)?;
                    if is_other(found.version, *expected) {
                        return Err(DeletePrincipalError::VersionMismatch);
                    }
                    if found.member_count() > 0 {
                        return Err(DeletePrincipalError::HasMembers(found.member_count()));
                    }
                    forget_uses(session, account, (Kind::Group, name.as_str())).await?;
                    let key = values![account, name];
                    session.execute(DELETE_MEMBERS, key).await?;
                    session.execute(DELETE, key).await?;
                    Ok(found)
                })
            },
        )
        .await
    }

    /// Puts a user into a group; who is in it already stays. Returns the group as it is then.
    pub async fn add_group_member(
        &self,
        account: &AccountId,
        group: &GroupName,
        user: &UserName,
    ) -> Result<GroupRecord, MembershipError> {
        self.write(
            Durability::Full,
            (account.clone(), group.clone(), user.clone()),
            |session, (account, name, user)| {
                Box::pin(async move {
                    let group = find(session, account, name)
                        .await?
                        .ok_or(MembershipError::GroupUnknown)?;
                    let member = crate::user::find(session, account, user).await?;
                    let member = member.ok_or(MembershipError::UserUnknown)?;
                    if member.groups.contains(name) {
                        return Ok(group);
                    }
                    if member.groups.len() as u64 >= MAX_GROUPS_PER_USER {
                        return Err(MembershipError::TooManyGroups(MAX_GROUPS_PER_USER));
                    }
                    if group.member_count() >= MAX_MEMBERS_PER_GROUP {
                        return Err(MembershipError::TooManyMembers(MAX_MEMBERS_PER_GROUP));
                    }
                    session.execute(ADD_MEMBER, values![account, name, user]).await?;
                    changed(session, account, name, user).await
                })
            },
        )
        .await
    }

    /// Takes a user out of a group; who is not in it stays out. Returns the group as it is then.
    pub async fn remove_group_member(
        &self,
        account: &AccountId,
        group: &GroupName,
        user: &UserName,
    ) -> Result<GroupRecord, MembershipError> {
        self.write(
            Durability::Full,
            (account.clone(), group.clone(), user.clone()),
            |session, (account, name, user)| {
                Box::pin(async move {
                    let group = find(session, account, name)
                        .await?
                        .ok_or(MembershipError::GroupUnknown)?;
                    let removed = session.execute(REMOVE_MEMBER, values![account, name, user]).await?;
                    if removed > 0 {
                        return changed(session, account, name, user).await;
                    }
                    match crate::user::find(session, account, user).await? {
                        Some(_) => Ok(group),
                        None => Err(MembershipError::UserUnknown),
                    }
                })
            },
        )
        .await
    }
}

async fn changed(
    session: &mut Session,
    account: &AccountId,
    group: &GroupName,
    user: &UserName,
) -> Result<GroupRecord, MembershipError> {
    session.execute(CHANGE_USER, values![account, user]).await?;
    session.execute(CHANGE_GROUP, values![account, group]).await?;
    find(session, account, group)
        .await?
        .ok_or(MembershipError::GroupUnknown)
}

async fn find(session: &mut Session, account: &AccountId, name: &GroupName) -> Result<Option<GroupRecord>, StoreError> {
    let Some(row) = session.fetch_optional(SELECT, values![account, name]).await? else {
        return Ok(None);
    };
    let rows = session.fetch_all(MEMBERS, values![account, name]).await?;
    let members = rows.iter().map(|row| row.parsed(0)).collect::<Result<_, _>>()?;
    Ok(Some(GroupRecord {
        members: Some(members),
        ..GroupRecord::read(&row)?
    }))
}
