// SPDX-License-Identifier: Apache-2.0
//! Virtual repositories: create, list, describe, change, delete; and what the data plane knows of them.
//!
//! A virtual repository gives nobody a right: whoever reads through it needs the right to read the source that answers.

use std::sync::Arc;

use hythe_access::{Granted, kinds};
use hythe_meta::{
    ChangeVirtualRepositoryError, MAX_VIRTUAL_REPOSITORIES_PER_ACCOUNT, NameOverlap, Store, StoreError,
    VirtualRepositoryRecord,
};
use hythe_model::{AccountId, Clock, RepositoryPrefix, VirtualRepository, VirtualSources};

use crate::gate::Fresh;
use crate::{ControlPlane, Page};

/// The longest description, in characters.
pub const MAX_VIRTUAL_DESCRIPTION_CHARS: usize = 256;
/// How often a change without an expected version is tried anew when others change the same at the same time.
const MAX_ATTEMPTS: usize = 5;

/// There is no virtual repository of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The virtual repository with name '{0}' does not exist in the registry with id '{1}'")]
pub struct UnknownVirtualRepository(pub RepositoryPrefix, pub AccountId);

/// Why a virtual repository was not created or not changed.
#[derive(Debug, thiserror::Error)]
pub enum PutVirtualRepositoryError {
    /// There is one of this name.
    #[error("The virtual repository with name '{0}' already exists in the registry with id '{1}'")]
    AlreadyExists(RepositoryPrefix, AccountId),
    /// The account has as many as it may have.
    #[error(
        "the registry with id '{0}' has {MAX_VIRTUAL_REPOSITORIES_PER_ACCOUNT} virtual repositories, and that is the most"
    )]
    LimitExceeded(AccountId),
    /// The whole registry cannot be virtual.
    #[error("`ROOT` cannot be the name of a virtual repository: choose a name that no repository begins with")]
    Root,
    /// The description is too long.
    #[error("it must have at most {MAX_VIRTUAL_DESCRIPTION_CHARS} characters")]
    Description,
    /// Its name or its sources would overlap something.
    #[error("the virtual repository `{0}` is not possible: {1}")]
    Overlap(RepositoryPrefix, #[source] NameOverlap),
    /// There is none of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownVirtualRepository),
    /// The request changes nothing.
    #[error("the request changes nothing: give `sources` or `description`")]
    Nothing,
    /// It has changed since the version that the request names.
    #[error("the virtual repository has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a virtual repository was not found, or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum VirtualRepositoryError {
    /// There is none of this name.
    #[error(transparent)]
    Unknown(#[from] UnknownVirtualRepository),
    /// It has changed since the version that the request names.
    #[error("the virtual repository has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to change; `None` leaves it as it is, an empty description takes it away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VirtualRepositoryChange {
    /// Where it is read from.
    pub sources: Option<VirtualSources>,
    /// What it is for.
    pub description: Option<String>,
}

/// The virtual repositories of accounts, as they were at most a second ago; what this process changes counts at once.
#[derive(Debug)]
pub struct VirtualNames {
    store: Store,
    clock: Arc<dyn Clock>,
    // An account without any has an entry, too.
    known: Fresh<AccountId, Arc<[VirtualRepository]>>,
}

impl VirtualNames {
    pub(crate) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            known: Fresh::new(),
        }
    }

    /// Those of an account, if they are known.
    #[must_use]
    pub fn known(&self, account: &AccountId) -> Option<Arc<[VirtualRepository]>> {
        self.known.get(account, self.clock.now()).ok()
    }

    /// Those of an account.
    pub async fn read(&self, account: &AccountId) -> Result<Arc<[VirtualRepository]>, StoreError> {
        let (now, generation) = (self.clock.now(), self.known.generation());
        let limit = MAX_VIRTUAL_REPOSITORIES_PER_ACCOUNT * 2; // creates at the same time may overshoot the limit
        let records = self.store.virtual_repositories(account, None, limit).await?;
        let found: Arc<[VirtualRepository]> = records.into_iter().map(|record| record.repository).collect();
        self.known.put(generation, account.clone(), Arc::clone(&found), now);
        Ok(found)
    }
}

impl ControlPlane {
    /// Creates a virtual repository.
    #[tracing::instrument(name = "virtual_repository.create", skip_all, fields(repository.name = %name))]
    pub async fn create_virtual_repository(
        &self,
        granted: &Granted<kinds::CreateVirtualRepository>,
        name: RepositoryPrefix,
        sources: VirtualSources,
        description: Option<String>,
    ) -> Result<VirtualRepositoryRecord, PutVirtualRepositoryError> {
        let account = granted.resource();
        if name.is_root() {
            return Err(PutVirtualRepositoryError::Root);
        }
        let now = self.stored_now();
        let new = VirtualRepositoryRecord {
            account: account.clone(),
            repository: VirtualRepository {
                name: name.clone(),
                sources,
            },
            description: checked_description(description)?,
            created_at: now,
            updated_at: now,
            version: 0,
        };
        let created = self.store().create_virtual_repository(&new).await;
        self.virtual_names().known.clear();
        created.map_err(|error| match error {
            hythe_meta::CreateVirtualRepositoryError::AlreadyExists => {
                PutVirtualRepositoryError::AlreadyExists(name, account.clone())
            }
            hythe_meta::CreateVirtualRepositoryError::LimitExceeded => {
                PutVirtualRepositoryError::LimitExceeded(account.clone())
            }
            hythe_meta::CreateVirtualRepositoryError::Overlap(overlap) => {
                PutVirtualRepositoryError::Overlap(name, overlap)
            }
            hythe_meta::CreateVirtualRepositoryError::Store(error) => error.into(),
        })
    }

