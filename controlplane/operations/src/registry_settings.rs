// SPDX-License-Identifier: Apache-2.0
//! What an account has decided about its registry.

use hythe_access::{Granted, kinds};
use hythe_meta::{PutRegistrySettingsError as NotPut, RegistrySettings, StoreError};

use crate::ControlPlane;

/// The longest that deleted images can be restored, in days.
pub const MAX_DELETED_IMAGE_RETENTION_DAYS: u32 = 365;

/// Why the settings of a registry were not changed.
#[derive(Debug, thiserror::Error)]
pub enum PutRegistrySettingsError {
    /// That many days are too many.
    #[error("it must be 0 to {MAX_DELETED_IMAGE_RETENTION_DAYS} days")]
    TooManyDays,
    /// Somebody changed them in the meantime.
    #[error("the settings were changed in the meantime")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Reads the settings of a registry.
    #[tracing::instrument(name = "registry_settings.get", skip_all, fields(account.id = %granted.resource()))]
    pub async fn registry_settings(
        &self,
        granted: &Granted<kinds::GetAccountSetting>,
    ) -> Result<RegistrySettings, StoreError> {
        self.store().registry_settings(granted.resource()).await
    }

    /// Changes the settings of a registry, if their version is the expected one.
    #[tracing::instrument(name = "registry_settings.put", skip_all, fields(account.id = %granted.resource()))]
    pub async fn put_registry_settings(
        &self,
        granted: &Granted<kinds::PutAccountSetting>,
        deleted_image_retention_days: u32,
        expected_version: Option<i64>,
    ) -> Result<RegistrySettings, PutRegistrySettingsError> {
        if deleted_image_retention_days > MAX_DELETED_IMAGE_RETENTION_DAYS {
            return Err(PutRegistrySettingsError::TooManyDays);
        }
        let put = self
            .store()
            .put_registry_settings(granted.resource(), deleted_image_retention_days, expected_version)
            .await;
        put.map_err(|error| match error {
            NotPut::VersionMismatch => PutRegistrySettingsError::VersionMismatch,
            NotPut::Store(error) => error.into(),
        })
    }
}
