// SPDX-License-Identifier: Apache-2.0
//! Repositories: create, list, describe, update, delete.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hythe_access::{Caller, Granted, authorize_each, kinds};
use hythe_meta::{
    Idempotency, NewPolicies, NewRepository, RepositoryChange, RepositoryRecord, RepositoryUsage, StoreError,
};
use hythe_model::{
    AccountId, Encryption, EncryptionType, RepositoryName, RepositoryPath, RepositoryPrefix, ResourceTags,
    TagMutability,
};

use crate::{ControlPlane, Page};

/// There is no such repository. The text is ECR's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("The repository with name '{}' does not exist in the registry with id '{}'", .0.name, .0.account)]
pub struct UnknownRepository(pub RepositoryPath);

/// Why an encryption setting cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncryptionError {
    /// A key was named for a kind that takes none.
    #[error("AES256 takes no kmsKey: the deployment's own keys are used")]
    KeyNotTaken,
    /// The name of the key is empty or longer than 2048 characters.
    #[error("a kmsKey must have 1 to 2048 characters")]
    KeyLength,
    /// No key management service is connected.
    #[error("{} needs a key management service, and this deployment is connected to none: use AES256", .0.as_str())]
    NoKeyManagement(EncryptionType),
}

/// Checks an encryption setting against ECR's rules and what this deployment can do.
pub fn check_encryption(encryption: &Encryption) -> Result<(), EncryptionError> {
    if encryption
        .kms_key
        .as_ref()
        .is_some_and(|key| !(1..=2048).contains(&key.chars().count()))
    {
        return Err(EncryptionError::KeyLength);
    }
    match encryption.kind {
        EncryptionType::Aes256 if encryption.kms_key.is_some() => Err(EncryptionError::KeyNotTaken),
        EncryptionType::Aes256 => Ok(()),
        kind @ (EncryptionType::Kms | EncryptionType::KmsDsse) => Err(EncryptionError::NoKeyManagement(kind)),
    }
}

/// What a new repository shall be like.
#[derive(Debug, Default)]
pub struct NewRepositorySettings {
    /// Whether tags may move.
    pub tag_mutability: TagMutability,
    /// Whether images are scanned when they are pushed.
    pub scan_on_push: bool,
    /// Whether an index may be pushed before its children, or without some of them.
    pub allow_sparse_indexes: bool,
    /// How images are encrypted at rest.
    pub encryption: Encryption,
    /// Resource tags, with the permission to set them.
    pub tags: Option<(Granted<kinds::TagResource>, ResourceTags)>,
    /// A key under which a repeated request has no further effect, and the text of the request.
    pub idempotency: Option<(String, Vec<u8>)>,
}

