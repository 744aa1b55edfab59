// SPDX-License-Identifier: Apache-2.0
//! Access keys of administrators and users.

use hythe_access::UserName;
use hythe_model::AccountId;
use jiff::Timestamp;

use crate::session::{Row, Session, corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// An access key. Its secret is sealed by whoever stores it; here it is bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKeyRecord {
    /// Its id, which is no secret.
    pub id: String,
    /// The account.
    pub account: AccountId,
    /// The user; `None` for the administrator of the account.
    pub user: Option<UserName>,
    /// The secret, sealed.
    pub sealed_secret: Vec<u8>,
    /// Whether it may be used.
    pub is_active: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last used, about.
    pub last_used_at: Option<Timestamp>,
}

/// Why an access key was not replaced by a new one.
#[derive(Debug, thiserror::Error)]
pub enum RotateAccessKeyError {
    /// The user has no such key.
    #[error("the access key does not exist")]
    Unknown,
    /// The user has as many keys as one may have.
    #[error("the user has as many access keys as one may have")]
    LimitExceeded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an access key was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateAccessKeyError {
    /// The account has no such user.
    #[error("the user does not exist")]
    UserUnknown,
    /// The user has as many keys as one may have.
    #[error("the user has as many access keys as one may have")]
    LimitExceeded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccessKeyRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let user = row.text(2)?;
        Ok(Self {
            id: row.text(0)?,
            account: row.parsed(1)?,
            user: if user.is_empty() {
                None
            } else {
                Some(user.parse().map_err(corrupt)?)
            },
            sealed_secret: row.bytes(3)?.to_vec(),
            is_active: row.bool(4)?,
            created_at: row.time(5)?,
            last_used_at: row.optional_time(6)?,
        })
    }
}

/// The administrator has no user name; an empty text stands for it, which no user can have.
fn user_column(user: Option<&UserName>) -> &str {
    user.map_or("", UserName::as_str)
}

async fn insert(session: &mut Session, key: &AccessKeyRecord) -> Result<(), StoreError> {
    let values = values![
        &key.id,
        &key.account,
        user_column(key.user.as_ref()),
        key.sealed_secret.as_slice(),
        key.is_active,
        key.created_at,
        key.last_used_at
    ];
    session.execute(INSERT, values).await.map(drop)
}

const USER_EXISTS: &str = "SELECT version FROM app_user WHERE account_id = $1 AND name = $2";
const COUNT: &str = "SELECT COUNT(*) FROM access_key WHERE account_id = $1 AND user_name = $2";
const INSERT: &str = "
    INSERT INTO access_key (id, account_id, user_name, sealed_secret, is_active, created_ms, last_used_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const SELECT: &str = "
    SELECT id, account_id, user_name, sealed_secret, is_active, created_ms, last_used_ms
      FROM access_key WHERE id = $1";
const LIST: &str = "
    SELECT id, account_id, user_name, sealed_secret, is_active, created_ms, last_used_ms
      FROM access_key WHERE account_id = $1 AND user_name = $2 ORDER BY id";
const SET_ACTIVE: &str = "
    UPDATE access_key SET is_active = $4 WHERE account_id = $1 AND user_name = $2 AND id = $3
 RETURNING id, account_id, user_name, sealed_secret, is_active, created_ms, last_used_ms";
const DELETE: &str = "
    DELETE FROM access_key WHERE account_id = $1 AND user_name = $2 AND id = $3
 RETURNING id, account_id, user_name, sealed_secret, is_active, created_ms, last_used_ms";
const TOUCH: &str = "
    UPDATE access_key SET last_used_ms = $2 WHERE id = $1 AND (last_used_ms IS NULL OR last_used_ms < $2)";

impl Store {
    /// Creates an access key, unless its user has `max_keys` already.
    pub async fn create_access_key(&self, key: &AccessKeyRecord, max_keys: usize) -> Result<(), CreateAccessKeyError> {
        self.write(Durability::Full, (key.clone(), max_keys), |session, (key, max_keys)| {
            Box::pin(async move {
                let user = user_column(key.user.as_ref());
                if key.user.is_some()
                    && session
                        .fetch_optional(USER_EXISTS, values![&key.account, user])
                        .await?
                        .is_none()
                {
                    return Err(CreateAccessKeyError::UserUnknown);
                }
                let count = session.fetch_one(COUNT, values![&key.account, user]).await?.size(0)?;
                if count >= *max_keys as u64 {
                    return Err(CreateAccessKeyError::LimitExceeded);
                }
                insert(session, key).await?;
                Ok(())
            })
        })
        .await
    }

    /// Creates `new` for its user and switches the key `id` of the same user off, unless the user has `max_keys` already.
    pub async fn rotate_access_key(
        &self,
        id: &str,
        new: &AccessKeyRecord,
        max_keys: usize,
    ) -> Result<(), RotateAccessKeyError> {
        self.write(
            Durability::Full,
            (id.to_owned(), new.clone(), max_keys),
            |session, (id, new, max_keys)| {
                Box::pin(async move {
                    let user = user_column(new.user.as_ref());
                    let off = session
                        .fetch_optional(SET_ACTIVE, values![&new.account, user, id, false])
                        .await?;
                    if off.is_none() {
                        return Err(RotateAccessKeyError::Unknown);
                    }
                    let count = session.fetch_one(COUNT, values![&new.account, user]).await?.size(0)?;
                    if count >= *max_keys as u64 {
                        return Err(RotateAccessKeyError::LimitExceeded);
                    }
                    insert(session, new).await?;
                    Ok(())
                })
            },
        )
        .await
    }

    /// The key with this id, of any account.
    pub async fn access_key(&self, id: &str) -> Result<Option<AccessKeyRecord>, StoreError> {
        let row = self.reader().await?.fetch_optional(SELECT, values![id]).await?;
        row.as_ref().map(AccessKeyRecord::read).transpose()
    }

    /// The keys of a user, or of the administrator, by id.
    pub async fn access_keys(
        &self,
        account: &AccountId,
        user: Option<&UserName>,
    ) -> Result<Vec<AccessKeyRecord>, StoreError> {
        let rows = self
            .reader()
            .await?
            .fetch_all(LIST, values![account, user_column(user)])
            .await?;
        rows.iter().map(AccessKeyRecord::read).collect()
    }

    /// Switches a key on or off; returns it as it is then.
    pub async fn set_access_key_active(
        &self,
        account: &AccountId,
        user: Option<&UserName>,
        id: &str,
        is_active: bool,
    ) -> Result<Option<AccessKeyRecord>, StoreError> {
        let rows = self
            .write_one(
                Durability::Full,
                SET_ACTIVE,
                values![account, user_column(user), id, is_active],
            )
            .await?;
        rows.first().map(AccessKeyRecord::read).transpose()
    }

    /// Deletes a key; returns what was deleted.
    pub async fn delete_access_key(
        &self,
        account: &AccountId,
        user: Option<&UserName>,
        id: &str,
    ) -> Result<Option<AccessKeyRecord>, StoreError> {
        let rows = self
            .write_one(Durability::Full, DELETE, values![account, user_column(user), id])
            .await?;
        rows.first().map(AccessKeyRecord::read).transpose()
    }

    /// Records when keys were used, all at once; a time never goes back.
    pub async fn touch_access_keys(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        // By id, so that two nodes take the same rows in the same order.
        let mut uses = uses.to_vec();
        uses.sort();
        self.write(Durability::Full, uses, |session, uses| {
            Box::pin(async move {
                for (id, used_at) in uses {
                    session.execute(TOUCH, values![id, *used_at]).await?;
                }
                Ok(())
            })
        })
        .await
    }
}
