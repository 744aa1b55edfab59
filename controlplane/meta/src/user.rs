// SPDX-License-Identifier: Apache-2.0
//! Users of an account.

use hythe_access::UserName;
use hythe_model::AccountId;
use jiff::Timestamp;

use crate::session::{Row, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserRecord {
    /// The account that the user belongs to.
    pub account: AccountId,
    /// The name within the account.
    pub name: UserName,
    /// The names of the policies that say what the user may do.
    pub policies: Vec<String>,
    /// When the user was created.
    pub created_at: Timestamp,
    /// Counts the changes, from 1; creating ignores it.
    pub version: i64,
}

/// Why a user was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateUserError {
    /// The account has a user of this name.
    #[error("the user exists already")]
    AlreadyExists,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a user was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateUserError {
    /// The account has no user of this name.
    #[error("the user does not exist")]
    Unknown,
    /// Somebody changed the user since the expected version was read.
    #[error("the user was changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl UserRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: row.parsed(0)?,
            name: row.parsed(1)?,
            policies: serde_json::from_str(&row.text(2)?)?,
            created_at: row.time(3)?,
            version: row.int(4)?,
        })
    }
}

const INSERT: &str = "
    INSERT INTO app_user (account_id, name, policies, created_ms, version) VALUES ($1, $2, $3, $4, 1)
    ON CONFLICT (account_id, name) DO NOTHING RETURNING version";
const SELECT: &str = "
    SELECT account_id, name, policies, created_ms, version FROM app_user WHERE account_id = $1 AND name = $2";
const LIST: &str = "
    SELECT account_id, name, policies, created_ms, version FROM app_user
     WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3";
/// `$4` is the expected version, or NULL.
const UPDATE_POLICIES: &str = "
    UPDATE app_user SET policies = $3, version = version + 1
     WHERE account_id = $1 AND name = $2 AND ($4 IS NULL OR version = $4)
 RETURNING account_id, name, policies, created_ms, version";
const DELETE: &str = "
    DELETE FROM app_user WHERE account_id = $1 AND name = $2
 RETURNING account_id, name, policies, created_ms, version";
const DELETE_KEYS: &str = "DELETE FROM access_key WHERE account_id = $1 AND user_name = $2";

impl Store {
    /// Creates a user, with version 1.
    pub async fn create_user(&self, user: &UserRecord) -> Result<(), CreateUserError> {
        let policies = serde_json::to_string(&user.policies).map_err(StoreError::from)?;
        let values = values![&user.account, &user.name, policies, user.created_at];
        let rows = self.write_one(Durability::Full, INSERT, values).await?;
        if rows.is_empty() {
            Err(CreateUserError::AlreadyExists)
        } else {
            Ok(())
        }
    }

    /// The user.
    pub async fn user(&self, account: &AccountId, name: &UserName) -> Result<Option<UserRecord>, StoreError> {
        let row = self
            .reader()
            .await?
            .fetch_optional(SELECT, values![account, name])
            .await?;
        row.as_ref().map(UserRecord::read).transpose()
    }

    /// The users of an account after `after`, by name, at most `limit` of them.
    pub async fn users(
        &self,
        account: &AccountId,
        after: Option<&UserName>,
        limit: usize,
    ) -> Result<Vec<UserRecord>, StoreError> {
        let after = after.map_or("", UserName::as_str);
        let rows = self
            .reader()
            .await?
            .fetch_all(LIST, values![account, after, limit])
            .await?;
        rows.iter().map(UserRecord::read).collect()
    }

    /// Replaces the policies of a user, if the version is the expected one.
    pub async fn update_user_policies(
        &self,
        account: &AccountId,
        name: &UserName,
        policies: Vec<String>,
        expected_version: Option<i64>,
    ) -> Result<UserRecord, UpdateUserError> {
        let policies = serde_json::to_string(&policies).map_err(StoreError::from)?;
        let rows = self
            .write_one(
                Durability::Full,
                UPDATE_POLICIES,
                values![account, name, policies, expected_version],
            )
            .await?;
        match rows.first() {
            Some(row) => Ok(UserRecord::read(row)?),
            None if self.user(account, name).await?.is_some() => Err(UpdateUserError::VersionMismatch),
            None => Err(UpdateUserError::Unknown),
        }
    }

    /// Deletes a user with all access keys; returns what was deleted.
    pub async fn delete_user(&self, account: &AccountId, name: &UserName) -> Result<Option<UserRecord>, StoreError> {
        self.write(
            Durability::Full,
            (account.clone(), name.clone()),
            |session, (account, name)| {
                Box::pin(async move {
                    session.execute(DELETE_KEYS, values![account, name]).await?;
                    let row = session.fetch_optional(DELETE, values![account, name]).await?;
                    row.as_ref().map(UserRecord::read).transpose()
                })
            },
        )
        .await
    }
}
