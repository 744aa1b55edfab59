// SPDX-License-Identifier: Apache-2.0
//! Images (manifests of every kind), their tags and their referrers.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use hythe_model::{Digest, Manifest, MediaType, Reference, ReplicationPath, RepositoryPath, Tag};
use jiff::Timestamp;

use crate::CatalogError;

/// The most tags of one image (ECR, "Service quotas": tags per image).
pub const MAX_TAGS_PER_IMAGE: usize = 1000;

/// An image to store.
#[derive(Clone, Debug)]
pub struct NewImage {
    /// The manifest.
    pub manifest: Manifest,
    /// The digest of its bytes, which was computed.
    pub digest: Digest,
    /// Tags that shall point to it; may be empty.
    pub tags: Vec<Tag>,
    /// When it was pushed.
    pub pushed_at: Timestamp,
    /// Who pushed it: the principal's ARN, for the history of the tags.
    pub pushed_by: String,
}

/// What storing an image changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PutOutcome {
    /// Whether the manifest was not there before.
    pub is_new: bool,
}

/// What storing a replica changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaOutcome {
    /// Whether the manifest was not there before.
    pub is_new: bool,
    /// The tags that it was not given, as they point elsewhere and may not be moved.
    pub refused_tags: Vec<Tag>,
}

/// Why an image was not stored. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum PutImageError {
    /// The configuration or layers are not in the repository.
    #[error("layers with digests `{}` do not exist in the repository: push them first", join(.0))]
    BlobsUnknown(Vec<Digest>),
    /// Manifests that the index lists are not in the repository, which takes no sparse indexes.
    #[error("images with digests `{}` do not exist in the repository: push them before the index", join(.0))]
    ChildrenUnknown(Vec<Digest>),
    /// The tag exists and may not be moved. The text is ECR's.
    #[error(
        "The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten because the tag is immutable."
    )]
    TagImmutable {
        /// The tag.
        tag: Tag,
        /// The name of the repository.
        repository: String,
    },
    /// The image would have more than [`MAX_TAGS_PER_IMAGE`] tags.
    #[error("an image may have at most {MAX_TAGS_PER_IMAGE} tags")]
    TooManyTags,
    /// The store refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// Why an image was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeleteImageError {
    /// Indexes list it. The text is ECR's.
    #[error("Requested image referenced by manifest list: [{}]", join(.0))]
    ReferencedByIndex(Vec<Digest>),
    /// The store refused or failed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A stored image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRecord {
    /// The digest of `bytes`.
    pub digest: Digest,
    /// The media type it was pushed as.
    pub media_type: MediaType,
    /// The manifest, exactly as it was pushed.
    pub bytes: Bytes,
}

/// What deleting removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedImage {
    /// The image that was, or that the tag pointed to.
    pub digest: Digest,
    /// The tags that are gone.
    pub tags: Vec<Tag>,
    /// Whether the image itself is gone, not only a tag of it.
    pub is_image_gone: bool,
}

/// An image that refers to another (OCI Distribution Specification 1.1, "Listing Referrers").
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Referrer {
    /// Its digest.
    pub digest: Digest,
    /// Its media type.
    pub media_type: MediaType,
    /// The size of its manifest, in bytes.
    pub size: u64,
    /// The type of artifact it is.
    pub artifact_type: Option<String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Images and tags.
#[async_trait]
pub trait ImageCatalog {
    /// Stores an image and points its tags to it, in one step. Checks in the same step that all blobs and
    /// children are in the repository, and that no tag moves that must not. An image that is there already
    /// keeps its first push time; a tag that already points to it stays as it is on a mutable repository.
    ///
    /// A repository that takes sparse indexes (OCI Distribution Specification 1.1, "Pushing Manifests") takes an
    /// index whose children are not all there. A child that is pushed later is protected by the index from then on.
    async fn put_image(&self, repository: &RepositoryPath, image: NewImage) -> Result<PutOutcome, PutImageError>;

    /// As [`Self::put_image`], of an image that came from another deployment by these registries: tags that may not be
    /// moved stay where they are, and the image comes without them (ECR, "Private image replication").
    async fn put_replica(
        &self,
        repository: &RepositoryPath,
        image: NewImage,
        _path: &ReplicationPath,
    ) -> Result<ReplicaOutcome, PutImageError> {
        let mut image = image;
        let mut refused_tags = Vec::new();
        loop {
            match self.put_image(repository, image.clone()).await {
                Ok(PutOutcome { is_new }) => return Ok(ReplicaOutcome { is_new, refused_tags }),
                // Ends, as each time there is one tag less.
                Err(PutImageError::TagImmutable { tag, .. }) if image.tags.contains(&tag) => {
                    image.tags.retain(|other| *other != tag);
                    refused_tags.push(tag);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The image that `reference` names.
    async fn image(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
    ) -> Result<Option<ImageRecord>, CatalogError>;

    /// By tag: removes the tag, and the image with its last tag (ECR, "Deleting an image"). By digest: removes the image
    /// and all its tags. Neither the image nor its last tag can be removed while an index lists it.
    /// `None` if there is no such image.
    async fn delete_image(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
        deleted_at: Timestamp,
        deleted_by: &str,
    ) -> Result<Option<DeletedImage>, DeleteImageError>;

    /// The tags after `after`, by bytes, at most `limit` of them; `None` if the repository does not exist.
    async fn tags(
        &self,
        repository: &RepositoryPath,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<Tag>>, CatalogError>;

    /// The images that refer to `subject`, by digest, after `after`, at most `limit`, only of `artifact_type` if given.
    async fn referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Referrer>, CatalogError>;
}

fn join(digests: &[Digest]) -> String {
    const MAX_LISTED: usize = 20;
    let mut text = digests
        .iter()
        .take(MAX_LISTED)
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if digests.len() > MAX_LISTED {
        text.push_str(", …");
    }
    text
}
