// SPDX-License-Identifier: Apache-2.0
//! Users of an account.

use std::collections::HashMap;

use hythe_access::{GroupName, UserName};
use hythe_model::{AccountId, ResourceTags, in_millis};
use jiff::Timestamp;

use crate::principal::{
    AttachmentChange, CreatePrincipalError, DeletePrincipalError, Kind, PolicyRef, UpdatePrincipalError, forget_uses,
    is_other, policies_column, read_policies, read_tags, set_uses,
};
use crate::session::{Row, Session, corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most users of one account (IAM, "IAM object quotas"). Creates that run at the same time may overshoot it by
/// their number.
pub const MAX_USERS_PER_ACCOUNT: u64 = 5000;

/// What a user is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserKind {
    /// A person.
    #[default]
    User,
    /// A machine.
    ServiceAccount,
}

impl UserKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::User => "USER",
            Self::ServiceAccount => "SERVICE_ACCOUNT",
        }
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The account that the user belongs to.
    pub account: AccountId,
    /// The name within the account.
    pub name: UserName,
    /// What it is.
    pub kind: UserKind,
    /// Who it is.
    pub description: String,
    /// The policies that say what the user may do, besides those of groups; sorted by name.
    pub policies: Vec<PolicyRef>,
    /// What limits it at most.
    pub boundary: Option<PolicyRef>,
    /// The groups it is in, by name; creating ignores them.
    pub groups: Vec<GroupName>,
    /// Its resource tags.
    pub tags: ResourceTags,
    /// When its credentials stop being good.
    pub expires_at: Option<Timestamp>,
    /// Whether its credentials are refused for now.
    pub is_disabled: bool,
    /// When the user was created.
    pub created_at: Timestamp,
    /// Counts the changes, from 1; creating ignores it.
    pub version: i64,
}

/// What to change about a user; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// Who it is.
    pub description: Option<String>,
    /// Its policies.
    pub policies: Option<AttachmentChange>,
    /// What limits it at most.
    pub boundary: Option<Option<PolicyRef>>,
    /// Its resource tags.
    pub tags: Option<ResourceTags>,
    /// When its credentials stop being good.
    pub expires_at: Option<Option<Timestamp>>,
    /// Whether its credentials are refused for now.
    pub is_disabled: Option<bool>,
}

impl UserRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: row.parsed(0)?,
            name: row.parsed(1)?,
            kind: match row.text(2)?.as_str() {
                "USER" => UserKind::User,
                "SERVICE_ACCOUNT" => UserKind::ServiceAccount,
                other => return Err(corrupt(format!("`{other}` is no kind of user"))),
            },
            description: row.text(3)?,
            policies: read_policies(row, 4)?,
            boundary: row.optional_parsed(5)?,
            groups: Vec::new(),
            tags: read_tags(row, 6)?,
            expires_at: row.optional_time(7)?,
            is_disabled: row.bool(8)?,
            created_at: row.time(9)?,
            version: row.int(10)?,
        })
    }
}

/// Finds also one whose name differs in case only: names are told apart regardless of it (IAM, "IAM identifiers").
const FIND_FOLDED: &str = "SELECT name FROM app_user WHERE account_id = $1 AND lower(name) = lower($2)";
const COUNT: &str = "SELECT COUNT(*) FROM (SELECT name FROM app_user WHERE account_id = $1 LIMIT $2) AS some_of_them";
const INSERT: &str = "
    INSERT INTO app_user (account_id, name, kind, description, policies, boundary, tags, expires_ms, is_disabled,
                          created_ms, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 1)
    ON CONFLICT (account_id, name) DO NOTHING RETURNING version";
const SELECT: &str = "
    SELECT account_id, name, kind, description, policies, boundary, tags, expires_ms, is_disabled, created_ms, version
      FROM app_user WHERE account_id = $1 AND name = $2";
pub(crate) const LIST: &str = "
    SELECT account_id, name, kind, description, policies, boundary, tags, expires_ms, is_disabled, created_ms, version
      FROM app_user WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3";
const GROUPS: &str = "
    SELECT user_name, group_name FROM group_member
     WHERE account_id = $1 AND user_name >= $2 AND user_name <= $3 ORDER BY user_name, group_name";
const UPDATE: &str = "
    UPDATE app_user SET description = $3, policies = $4, boundary = $5, tags = $6, expires_ms = $7, is_disabled = $8,
                        version = $9
     WHERE account_id = $1 AND name = $2";
const DELETE: &str = "DELETE FROM app_user WHERE account_id = $1 AND name = $2";
const DELETE_KEYS: &str = "DELETE FROM access_key WHERE account_id = $1 AND user_name = $2";
const CHANGE_GROUPS: &str = "
    UPDATE app_group SET version = version + 1
     WHERE account_id = $1
       AND name IN (SELECT group_name FROM group_member WHERE account_id = $1 AND user_name = $2)";
const LEAVE_GROUPS: &str = "DELETE FROM group_member WHERE account_id = $1 AND user_name = $2";