/// Why a repository was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateRepositoryError {
    /// It exists. The text is ECR's.
    #[error("The repository with name '{}' already exists in the registry with id '{}'", .0.name, .0.account)]
    AlreadyExists(RepositoryPath),
    /// The encryption cannot be had.
    #[error(transparent)]
    Encryption(#[from] EncryptionError),
    /// The idempotency key came before with another request.
    #[error("the idempotency key was used for another request: use a new key for a new request")]
    IdempotencyMismatch,
    /// The name belongs to a virtual repository.
    #[error("the name '{}' belongs to the virtual repository '{}', which holds nothing itself: choose another name", .0.name, .1)]
    Virtual(RepositoryPath, RepositoryPrefix),
    /// The registry has as many repositories as it may have.
    #[error("the registry with id '{0}' has {1} repositories, and that is the most")]
    LimitExceeded(AccountId, u64),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why repositories were not listed.
#[derive(Debug, thiserror::Error)]
pub enum ListRepositoriesError {
    /// The request carried no credentials.
    #[error("the request carries no credentials: send an access key or an authorization token")]
    Anonymous,
    /// It could not be decided which of them the caller may see.
    #[error(transparent)]
    Access(#[from] hythe_access::GateError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a repository was not described.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// It does not exist.
    #[error(transparent)]
    Unknown(#[from] UnknownRepository),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What to change, each part with the permission for it; `None` leaves it as it is.
#[derive(Debug, Default)]
pub struct RepositoryUpdate {
    /// Whether tags may move.
    pub tag_mutability: Option<(Granted<kinds::PutImageTagMutability>, TagMutability)>,
    /// Whether images are scanned when they are pushed.
    pub scan_on_push: Option<(Granted<kinds::PutImageScanningConfiguration>, bool)>,
    /// Whether an index may be pushed before its children, or without some of them. ECR has no such setting; the
    /// action is that of the other rule about what may be pushed.
    pub allow_sparse_indexes: Option<(Granted<kinds::PutImageTagMutability>, bool)>,
}

impl RepositoryUpdate {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tag_mutability.is_none() && self.scan_on_push.is_none() && self.allow_sparse_indexes.is_none()
    }
}

/// Why a repository was not updated.
#[derive(Debug, thiserror::Error)]
pub enum UpdateRepositoryError {
    /// Nothing was to be changed.
    #[error("the request changes nothing: give imageTagMutability, imageScanningConfiguration or allowSparseIndexes")]
    Nothing,
    /// The permissions are for different repositories.
    #[error("the permissions are for different repositories")]
    Mixed,
    /// It does not exist.
    #[error(transparent)]
    Unknown(#[from] UnknownRepository),
    /// It has changed since the version that the request names.
    #[error("the repository has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a repository was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteRepositoryError {
    /// It does not exist.
    #[error(transparent)]
    Unknown(#[from] UnknownRepository),
    /// It has images. The text is ECR's.
    #[error(
        "The repository with name '{}' in registry with id '{}' cannot be deleted because it still contains images",
        .0.name, .0.account
    )]
    NotEmpty(RepositoryPath),
    /// It has changed since the version that the request names.
    #[error("the repository has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How many repositories are read, and asked about, at once for a list: at least, and at most.
const MIN_PORTION: usize = 100;
const MAX_PORTION: usize = 500;
/// The most repositories that one page of a list looks at. A page may have fewer entries than were asked
/// for; it then says where the next one starts.
const MAX_LOOKED_AT: usize = 5_000;

impl ControlPlane {
    /// Creates a repository.
    #[tracing::instrument(name = "repository.create", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn create_repository(
        &self,
        granted: &Granted<kinds::CreateRepository>,
        settings: NewRepositorySettings,
    ) -> Result<RepositoryRecord, CreateRepositoryError> {
        check_encryption(&settings.encryption)?;
        let path = granted.resource();
        let idempotency = settings.idempotency.map(|(key, request)| Idempotency {
            // Keys of different principals are different keys.
            key: format!("{} {key}", granted.caller().principal),
            request_hash: STANDARD.encode(digest::digest(&digest::SHA256, &request)),
        });
        let new = NewRepository {
            path: path.clone(),
            tag_mutability: settings.tag_mutability,
            scan_on_push: settings.scan_on_push,
            allow_sparse_indexes: settings.allow_sparse_indexes,
            encryption: settings.encryption,
            tags: settings.tags.map(|(_, tags)| tags).unwrap_or_default(),
            created_at: self.clock().now(),
            idempotency,
            policies: NewPolicies::default(),
        };
        let created = self.store().create_repository(new).await;
        self.gate().forget_policies();
        created.map_err(|error| match error {
            hythe_meta::CreateRepositoryError::AlreadyExists => CreateRepositoryError::AlreadyExists(path.clone()),
            hythe_meta::CreateRepositoryError::IdempotencyMismatch => CreateRepositoryError::IdempotencyMismatch,
            hythe_meta::CreateRepositoryError::LimitExceeded(limit) => {
                CreateRepositoryError::LimitExceeded(path.account.clone(), limit)
            }
            hythe_meta::CreateRepositoryError::Virtual(owner) => CreateRepositoryError::Virtual(path.clone(), owner),
            hythe_meta::CreateRepositoryError::Store(error) => error.into(),
        })
    }

    /// Lists the repositories of `account` that `caller` may describe, by name.
    #[tracing::instrument(name = "repository.list", skip_all, fields(account.id = %account))]
    pub async fn repositories(
        &self,
        caller: &Caller,
        account: &AccountId,
        prefix: Option<&str>,
        after: Option<RepositoryName>,
        limit: usize,
    ) -> Result<Page<RepositoryRecord, RepositoryName>, ListRepositoriesError> {
        if caller.principal.is_anonymous() {
            return Err(ListRepositoriesError::Anonymous);
        }
        let caller = Arc::new(caller.clone());
        let portion = limit.saturating_add(1).clamp(MIN_PORTION, MAX_PORTION);
        let mut after = after;
        let mut items = Vec::new();
        let mut looked_at = 0;
        loop {
            let batch = self
                .store()
                .repositories(account, prefix, after.as_ref(), portion)
                .await?;
            let is_last = batch.len() < portion;
            let paths = batch.iter().map(|record| record.path.clone()).collect();
            let granted = authorize_each::<kinds::DescribeRepositories>(&**self.gate(), &caller, paths).await?;
            for (record, granted) in batch.into_iter().zip(granted) {
                if items.len() == limit {
                    return Ok(Page { items, next: after });
                }
                looked_at += 1;
                after = Some(record.path.name.clone());
                items.extend(granted.map(|_| record));
            }
            if is_last {
                return Ok(Page { items, next: None });
            }
            if looked_at >= MAX_LOOKED_AT {
                return Ok(Page { items, next: after });
            }
        }
    }

    /// Describes a repository.
    #[tracing::instrument(name = "repository.describe", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn repository(
        &self,
        granted: &Granted<kinds::DescribeRepositories>,
    ) -> Result<RepositoryRecord, RepositoryError> {
        let path = granted.resource();
        let record = self.store().repository(path).await?;
        Ok(record.ok_or_else(|| UnknownRepository(path.clone()))?)
    }

    /// Says how much a repository holds.
    #[tracing::instrument(name = "repository.usage", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn repository_usage(
        &self,
        granted: &Granted<kinds::DescribeImages>,
    ) -> Result<RepositoryUsage, RepositoryError> {
        let path = granted.resource();
        let usage = self.store().repository_usage(path).await?;
        Ok(usage.ok_or_else(|| UnknownRepository(path.clone()))?)
    }

    /// Changes settings of a repository, if it still has the version that is named.
    #[tracing::instrument(name = "repository.update", skip_all)]
    pub async fn update_repository(
        &self,
        update: RepositoryUpdate,
        expected_version: Option<i64>,
    ) -> Result<RepositoryRecord, UpdateRepositoryError> {
        let paths = [
            update
                .tag_mutability
                .as_ref()
                .map(|(granted, _)| granted.resource().clone()),
            update
                .scan_on_push
                .as_ref()
                .map(|(granted, _)| granted.resource().clone()),
            update
                .allow_sparse_indexes
                .as_ref()
                .map(|(granted, _)| granted.resource().clone()),
        ];
        let mut paths = paths.into_iter().flatten();
        let path = paths.next().ok_or(UpdateRepositoryError::Nothing)?;
        if paths.any(|other| other != path) {
            return Err(UpdateRepositoryError::Mixed);
        }
        let change = RepositoryChange {
            tag_mutability: update.tag_mutability.map(|(_, mutability)| mutability),
            scan_on_push: update.scan_on_push.map(|(_, scan_on_push)| scan_on_push),
            allow_sparse_indexes: update.allow_sparse_indexes.map(|(_, is_allowed)| is_allowed),
            tags: None,
        };
        self.store()
            .update_repository(&path, change, expected_version, self.stored_now())
            .await
            .map_err(|error| match error {
                hythe_meta::UpdateRepositoryError::Unknown => UnknownRepository(path.clone()).into(),
                hythe_meta::UpdateRepositoryError::VersionMismatch => UpdateRepositoryError::VersionMismatch,
                // No tags were to be changed.
                hythe_meta::UpdateRepositoryError::Tags(error) => StoreError::Corrupt(error.to_string()).into(),
                hythe_meta::UpdateRepositoryError::Store(error) => error.into(),
            })
    }

    /// Deletes a repository; with images only by force.
    #[tracing::instrument(name = "repository.delete", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn delete_repository(
        &self,
        granted: &Granted<kinds::DeleteRepository>,
        force: bool,
        expected_version: Option<i64>,
    ) -> Result<RepositoryRecord, DeleteRepositoryError> {
        let path = granted.resource();
        let deleted = self
            .store()
            .delete_repository(path, force, expected_version, self.clock().now())
            .await;
        self.gate().forget_policies();
        deleted.map_err(|error| match error {
            hythe_meta::DeleteRepositoryError::Unknown => UnknownRepository(path.clone()).into(),
            hythe_meta::DeleteRepositoryError::NotEmpty(_) => DeleteRepositoryError::NotEmpty(path.clone()),
            hythe_meta::DeleteRepositoryError::VersionMismatch => DeleteRepositoryError::VersionMismatch,
            hythe_meta::DeleteRepositoryError::Store(error) => error.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_encryption_that_is_there_is_accepted() {
        let check = |kind, key: Option<&str>| {
            check_encryption(&Encryption {
                kind,
                kms_key: key.map(str::to_owned),
            })
        };
        let long = "k".repeat(2049);
        assert_eq!(check(EncryptionType::Aes256, None), Ok(()));
        assert_eq!(
            check(EncryptionType::Aes256, Some("k")),
            Err(EncryptionError::KeyNotTaken)
        );
        assert_eq!(check(EncryptionType::Kms, Some("")), Err(EncryptionError::KeyLength));
        assert_eq!(check(EncryptionType::Kms, Some(&long)), Err(EncryptionError::KeyLength));
        assert_eq!(
            check(EncryptionType::Kms, None),
            Err(EncryptionError::NoKeyManagement(EncryptionType::Kms))
        );
        assert_eq!(
            check(EncryptionType::KmsDsse, Some("alias/k")),
            Err(EncryptionError::NoKeyManagement(EncryptionType::KmsDsse))
        );
    }
}
