// SPDX-License-Identifier: Apache-2.0
//! The policy of a repository: get, set, delete.

use hythe_access::{Action, GateError, Granted, kinds};
use hythe_meta::{ChangeRepositoryPolicyError, PolicyDocument, StoreError};
use hythe_model::RepositoryPath;
use hythe_rules::PolicyGrammar;

use crate::gate::Candidate;
use crate::policy_document::{CheckError, check_resource_policy};
use crate::{ControlPlane, DocumentError, UnknownRepository};

/// The repository has no policy. The text is ECR's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "Repository policy does not exist for the repository with name '{}' in the registry with id '{}'",
    .0.name, .0.account
)]
pub struct NoRepositoryPolicy(pub RepositoryPath);

/// Why a policy was not read or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryPolicyError {
    /// There is no such repository.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// It has no policy.
    #[error(transparent)]
    Absent(#[from] NoRepositoryPolicy),
    /// The policy has changed since the version that the request names.
    #[error("the policy has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetRepositoryPolicyError {
    /// There is no such repository.
    #[error(transparent)]
    UnknownRepository(#[from] UnknownRepository),
    /// The text is not a policy of a repository.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Under the policy the caller could not set another one.
    #[error("the policy would not let you set another one: set it with force if that is what you want")]
    LocksOut,
    /// The policy has changed since the version that the request names.
    #[error("the policy has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// It could not be decided whether the caller would be locked out.
    #[error(transparent)]
    Access(#[from] GateError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<CheckError> for SetRepositoryPolicyError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Document(error) => error.into(),
            CheckError::Store(error) => error.into(),
        }
    }
}

impl ControlPlane {
    /// The policy of a repository, as it was stored.
    #[tracing::instrument(name = "repository_policy.get", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn repository_policy(
        &self,
        granted: &Granted<kinds::GetRepositoryPolicy>,
    ) -> Result<PolicyDocument, RepositoryPolicyError> {
        let path = granted.resource();
        match self.store().repository_policy(path).await? {
            Some(found) => Ok(found),
            None if self.store().repository(path).await?.is_some() => Err(NoRepositoryPolicy(path.clone()).into()),
            None => Err(UnknownRepository(path.clone()).into()),
        }
    }

    /// Gives a repository a policy in place of the one it has; without `force` only if the caller could do so again.
    #[tracing::instrument(name = "repository_policy.set", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn set_repository_policy(
        &self,
        granted: &Granted<kinds::SetRepositoryPolicy>,
        text: &str,
        force: bool,
        expected_version: Option<i64>,
    ) -> Result<PolicyDocument, SetRepositoryPolicyError> {
        let path = granted.resource();
        if self.store().repository(path).await?.is_none() {
            return Err(UnknownRepository(path.clone()).into());
        }
        let checked = check_resource_policy(self.store(), text, PolicyGrammar::Repository, self.clock().now()).await?;
        if !force {
            let candidate = Candidate::Repository(&checked.policy);
            let resource = path.clone().into();
            let action = Action::SetRepositoryPolicy;
            if !self
                .gate()
                .would_allow(granted.caller(), action, &resource, candidate)
                .await?
            {
                return Err(SetRepositoryPolicyError::LocksOut);
            }
        }
        let set = self
            .store()
            .set_repository_policy(path, text, checked.as_of, expected_version)
            .await;
        self.gate().forget_policies();
        set.map_err(|error| match error {
            // It was there a moment ago.
            ChangeRepositoryPolicyError::UnknownRepository | ChangeRepositoryPolicyError::Absent => {
                UnknownRepository(path.clone()).into()
            }
            ChangeRepositoryPolicyError::VersionMismatch => SetRepositoryPolicyError::VersionMismatch,
            ChangeRepositoryPolicyError::Store(error) => error.into(),
        })
    }

    /// Deletes the policy of a repository; returns what was deleted.
    #[tracing::instrument(name = "repository_policy.delete", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn delete_repository_policy(
        &self,
        granted: &Granted<kinds::DeleteRepositoryPolicy>,
        expected_version: Option<i64>,
    ) -> Result<PolicyDocument, RepositoryPolicyError> {
        let path = granted.resource();
        let now = self.stored_now();
        let deleted = self.store().delete_repository_policy(path, expected_version, now).await;
        self.gate().forget_policies();
        deleted.map_err(|error| match error {
            ChangeRepositoryPolicyError::UnknownRepository => UnknownRepository(path.clone()).into(),
            ChangeRepositoryPolicyError::Absent => NoRepositoryPolicy(path.clone()).into(),
            ChangeRepositoryPolicyError::VersionMismatch => RepositoryPolicyError::VersionMismatch,
            ChangeRepositoryPolicyError::Store(error) => error.into(),
        })
    }
}
