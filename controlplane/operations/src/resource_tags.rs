// SPDX-License-Identifier: Apache-2.0
//! Resource tags of a repository: list, replace, merge, remove.

use hythe_access::{Granted, kinds};
use hythe_meta::{RepositoryChange, RepositoryRecord, StoreError, TagChange};
use hythe_model::{RepositoryPath, ResourceTagError, ResourceTags};

use crate::{ControlPlane, RepositoryError, UnknownRepository};

/// Why the resource tags were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ResourceTagsError {
    /// The repository does not exist.
    #[error(transparent)]
    Unknown(#[from] UnknownRepository),
    /// The permissions are for different repositories.
    #[error("the permissions are for different repositories")]
    Mixed,
    /// The tags would not be valid, or too many.
    #[error(transparent)]
    Tags(#[from] ResourceTagError),
    /// The repository has changed since the version that the request names.
    #[error("the repository has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a replacement of all tags takes away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedTags {
    /// The keys of the tags that are removed.
    pub removed: Vec<String>,
    /// The version of the repository that has them.
    pub version: i64,
}

impl ControlPlane {
    /// The repository with its tags.
    #[tracing::instrument(name = "resource_tags.list", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn resource_tags(
        &self,
        granted: &Granted<kinds::ListTagsForResource>,
    ) -> Result<RepositoryRecord, RepositoryError> {
        let path = granted.resource();
        let record = self.store().repository(path).await?;
        Ok(record.ok_or_else(|| UnknownRepository(path.clone()))?)
    }

    /// Which tags making `tags` the only ones would remove now, and from which version of the repository.
    #[tracing::instrument(name = "resource_tags.compare", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn replaced_resource_tags(
        &self,
        granted: &Granted<kinds::TagResource>,
        tags: &ResourceTags,
    ) -> Result<ReplacedTags, RepositoryError> {
        let path = granted.resource();
        let record = self.store().repository(path).await?;
        let record = record.ok_or_else(|| UnknownRepository(path.clone()))?;
        let keys = record.tags.as_map().keys();
        Ok(ReplacedTags {
            removed: keys.filter(|key| !tags.as_map().contains_key(*key)).cloned().collect(),
            version: record.version,
        })
    }

    /// Makes `tags` the only tags, which sets some and removes others.
    #[tracing::instrument(name = "resource_tags.replace", skip_all, fields(repository.name = %granted.0.resource().name))]
    pub async fn replace_resource_tags(
        &self,
        granted: (&Granted<kinds::TagResource>, &Granted<kinds::UntagResource>),
        tags: ResourceTags,
        expected_version: Option<i64>,
    ) -> Result<RepositoryRecord, ResourceTagsError> {
        if granted.0.resource() != granted.1.resource() {
            return Err(ResourceTagsError::Mixed);
        }
        self.change_tags(granted.0.resource(), TagChange::Replace(tags), expected_version)
            .await
    }

    /// Adds tags; those of a key that is there already get the new value.
    #[tracing::instrument(name = "resource_tags.merge", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn merge_resource_tags(
        &self,
        granted: &Granted<kinds::TagResource>,
        tags: ResourceTags,
        expected_version: Option<i64>,
    ) -> Result<RepositoryRecord, ResourceTagsError> {
        self.change_tags(granted.resource(), TagChange::Merge(tags), expected_version)
            .await
    }

    /// Removes tags; a key that is not there is passed over.
    #[tracing::instrument(name = "resource_tags.remove", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn remove_resource_tags(
        &self,
        granted: &Granted<kinds::UntagResource>,
        keys: Vec<String>,
        expected_version: Option<i64>,
    ) -> Result<RepositoryRecord, ResourceTagsError> {
        self.change_tags(granted.resource(), TagChange::Remove(keys), expected_version)
            .await
    }

    async fn change_tags(
        &self,
        path: &RepositoryPath,
        tags: TagChange,
        expected_version: Option<i64>,
    ) -> Result<RepositoryRecord, ResourceTagsError> {
        let change = RepositoryChange {
            tags: Some(tags),
            ..RepositoryChange::default()
        };
        let now = self.stored_now();
        let changed = self
            .store()
            .update_repository(path, change, expected_version, now)
            .await;
        self.gate().forget_policies();
        changed.map_err(|error| match error {
            hythe_meta::UpdateRepositoryError::Unknown => UnknownRepository(path.clone()).into(),
            hythe_meta::UpdateRepositoryError::VersionMismatch => ResourceTagsError::VersionMismatch,
            hythe_meta::UpdateRepositoryError::Tags(error) => error.into(),
            hythe_meta::UpdateRepositoryError::Store(error) => error.into(),
        })
    }
}
