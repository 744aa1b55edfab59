// SPDX-License-Identifier: Apache-2.0
//! Repositories that the data plane needs and the control plane creates.

use async_trait::async_trait;
use hythe_access::Caller;
use hythe_distribution::{CreationError, RepositoryCreator};
use hythe_model::{CreationTrigger, RepositoryPath};
use hythe_operations::{ControlPlane, CreateFromTemplateError, CreateRepositoryError};

/// Creates repositories from the templates of their registry.
#[derive(Debug)]
pub struct Creator(pub ControlPlane);

#[async_trait]
impl RepositoryCreator for Creator {
    async fn create(
        &self,
        caller: &Caller,
        repository: &RepositoryPath,
        trigger: CreationTrigger,
    ) -> Result<bool, CreationError> {
        let created = self.0.create_repository_for(caller, repository, trigger).await;
        created.map_err(refused_or_failed)
    }
}

/// What the data plane is told.
pub(crate) fn refused_or_failed(error: CreateFromTemplateError) -> CreationError {
    match error {
        CreateFromTemplateError::Settings(..)
        | CreateFromTemplateError::Create(
            CreateRepositoryError::LimitExceeded(..) | CreateRepositoryError::Virtual(..),
        ) => CreationError::Refused(error.to_string()),
        CreateFromTemplateError::Access(_) | CreateFromTemplateError::Create(_) | CreateFromTemplateError::Store(_) => {
            CreationError::Failed(Box::new(error))
        }
    }
}
