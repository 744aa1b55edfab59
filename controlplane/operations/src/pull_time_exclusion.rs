// SPDX-License-Identifier: Apache-2.0
//! Users and roles whose pulls do not count (ECR, "Excluding IAM principals from pull time updates"): scanners, mirrors
//! and others that read everything, and would keep every image alive.

use hythe_access::{Granted, PrincipalArn, kinds};
use hythe_meta::{AddExclusionError, MAX_PULL_TIME_EXCLUSIONS, PullTimeExclusion, StoreError};
use hythe_model::AccountId;

use crate::{ControlPlane, Page};

/// Why pulls of a principal count as before.
#[derive(Debug, thiserror::Error)]
pub enum RegisterExclusionError {
    /// They do not count already.
    #[error("The pulls of '{0}' are excluded already in the registry with id '{1}'")]
    AlreadyExists(PrincipalArn, AccountId),
    /// One more would be too many.
    #[error("a registry can exclude the pulls of at most {MAX_PULL_TIME_EXCLUSIONS} principals")]
    LimitExceeded,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why pulls of a principal do not count again.
#[derive(Debug, thiserror::Error)]
pub enum DeregisterExclusionError {
    /// They count.
    #[error("The pulls of '{0}' are not excluded in the registry with id '{1}'")]
    Absent(PrincipalArn, AccountId),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// Whose pulls do not count, by ARN.
    #[tracing::instrument(name = "pull_time_exclusion.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn pull_time_exclusions(
        &self,
        granted: &Granted<kinds::ListPullTimeUpdateExclusions>,
        after: Option<String>,
        limit: usize,
    ) -> Result<Page<PullTimeExclusion, String>, StoreError> {
        let found = self
            .store()
            .pull_time_exclusions(granted.resource(), after.as_deref(), limit + 1)
            .await?;
        Ok(Page::of(found, limit, |last| last.principal_arn.clone()))
    }

    /// Lets pulls of a user or a role, of whatever account, not count from now on.
    #[tracing::instrument(name = "pull_time_exclusion.register", skip_all, fields(
        account.id = %granted.resource(), principal.arn = %principal))]
    pub async fn register_pull_time_exclusion(
        &self,
        granted: &Granted<kinds::RegisterPullTimeUpdateExclusion>,
        principal: &PrincipalArn,
    ) -> Result<PullTimeExclusion, RegisterExclusionError> {
        let (account, arn, now) = (granted.resource(), principal.to_string(), self.now());
        let added = self.store().add_pull_time_exclusion(account, &arn, now).await;
        added.map_err(|error| match error {
            AddExclusionError::AlreadyExists => {
                RegisterExclusionError::AlreadyExists(principal.clone(), account.clone())
            }
            AddExclusionError::LimitExceeded => RegisterExclusionError::LimitExceeded,
            AddExclusionError::Store(error) => error.into(),
        })?;
        Ok(PullTimeExclusion {
            principal_arn: arn,
            created_at: now,
        })
    }

    /// Lets them count again.
    #[tracing::instrument(name = "pull_time_exclusion.deregister", skip_all, fields(
        account.id = %granted.resource(), principal.arn = %principal))]
    pub async fn deregister_pull_time_exclusion(
        &self,
        granted: &Granted<kinds::DeregisterPullTimeUpdateExclusion>,
        principal: &PrincipalArn,
    ) -> Result<PullTimeExclusion, DeregisterExclusionError> {
        let (account, arn) = (granted.resource(), principal.to_string());
        let removed = self.store().remove_pull_time_exclusion(account, &arn).await?;
        removed.ok_or_else(|| DeregisterExclusionError::Absent(principal.clone(), account.clone()))
    }
}
