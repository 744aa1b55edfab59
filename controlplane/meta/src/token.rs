// SPDX-License-Identifier: Apache-2.0
//! Tokens that were revoked, and how long renewable tokens are good for now.

use jiff::Timestamp;

use crate::session::values;
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most tokens of which one principal may have revoked that have not ended, and the most renewable ones that it may have
/// at once: every node keeps them in memory.
pub const MAX_TOKENS_KEPT: i64 = 1000;

/// Why a token was not revoked or made renewable.
#[derive(Debug, thiserror::Error)]
pub enum KeepTokenError {
    /// The principal has [`MAX_TOKENS_KEPT`] already.
    #[error("there are {MAX_TOKENS_KEPT} such tokens of the principal already")]
    LimitExceeded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const COUNT_REVOKED: &str = "SELECT COUNT(*) FROM revoked_token WHERE owner = $1 AND expires_ms > $2 AND id <> $3";
const COUNT_LEASES: &str = "SELECT COUNT(*) FROM token_lease WHERE owner = $1 AND expires_ms > $2";
const REVOKE: &str = "
    INSERT INTO revoked_token (id, expires_ms, owner) VALUES ($1, $2, $3)
    ON CONFLICT (id) DO UPDATE SET expires_ms = excluded.expires_ms WHERE revoked_token.expires_ms < excluded.expires_ms";
const REVOKED: &str = "SELECT id FROM revoked_token WHERE expires_ms > $1 ORDER BY expires_ms";
const PURGE_REVOKED: &str = "DELETE FROM revoked_token WHERE expires_ms <= $1";
const PURGE_LEASES: &str = "DELETE FROM token_lease WHERE expires_ms <= $1";
const CREATE_LEASE: &str = "
    INSERT INTO token_lease (id, until_ms, expires_ms, owner) VALUES ($1, $2, $3, $4)
    ON CONFLICT (id) DO NOTHING";
/// A lease that has ended stays ended: its token may have been taken for dead already.
const EXTEND_LEASE: &str = "
    UPDATE token_lease
       SET until_ms = CASE WHEN $2 < expires_ms THEN $2 ELSE expires_ms END
     WHERE id = $1 AND until_ms > $3 AND expires_ms > $3
       AND NOT EXISTS (SELECT 1 FROM revoked_token WHERE revoked_token.id = $1)
 RETURNING until_ms";
const LEASE: &str = "SELECT until_ms FROM token_lease WHERE id = $1";
const LEASES: &str =
    "SELECT id, until_ms FROM token_lease WHERE expires_ms > $1 AND until_ms > $1 ORDER BY expires_ms, id";

impl Store {
    /// Revokes a token that would be good until `expires_at`, for `owner`. One that has expired is not worth a row.
    pub async fn revoke_token(
        &self,
        id: &str,
        expires_at: Timestamp,
        owner: &str,
        now: Timestamp,
    ) -> Result<(), KeepTokenError> {
        if expires_at <= now {
            return Ok(());
        }
        let input = (id.to_owned(), owner.to_owned());
        self.write(Durability::Full, input, move |session, (id, owner)| {
            Box::pin(async move {
                let count = session
                    .fetch_one(COUNT_REVOKED, values![owner, now, id])
                    .await?
                    .int(0)?;
                if count >= MAX_TOKENS_KEPT {
                    return Err(KeepTokenError::LimitExceeded);
                }
                session.execute(REVOKE, values![id, expires_at, owner]).await?;
                Ok(())
            })
        })
        .await
    }

    /// The ids of revoked tokens that have not expired at `now`.
    pub async fn revoked_tokens(&self, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let rows = self.reader().await?.fetch_all(REVOKED, values![now]).await?;
        rows.iter().map(|row| row.text(0)).collect()
    }

    /// Forgets revocations and leases of tokens that have expired at `now`.
    pub async fn purge_revoked_tokens(&self, now: Timestamp) -> Result<(), StoreError> {
        self.write_one(Durability::Full, PURGE_REVOKED, values![now]).await?;
        self.write_one(Durability::Full, PURGE_LEASES, values![now])
            .await
            .map(drop)
    }

    /// Lets a renewable token of `owner` be good until `until`; it can be extended until `expires_at`.
    pub async fn create_lease(
        &self,
        id: &str,
        until: Timestamp,
        expires_at: Timestamp,
        owner: &str,
        now: Timestamp,
    ) -> Result<(), KeepTokenError> {
        let input = (id.to_owned(), owner.to_owned());
        self.write(Durability::Full, input, move |session, (id, owner)| {
            Box::pin(async move {
                let count = session.fetch_one(COUNT_LEASES, values![owner, now]).await?.int(0)?;
                if count >= MAX_TOKENS_KEPT {
                    return Err(KeepTokenError::LimitExceeded);
                }
                let values = values![id, until.min(expires_at), expires_at, owner];
                session.execute(CREATE_LEASE, values).await?;
                Ok(())
            })
        })
        .await
    }

    /// Lets a renewable token be good until `until` instead, at most until it expires. `false` if the lease
    /// is unknown, has ended or was revoked.
    pub async fn extend_lease(&self, id: &str, until: Timestamp, now: Timestamp) -> Result<bool, StoreError> {
        Ok(!self
            .write_one(Durability::Full, EXTEND_LEASE, values![id, until, now])
            .await?
            .is_empty())
    }

    /// Until when the token with this id is good; `None` if it has no lease.
    pub async fn lease(&self, id: &str) -> Result<Option<Timestamp>, StoreError> {
        let row = self.reader().await?.fetch_optional(LEASE, values![id]).await?;
        row.map(|row| row.time(0)).transpose()
    }

    /// The leases that have not ended at `now`: ids of tokens, and until when they are good.
    pub async fn leases(&self, now: Timestamp) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let rows = self.reader().await?.fetch_all(LEASES, values![now]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.time(1)?))).collect()
    }
}
