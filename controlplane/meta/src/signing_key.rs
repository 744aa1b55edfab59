// SPDX-License-Identifier: Apache-2.0
//! The keys that sign tokens.

use jiff::Timestamp;

use crate::session::{Row, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// A key that signs tokens. It is sealed by whoever stores it; here it is bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigningKeyRecord {
    /// Counts the keys, from 1.
    pub generation: i64,
    /// Its id, which every token names.
    pub id: String,
    /// The key, sealed.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs, until the next one does.
    pub active_from: Timestamp,
}

impl SigningKeyRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            generation: row.int(0)?,
            id: row.text(1)?,
            sealed: row.bytes(2)?.to_vec(),
            created_at: row.time(3)?,
            active_from: row.time(4)?,
        })
    }
}

/// Of several nodes that make the same generation, one wins.
const INSERT: &str = "
    INSERT INTO signing_key (generation, id, sealed, created_ms, active_ms) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (generation) DO NOTHING RETURNING generation";
const LIST: &str = "SELECT generation, id, sealed, created_ms, active_ms FROM signing_key ORDER BY generation";
const DELETE_BEFORE: &str = "DELETE FROM signing_key WHERE generation < $1";

impl Store {
    /// Stores a key; `false` if there is one of its generation.
    pub async fn add_signing_key(&self, key: &SigningKeyRecord) -> Result<bool, StoreError> {
        let SigningKeyRecord {
            generation,
            id,
            sealed,
            created_at,
            active_from,
        } = key;
        let values = values![*generation, id, sealed.as_slice(), *created_at, *active_from];
        Ok(!self.write_one(Durability::Full, INSERT, values).await?.is_empty())
    }

    /// All keys, oldest first.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKeyRecord>, StoreError> {
        let rows = self.reader().await?.fetch_all(LIST, values![]).await?;
        rows.iter().map(SigningKeyRecord::read).collect()
    }

    /// Removes the keys before a generation.
    pub async fn delete_signing_keys_before(&self, generation: i64) -> Result<(), StoreError> {
        self.write_one(Durability::Full, DELETE_BEFORE, values![generation])
            .await
            .map(drop)
    }
}
