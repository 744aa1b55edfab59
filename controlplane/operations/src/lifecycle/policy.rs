// SPDX-License-Identifier: Apache-2.0
//! The lifecycle policy of a repository: get, put, delete.

use hythe_access::{Granted, kinds};
use hythe_meta::{ChangeRepositoryPolicyError, LifecyclePolicyRecord, StoreError};
use hythe_model::RepositoryPath;
use hythe_rules::lifecycle::{LifecyclePolicy, LifecyclePolicyError as Invalid};
use jiff::Timestamp;

use crate::{ControlPlane, UnknownRepository};

/// The repository has no lifecycle policy. The text is ECR's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Lifecycle policy does not exist for the repository with name '{}' in the registry with id '{}'",
    .0.name, .0.account
)]
pub struct NoLifecyclePolicy(pub RepositoryPath);

/// Why a policy was not read or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum LifecyclePolicyError {
    /// There is no such repository.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// It has no policy.
    #[error(transparent)]
    Absent(#[from] NoLifecyclePolicy),
    /// The policy has changed since the version that the request names.
    #[error("the policy has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy was not put.
#[derive(Debug, thiserror::Error)]
pub enum PutLifecyclePolicyError {
    /// There is no such repository.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// The text is not a lifecycle policy.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The policy has changed since the version that the request names.
    #[error("the policy has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ControlPlane {
    /// The lifecycle policy of a repository, as it was put.
    #[tracing::instrument(name = "lifecycle_policy.get", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn lifecycle_policy(
        &self,
        granted: &Granted<kinds::GetLifecyclePolicy>,
    ) -> Result<LifecyclePolicyRecord, LifecyclePolicyError> {
        let path = granted.resource();
        match self.store().lifecycle_policy(path).await? {
            Some(found) => Ok(found),
            None if self.store().repository(path).await?.is_some() => Err(NoLifecyclePolicy(path.clone()).into()),
            None => Err(UnknownRepository(path.clone()).into()),
        }
    }

    /// Gives a repository a lifecycle policy in place of the one it has. It is first evaluated a period later, so that
    /// who made a mistake has time to see it.
    #[tracing::instrument(name = "lifecycle_policy.put", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn put_lifecycle_policy(
        &self,
        granted: &Granted<kinds::PutLifecyclePolicy>,
        text: &str,
        expected_version: Option<i64>,
    ) -> Result<LifecyclePolicyRecord, PutLifecyclePolicyError> {
        let (path, now) = (granted.resource(), self.now());
        if self.store().repository(path).await?.is_none() {
            return Err(UnknownRepository(path.clone()).into());
        }
        self.check_lifecycle_policy(text)?;
        let due = now.checked_add(self.lifecycle().period).unwrap_or(Timestamp::MAX);
        let put = self
            .store()
            .put_lifecycle_policy(path, text, now, due, expected_version)
            .await;
        put.map_err(|error| match error {
            // It was there a moment ago.
            ChangeRepositoryPolicyError::UnknownRepository | ChangeRepositoryPolicyError::Absent => {
                UnknownRepository(path.clone()).into()
            }
            ChangeRepositoryPolicyError::VersionMismatch => PutLifecyclePolicyError::VersionMismatch,
            ChangeRepositoryPolicyError::Store(error) => error.into(),
        })
    }

    /// Deletes the lifecycle policy of a repository; returns what was deleted. A run of it that is under way stops.
    #[tracing::instrument(name = "lifecycle_policy.delete", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn delete_lifecycle_policy(
        &self,
        granted: &Granted<kinds::DeleteLifecyclePolicy>,
        expected_version: Option<i64>,
    ) -> Result<LifecyclePolicyRecord, LifecyclePolicyError> {
        let path = granted.resource();
        let now = self.stored_now();
        let deleted = self.store().delete_lifecycle_policy(path, expected_version, now).await;
        deleted.map_err(|error| match error {
            ChangeRepositoryPolicyError::UnknownRepository => UnknownRepository(path.clone()).into(),
            ChangeRepositoryPolicyError::Absent => NoLifecyclePolicy(path.clone()).into(),
            ChangeRepositoryPolicyError::VersionMismatch => LifecyclePolicyError::VersionMismatch,
            ChangeRepositoryPolicyError::Store(error) => error.into(),
        })
    }

    /// Whether a text is a policy that this server takes.
    pub(crate) fn check_lifecycle_policy(&self, text: &str) -> Result<LifecyclePolicy, Invalid> {
        if self.lifecycle().is_strict {
            LifecyclePolicy::parse_strict(text)
        } else {
            LifecyclePolicy::parse(text)
        }
    }
}
