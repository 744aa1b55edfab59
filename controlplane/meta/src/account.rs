// SPDX-License-Identifier: Apache-2.0
//! Accounts.

use hythe_model::AccountId;
use jiff::Timestamp;

use crate::principal::is_other;
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most accounts of one deployment. Creates that run at the same time may overshoot it by their number.
pub const MAX_ACCOUNTS: u64 = 10_000;

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// Its id.
    pub id: AccountId,
    /// What people call it.
    pub name: String,
    /// Whether nobody's credentials of it are good, and nothing of it is served.
    pub is_closed: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// Counts the changes, from 1.
    pub version: i64,
}

/// What to change about an account; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    /// What people call it.
    pub name: Option<String>,
    /// Whether it is closed.
    pub is_closed: Option<bool>,
}

/// Why an account was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateAccountError {
    /// There is no such account.
    #[error("the account does not exist")]
    Unknown,
    /// Somebody changed the account since the expected version was read.
    #[error("the account was changed in the meantime")]
    VersionMismatch,
    /// It would be closed, and has repositories.
    #[error("the account has repositories")]
    HasRepositories,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AccountRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed(0)?,
            name: row.text(1)?,
            is_closed: row.bool(2)?,
            created_at: row.time(3)?,
            version: row.int(4)?,
        })
    }
}

const INSERT: &str = "
    INSERT INTO account (id, name, created_ms) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO NOTHING RETURNING id";
const SELECT: &str = "SELECT id, name, is_closed, created_ms, version FROM account WHERE id = $1";
pub(crate) const LIST: &str =
    "SELECT id, name, is_closed, created_ms, version FROM account WHERE id > $1 ORDER BY id LIMIT $2";
const COUNT: &str = "SELECT COUNT(*) FROM account";
const A_REPOSITORY: &str = "SELECT name FROM repository WHERE account_id = $1 LIMIT 1";
const UPDATE: &str = "UPDATE account SET name = $2, is_closed = $3, version = $4 WHERE id = $1";

impl Store {
    /// Creates an account unless it is there already; says whether it is new.
    pub async fn create_account(&self, id: &AccountId, name: &str, now: Timestamp) -> Result<bool, StoreError> {
        Ok(!self
            .write_one(Durability::Full, INSERT, values![id, name, now])
            .await?
            .is_empty())
    }

    /// How many accounts there are, closed ones included.
    pub async fn account_count(&self) -> Result<u64, StoreError> {
        self.reader().await?.fetch_one(COUNT, values![]).await?.size(0)
    }

    /// The account.
    pub async fn account(&self, id: &AccountId) -> Result<Option<AccountRecord>, StoreError> {
        find(&mut self.reader().await?, id).await
    }

    /// The accounts after `after`, by id, at most `limit` of them.
    pub async fn accounts(&self, after: Option<&AccountId>, limit: usize) -> Result<Vec<AccountRecord>, StoreError> {
        let after = after.map_or("", AccountId::as_str);
        let rows = self.reader().await?.fetch_all(LIST, values![after, limit]).await?;
        rows.iter().map(AccountRecord::read).collect()
    }

    /// Changes an account, if its version is the expected one; with `force` it is closed even if it has repositories.
    pub async fn update_account(
        &self,
        id: &AccountId,
        change: AccountChange,
        force: bool,
        expected_version: Option<i64>,
    ) -> Result<AccountRecord, UpdateAccountError> {
        self.write(
            Durability::Full,
            (id.clone(), change, force, expected_version),
            |session, (id, change, force, expected)| {
                Box::pin(async move {
                    let found = find(session, id).await?.ok_or(UpdateAccountError::Unknown)?;
                    if is_other(found.version, *expected) {
                        return Err(UpdateAccountError::VersionMismatch);
                    }
                    let mut account = found.clone();
                    if let Some(name) = &change.name {
                        account.name.clone_from(name);
                    }
                    if let Some(is_closed) = change.is_closed {
                        account.is_closed = is_closed;
                    }
                    if account == found {
                        return Ok(found);
                    }
                    if account.is_closed
                        && !found.is_closed
                        && !force
                        && session.fetch_optional(A_REPOSITORY, values![id]).await?.is_some()
                    {
                        return Err(UpdateAccountError::HasRepositories);
                    }
                    account.version += 1;
                    let values = values![id, &account.name, account.is_closed, account.version];
                    session.execute(UPDATE, values).await?;
                    Ok(account)
                })
            },
        )
        .await
    }
}

async fn find(session: &mut Session, id: &AccountId) -> Result<Option<AccountRecord>, StoreError> {
    let row = session.fetch_optional(SELECT, values![id]).await?;
    row.as_ref().map(AccountRecord::read).transpose()
}
