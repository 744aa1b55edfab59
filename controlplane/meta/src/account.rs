// SPDX-License-Identifier: Apache-2.0
//! Accounts.

use hythe_model::AccountId;
use jiff::Timestamp;

use crate::session::{Row, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// A tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// Its id.
    pub id: AccountId,
    /// What people call it.
    pub name: String,
    /// When it was created.
    pub created_at: Timestamp,
}

impl AccountRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed(0)?,
            name: row.text(1)?,
            created_at: row.time(2)?,
        })
    }
}

const INSERT: &str = "
    INSERT INTO account (id, name, created_ms) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO NOTHING RETURNING id";
const SELECT: &str = "SELECT id, name, created_ms FROM account WHERE id = $1";
const LIST: &str = "SELECT id, name, created_ms FROM account WHERE id > $1 ORDER BY id LIMIT $2";

impl Store {
    /// Creates an account unless it is there already; says whether it is new.
    pub async fn create_account(&self, id: &AccountId, name: &str, now: Timestamp) -> Result<bool, StoreError> {
        Ok(!self
            .write_one(Durability::Full, INSERT, values![id, name, now])
            .await?
            .is_empty())
    }

    /// The account.
    pub async fn account(&self, id: &AccountId) -> Result<Option<AccountRecord>, StoreError> {
        let row = self.reader().await?.fetch_optional(SELECT, values![id]).await?;
        row.as_ref().map(AccountRecord::read).transpose()
    }

    /// The accounts after `after`, by id, at most `limit` of them.
    pub async fn accounts(&self, after: Option<&AccountId>, limit: usize) -> Result<Vec<AccountRecord>, StoreError> {
        let after = after.map_or("", AccountId::as_str);
        let rows = self.reader().await?.fetch_all(LIST, values![after, limit]).await?;
        rows.iter().map(AccountRecord::read).collect()
    }
}
