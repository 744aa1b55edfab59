// SPDX-License-Identifier: Apache-2.0
//! Backfills of replication: what was there before a rule is brought to one destination, too.

use hythe_access::{Granted, kinds};
use hythe_meta::{
    BackfillImage, BackfillRecord, BackfillResult, MAX_RUNNING_BACKFILLS, StartBackfillError as Refusal, StoreError,
};
use hythe_model::{AccountId, RegistryPlace};

use crate::{ControlPlane, Page};

/// Why a backfill was not started, not found or not stopped.
#[derive(Debug, thiserror::Error)]
pub enum BackfillError {
    /// There is no such backfill.
    #[error("The replication backfill with id '{0}' does not exist in the registry with id '{1}'")]
    Unknown(String, AccountId),
    /// No rule names the destination.
    #[error("no replication rule of the registry names the destination '{0}': put one first")]
    NotConfigured(RegistryPlace),
    /// There is one for the destination.
    #[error("the replication backfill '{0}' to this destination is in progress: wait for it, or stop it")]
    InProgress(String),
    /// There are as many as there may be.
    #[error(
        "the registry with id '{0}' has {MAX_RUNNING_BACKFILLS} replication backfills in progress, and that is the most"
    )]
    LimitExceeded(AccountId),
    /// It has ended, or is stopping already.
    #[error("the replication backfill '{0}' cannot be stopped: it is {1}")]
    InvalidStatus(String, hythe_meta::BackfillStatus),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A backfill with some of its images.
#[derive(Clone, Debug)]
pub struct BackfillReport {
    /// The backfill.
    pub backfill: BackfillRecord,
    /// What became of its images.
    pub images: Page<BackfillImage, (String, String)>,
}

impl ControlPlane {
    /// Starts a backfill; it goes on by itself.
    #[tracing::instrument(name = "replication_backfill.start", skip_all, fields(destination = %place))]
    pub async fn start_replication_backfill(
        &self,
        granted: &Granted<kinds::StartReplicationBackfill>,
        place: RegistryPlace,
    ) -> Result<BackfillRecord, BackfillError> {
        let account = granted.resource();
        let by = granted.caller().principal.to_string();
        let started = self
            .store()
            .start_backfill(account, &place, &by, self.stored_now())
            .await;
        started.map_err(|error| match error {
            Refusal::NotConfigured => BackfillError::NotConfigured(place),
            Refusal::InProgress(id) => BackfillError::InProgress(id),
            Refusal::LimitExceeded => BackfillError::LimitExceeded(account.clone()),
            Refusal::Store(error) => error.into(),
        })
    }

    /// Lists backfills, newest first.
    #[tracing::instrument(name = "replication_backfill.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn replication_backfills(
        &self,
        granted: &Granted<kinds::ListReplicationBackfills>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Page<BackfillRecord, String>, StoreError> {
        let found = self.store().backfills(granted.resource(), before, limit + 1).await?;
        Ok(Page::of(found, limit, |backfill| backfill.id.clone()))
    }

    /// A backfill, and what became of its images.
    #[tracing::instrument(name = "replication_backfill.describe", skip_all, fields(backfill.id = id))]
    pub async fn replication_backfill(
        &self,
        granted: &Granted<kinds::DescribeReplicationBackfillResults>,
        id: &str,
        result: Option<BackfillResult>,
        after: Option<(String, String)>,
        limit: usize,
    ) -> Result<BackfillReport, BackfillError> {
        let backfill = self.find_backfill(granted.resource(), id).await?;
        let found = self
            .store()
            .backfill_images(id, result, after.as_ref(), limit + 1)
            .await?;
        let key = |image: &BackfillImage| (image.repository.to_string(), image.reference.clone());
        Ok(BackfillReport {
            backfill,
            images: Page::of(found, limit, key),
        })
    }

    /// Has a backfill end when what is under way is done.
    #[tracing::instrument(name = "replication_backfill.stop", skip_all, fields(backfill.id = id))]
    pub async fn stop_replication_backfill(
        &self,
        granted: &Granted<kinds::StopReplicationBackfill>,
        id: &str,
    ) -> Result<BackfillRecord, BackfillError> {
        let account = granted.resource();
        if let Some(stopping) = self.store().stop_backfill(account, id, self.stored_now()).await? {
            return Ok(stopping);
        }
        let found = self.find_backfill(account, id).await?;
        Err(BackfillError::InvalidStatus(found.id, found.status))
    }

    async fn find_backfill(&self, account: &AccountId, id: &str) -> Result<BackfillRecord, BackfillError> {
        let found = self.store().backfill(account, id).await?;
        found.ok_or_else(|| BackfillError::Unknown(id.to_owned(), account.clone()))
    }
}