impl Store {
    /// Creates a user, with version 1 and in no group.
    pub async fn create_user(&self, user: &UserRecord) -> Result<(), CreatePrincipalError> {
        // Apart from the transaction, which otherwise would be in conflict with every other.
        let values = values![&user.account, MAX_USERS_PER_ACCOUNT];
        let count = self.reader().await?.fetch_one(COUNT, values).await?.size(0)?;
        self.write(Durability::Full, (user.clone(), count), |session, (user, count)| {
            Box::pin(async move {
                let key = values![&user.account, &user.name];
                if session.fetch_optional(FIND_FOLDED, key).await?.is_some() {
                    return Err(CreatePrincipalError::AlreadyExists);
                }
                if *count >= MAX_USERS_PER_ACCOUNT {
                    return Err(CreatePrincipalError::LimitExceeded(MAX_USERS_PER_ACCOUNT));
                }
                // Of a user of that name whom the version before deleted.
                session.execute(LEAVE_GROUPS, key).await?;
                let policies = AttachmentChange::Replace(user.policies.clone()).apply(&[]);
                let who = (Kind::User, user.name.as_str());
                set_uses(session, &user.account, who, &policies, user.boundary.as_ref()).await?;
                let values = values![
                    &user.account,
                    &user.name,
                    user.kind.as_str(),
                    &user.description,
                    policies_column(&policies)?,
                    user.boundary.as_ref().map(PolicyRef::as_str),
                    serde_json::to_string(user.tags.as_map()).map_err(StoreError::from)?,
                    user.expires_at,
                    user.is_disabled,
                    user.created_at
                ];
                match session.fetch_optional(INSERT, values).await? {
                    Some(_) => Ok(()),
                    None => Err(CreatePrincipalError::AlreadyExists),
                }
            })
        })
        .await
    }

    /// The user.
    pub async fn user(&self, account: &AccountId, name: &UserName) -> Result<Option<UserRecord>, StoreError> {
        find(&mut self.reader().await?, account, name).await
    }

    /// The users of an account after `after`, by name, at most `limit` of them.
    pub async fn users(
        &self,
        account: &AccountId,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<UserRecord>, StoreError> {
        let after = after.map_or("", UserName::as_str);
        let mut session = self.reader().await?;
        let rows = session.fetch_all(LIST, values![account, after, limit]).await?;
        let mut users: Vec<_> = rows.iter().map(UserRecord::read).collect::<Result<_, _>>()?;
        let mut groups: HashMap<String, Vec<GroupName>> = HashMap::new();
        if let (Some(first), Some(last)) = (users.first(), users.last()) {
            for row in session
                .fetch_all(GROUPS, values![account, &first.name, &last.name])
                .await?
            {
                groups.entry(row.text(0)?).or_default().push(row.parsed(1)?);
            }
        }
        for user in &mut users {
            user.groups = groups.remove(user.name.as_str()).unwrap_or_default();
        }
        Ok(users)
    }

    /// Changes a user, if its version is the expected one. A change that changes nothing leaves the version.
    pub async fn update_user(
        &self,
        account: &AccountId,
        name: &UserName,
        change: UserChange,
        expected_version: Option<i64>,
    ) -> Result<UserRecord, UpdatePrincipalError> {
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
                    let mut user = changed(&found, change);
                    if user == found {
                        return Ok(found);
                    }
                    user.version += 1;
                    if (&user.policies, &user.boundary) != (&found.policies, &found.boundary) {
                        let who = (Kind::User, name.as_str());
                        set_uses(session, account, who, &user.policies, user.boundary.as_ref()).await?;
                    }
                    let values = values![
                        account,
                        name,
                        &user.description,
                        policies_column(&user.policies)?,
                        user.boundary.as_ref().map(PolicyRef::as_str),
                        serde_json::to_string(user.tags.as_map()).map_err(StoreError::from)?,
                        user.expires_at,
                        user.is_disabled,
                        user.version
                    ];
                    session.execute(UPDATE, values).await?;
                    Ok(user)
                })
            },
        )
        .await
    }

    /// Deletes a user with its access keys, memberships and attachments, if its version is the expected one; returns
    /// what was deleted.
    pub async fn delete_user(
        &self,
        account: &AccountId,
        name: &UserName,
        expected_version: Option<i64>,
    ) -> Result<UserRecord, DeletePrincipalError> {
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
                    let key = values![account, name];
                    session.execute(DELETE_KEYS, key).await?;
                    session.execute(CHANGE_GROUPS, key).await?;
                    session.execute(LEAVE_GROUPS, key).await?;
                    forget_uses(session, account, (Kind::User, name.as_str())).await?;
                    session.execute(DELETE, key).await?;
                    Ok(found)
                })
            },
        )
        .await
    }
}

pub(crate) async fn find(
    session: &mut Session,
    account: &AccountId,
    name: &UserName,
) -> Result<Option<UserRecord>, StoreError> {
    let Some(row) = session.fetch_optional(SELECT, values![account, name]).await? else {
        return Ok(None);
    };
    let mut user = UserRecord::read(&row)?;
    for row in session.fetch_all(GROUPS, values![account, name, name]).await? {
        user.groups.push(row.parsed(1)?);
    }
    Ok(Some(user))
}

fn changed(user: &UserRecord, change: &UserChange) -> UserRecord {
    let mut user = user.clone();
    if let Some(description) = &change.description {
        user.description.clone_from(description);
    }
    if let Some(policies) = &change.policies {
        user.policies = policies.apply(&user.policies);
    }
    if let Some(boundary) = &change.boundary {
        user.boundary.clone_from(boundary);
    }
    if let Some(tags) = &change.tags {
        user.tags = tags.clone();
    }
    if let Some(end) = change.expires_at {
        // As a row gives it back.
        user.expires_at = end.map(in_millis);
    }
    if let Some(is_disabled) = change.is_disabled {
        user.is_disabled = is_disabled;
    }
    user
}
