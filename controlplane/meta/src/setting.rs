// SPDX-License-Identifier: Apache-2.0
//! Facts about the deployment as a whole, such as its id.

use crate::session::{corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

const SELECT: &str = "SELECT value FROM setting WHERE name = $1";
/// The update changes nothing; it makes the row come back.
const INSERT_IF_ABSENT: &str = "
    INSERT INTO setting (name, value) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET value = setting.value
 RETURNING value";

impl Store {
    /// The value of a setting.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, StoreError> {
        let row = self.reader().await?.fetch_optional(SELECT, values![name]).await?;
        row.map(|row| row.text(0)).transpose()
    }

    /// Stores a value if there is none yet, and returns the one that is stored now. Of several nodes that
    /// start at once, one wins and all get the same answer.
    pub async fn put_setting_if_absent(&self, name: &str, value: &str) -> Result<String, StoreError> {
        let rows = self
            .write_one(Durability::Full, INSERT_IF_ABSENT, values![name, value])
            .await?;
        rows.first().ok_or_else(|| corrupt("a setting was not stored"))?.text(0)
    }
}