    /// Lists the virtual repositories of the account by name.
    #[tracing::instrument(name = "virtual_repository.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn virtual_repositories(
        &self,
        granted: &Granted<kinds::DescribeVirtualRepositories>,
        after: Option<RepositoryPrefix>,
        limit: usize,
    ) -> Result<Page<VirtualRepositoryRecord, RepositoryPrefix>, StoreError> {
        let found = self
            .store()
            .virtual_repositories(granted.resource(), after.as_ref(), limit + 1)
            .await?;
        Ok(Page::of(found, limit, |record| record.repository.name.clone()))
    }

    /// Describes a virtual repository.
    #[tracing::instrument(name = "virtual_repository.describe", skip_all, fields(repository.name = %name))]
    pub async fn virtual_repository(
        &self,
        granted: &Granted<kinds::DescribeVirtualRepositories>,
        name: &RepositoryPrefix,
    ) -> Result<VirtualRepositoryRecord, VirtualRepositoryError> {
        let account = granted.resource();
        let found = self.store().virtual_repository(account, name).await?;
        Ok(found.ok_or_else(|| UnknownVirtualRepository(name.clone(), account.clone()))?)
    }

    /// Changes a virtual repository.
    #[tracing::instrument(name = "virtual_repository.update", skip_all, fields(repository.name = %name))]
    pub async fn update_virtual_repository(
        &self,
        granted: &Granted<kinds::UpdateVirtualRepository>,
        name: &RepositoryPrefix,
        change: VirtualRepositoryChange,
        expected_version: Option<i64>,
    ) -> Result<VirtualRepositoryRecord, PutVirtualRepositoryError> {
        let account = granted.resource();
        if change == VirtualRepositoryChange::default() {
            return Err(PutVirtualRepositoryError::Nothing);
        }
        let unknown = || UnknownVirtualRepository(name.clone(), account.clone());
        for _ in 0..MAX_ATTEMPTS {
            let found = self.store().virtual_repository(account, name).await?;
            let found = found.ok_or_else(unknown)?;
            if expected_version.is_some_and(|version| version != found.version) {
                break;
            }
            let changed = VirtualRepository {
                name: name.clone(),
                sources: change.sources.clone().unwrap_or(found.repository.sources),
            };
            let description = match change.description.clone() {
                Some(text) => checked_description(Some(text))?,
                None => found.description,
            };
            let (now, version) = (self.stored_now(), found.version);
            let updated = self
                .store()
                .update_virtual_repository(account, changed, description, now, version)
                .await;
            self.virtual_names().known.clear();
            match updated {
                Ok(updated) => return Ok(updated),
                Err(ChangeVirtualRepositoryError::VersionMismatch) => {}
                Err(ChangeVirtualRepositoryError::Unknown) => return Err(unknown().into()),
                Err(ChangeVirtualRepositoryError::Overlap(overlap)) => {
                    return Err(PutVirtualRepositoryError::Overlap(name.clone(), overlap));
                }
                Err(ChangeVirtualRepositoryError::Store(error)) => return Err(error.into()),
            }
        }
        Err(PutVirtualRepositoryError::VersionMismatch)
    }

    /// Deletes a virtual repository; the repositories that it was read from stay as they are.
    #[tracing::instrument(name = "virtual_repository.delete", skip_all, fields(repository.name = %name))]
    pub async fn delete_virtual_repository(
        &self,
        granted: &Granted<kinds::DeleteVirtualRepository>,
        name: &RepositoryPrefix,
        expected_version: Option<i64>,
    ) -> Result<VirtualRepositoryRecord, VirtualRepositoryError> {
        let account = granted.resource();
        let deleted = self
            .store()
            .delete_virtual_repository(account, name, expected_version)
            .await;
        self.virtual_names().known.clear();
        deleted.map_err(|error| match error {
            ChangeVirtualRepositoryError::Unknown => UnknownVirtualRepository(name.clone(), account.clone()).into(),
            ChangeVirtualRepositoryError::VersionMismatch => VirtualRepositoryError::VersionMismatch,
            // Whoever deletes overlaps nothing.
            ChangeVirtualRepositoryError::Overlap(overlap) => StoreError::Corrupt(overlap.to_string()).into(),
            ChangeVirtualRepositoryError::Store(error) => error.into(),
        })
    }
}

fn checked_description(text: Option<String>) -> Result<Option<String>, PutVirtualRepositoryError> {
    match text {
        Some(text) if text.chars().count() > MAX_VIRTUAL_DESCRIPTION_CHARS => {
            Err(PutVirtualRepositoryError::Description)
        }
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}
