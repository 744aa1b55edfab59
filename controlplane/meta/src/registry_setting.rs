// SPDX-License-Identifier: Apache-2.0
//! What an account has decided about its registry.

use hythe_model::AccountId;
use jiff::SignedDuration;

use crate::session::{Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// For how many days deleted images can be restored unless somebody says otherwise.
pub const DEFAULT_DELETED_IMAGE_RETENTION_DAYS: u32 = 7;

/// The settings of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegistrySettings {
    /// For how many days a deleted image can be restored; 0 if it is gone at once. Of an image that is deleted
    /// already nothing changes.
    pub deleted_image_retention_days: u32,
    /// Counts the changes; 0 before the first.
    pub version: i64,
}

impl Default for RegistrySettings {
    fn default() -> Self {
        Self {
            deleted_image_retention_days: DEFAULT_DELETED_IMAGE_RETENTION_DAYS,
            version: 0,
        }
    }
}

/// Why the settings of a registry were not changed.
#[derive(Debug, thiserror::Error)]
pub enum PutRegistrySettingsError {
    /// Somebody changed them since the expected version was read.
    #[error("the settings were changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

const SELECT: &str = "SELECT deleted_image_retention_days, version FROM registry_setting WHERE account_id = $1";
const PUT: &str = "
    INSERT INTO registry_setting (account_id, deleted_image_retention_days, version) VALUES ($1, $2, $3)
    ON CONFLICT (account_id) DO UPDATE
       SET deleted_image_retention_days = excluded.deleted_image_retention_days, version = excluded.version";

impl Store {
    /// The settings of the registry of an account.
    pub async fn registry_settings(&self, account: &AccountId) -> Result<RegistrySettings, StoreError> {
        find(&mut self.reader().await?, account).await
    }

    /// Changes the settings of a registry, if their version is the expected one.
    pub async fn put_registry_settings(
        &self,
        account: &AccountId,
        deleted_image_retention_days: u32,
        expected_version: Option<i64>,
    ) -> Result<RegistrySettings, PutRegistrySettingsError> {
        let input = (account.clone(), deleted_image_retention_days, expected_version);
        self.write(Durability::Full, input, |session, (account, days, expected)| {
            Box::pin(async move {
                let before = find(session, account).await?;
                if expected.is_some_and(|expected| expected != before.version) {
                    return Err(PutRegistrySettingsError::VersionMismatch);
                }
                let settings = RegistrySettings {
                    deleted_image_retention_days: *days,
                    version: before.version + 1,
                };
                session
                    .execute(PUT, values![account, i64::from(*days), settings.version])
                    .await?;
                Ok(settings)
            })
        })
        .await
    }
}

async fn find(session: &mut Session, account: &AccountId) -> Result<RegistrySettings, StoreError> {
    let Some(row) = session.fetch_optional(SELECT, values![account]).await? else {
        return Ok(RegistrySettings::default());
    };
    Ok(RegistrySettings {
        deleted_image_retention_days: u32::try_from(row.int(0)?).unwrap_or(DEFAULT_DELETED_IMAGE_RETENTION_DAYS),
        version: row.int(1)?,
    })
}

/// For how long what is deleted in this registry now can be restored.
pub(crate) async fn retention(session: &mut Session, account: &AccountId) -> Result<SignedDuration, StoreError> {
    let days = find(session, account).await?.deleted_image_retention_days;
    Ok(SignedDuration::from_hours(i64::from(days) * 24))
}
