// SPDX-License-Identifier: Apache-2.0
//! Repositories that are created because a push needs them.

use std::error::Error;
use std::fmt::Debug;

use async_trait::async_trait;
use hythe_access::Caller;
use hythe_model::{CreationTrigger, RepositoryPath};

use crate::auth::Visitor;

/// Creates repositories that nobody has created; the control plane does.
#[async_trait]
pub trait RepositoryCreator: Debug + Send + Sync {
    /// Creates the repository if its registry creates such ones, for what `trigger` says, and `caller` may create it; says
    /// whether it is there now.
    async fn create(
        &self,
        caller: &Caller,
        repository: &RepositoryPath,
        trigger: CreationTrigger,
    ) -> Result<bool, CreationError>;
}

/// Why a repository could not be created. It may be possible later.
#[derive(Debug, thiserror::Error)]
pub enum CreationError {
    /// The registry has as many repositories as it may have, or its template cannot be used any more.
    #[error("{0}")]
    Refused(String),
    /// The control plane failed.
    #[error("cannot create the repository")]
    Failed(#[source] Box<dyn Error + Send + Sync>),
}

/// Creates the repository of a push, if that is what is missing; says whether it was.
pub(crate) async fn create_on_push(visitor: &Visitor, repository: &RepositoryPath) -> Result<bool, CreationError> {
    let trigger = match visitor.replica {
        Some(_) => CreationTrigger::Replication,
        None => CreationTrigger::CreateOnPush,
    };
    match visitor.registry.creator() {
        Some(creator) => creator.create(&visitor.caller, repository, trigger).await,
        None => Ok(false),
    }
}
