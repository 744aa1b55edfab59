// SPDX-License-Identifier: Apache-2.0
//! How long records are kept.

use crate::session::{Row, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// Settings of the audit log, which are those of the whole deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// For how many days records are kept; 0 for ever.
    pub retention_days: u32,
    /// Counts the changes, from 1.
    pub version: i64,
}

/// Why the settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum PutAuditSettingsError {
    /// Somebody changed them since the expected version was read.
    #[error("the settings were changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const SELECT: &str = "SELECT retention_days, version FROM audit_setting WHERE id = 1";
/// `$2` is the expected version, or NULL.
const UPDATE: &str = "
    UPDATE audit_setting SET retention_days = $1, version = version + 1
     WHERE id = 1 AND ($2 IS NULL OR version = $2)
 RETURNING retention_days, version";

fn read(row: &Row) -> Result<AuditSettings, StoreError> {
    Ok(AuditSettings {
        retention_days: u32::try_from(row.int(0)?).unwrap_or(0),
        version: row.int(1)?,
    })
}

impl Store {
    /// The settings of the audit log.
    pub async fn audit_settings(&self) -> Result<AuditSettings, StoreError> {
        read(&self.reader().await?.fetch_one(SELECT, values![]).await?)
    }

    /// Changes them, if the version is the expected one.
    pub async fn put_audit_settings(
        &self,
        retention_days: u32,
        expected_version: Option<i64>,
    ) -> Result<AuditSettings, PutAuditSettingsError> {
        let values = values![i64::from(retention_days), expected_version];
        let rows = self.write_one(Durability::Full, UPDATE, values).await?;
        let row = rows.first().ok_or(PutAuditSettingsError::VersionMismatch)?;
        Ok(read(row)?)
    }
}
