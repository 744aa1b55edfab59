// SPDX-License-Identifier: Apache-2.0
//! Deleting images (ECR, "Deleting an image"), softly: for as long as the registry's settings say they can be
//! restored (`image_restore.rs`).

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use hythe_catalog::{CatalogError, DeleteImageError, DeletedImage};
use hythe_model::{Digest, ParseError, Reference, RepositoryPath, Tag};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::cache::Fact;
use crate::session::{Session, values};
use crate::subject_change::later;
use crate::tag::Mover;
use crate::writer::Durability;
use crate::{Store, StoreError, blob_tier, registry_setting, replication, repository, review, subject_change, tag};

/// The most images that one deletion names (ECR, `BatchDeleteImage`).
pub const MAX_IMAGES_PER_DELETION: usize = 100;

/// What a deletion names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ImageIdentifier {
    /// A tag: it goes, and with the last one its image.
    Tag(Tag),
    /// An image: it goes with all its tags.
    Digest(Digest),
    /// As [`ImageIdentifier::Tag`], if the tag points to this image.
    TagOfImage(Tag, Digest),
}

impl From<&Reference> for ImageIdentifier {
    fn from(reference: &Reference) -> Self {
        match reference {
            Reference::Tag(tag) => Self::Tag(tag.clone()),
            Reference::Digest(digest) => Self::Digest(*digest),
        }
    }
}

/// Why an image is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeletionReason {
    /// Somebody asked for it.
    Request,
    /// A rule of the lifecycle policy of the repository took it.
    Lifecycle {
        /// The priority of the rule.
        rule_priority: u32,
        /// Which text of the policy; must have no spaces.
        policy_hash: Option<String>,
    },
    /// It refers to this image, which was deleted.
    SubjectDeleted(Digest),
}

/// As it is stored.
impl fmt::Display for DeletionReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request => formatter.write_str("REQUEST"),
            Self::Lifecycle {
                rule_priority,
                policy_hash: None,
            } => write!(formatter, "LIFECYCLE {rule_priority}"),
            Self::Lifecycle {
                rule_priority,
                policy_hash: Some(hash),
            } => write!(formatter, "LIFECYCLE {rule_priority} {hash}"),
            Self::SubjectDeleted(subject) => write!(formatter, "SUBJECT_DELETED {subject}"),
        }
    }
}

impl FromStr for DeletionReason {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let invalid = || ParseError::new("reason of a deletion", text, "it must be one that was stored");
        let mut words = text.split(' ');
        let reason = match (words.next(), words.next(), words.next()) {
            (Some("REQUEST"), None, _) => Self::Request,
            (Some("LIFECYCLE"), Some(priority), hash) => Self::Lifecycle {
                rule_priority: priority.parse().map_err(|_| invalid())?,
                policy_hash: hash.map(str::to_owned),
            },
            (Some("SUBJECT_DELETED"), Some(subject), None) => Self::SubjectDeleted(subject.parse()?),
            _ => return Err(invalid()),
        };
        Ok(reason)
    }
}

/// When, by whom and why images are deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deletion {
    /// When.
    pub at: Timestamp,
    /// The ARN of who deletes.
    pub by: String,
    /// Why.
    pub reason: DeletionReason,
}

/// Why one of the images that a deletion names was not deleted. The texts are ECR's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageNotDeleted {
    /// There is no such image.
    #[error("Requested image not found")]
    Unknown,
    /// The tag points to this image instead.
    #[error("The image tag does not match the image digest: it points to {0}")]
    TagDoesNotMatchDigest(Digest),
    /// Indexes list it.
    #[error("Requested image referenced by manifest list: [{}]", join(.0))]
    ReferencedByIndex(Vec<Digest>),
}

fn join(digests: &[Digest]) -> String {
    digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What became of each image that a deletion names, in its order.
pub type ImageDeletions = Vec<Result<DeletedImage, ImageNotDeleted>>;

impl Store {
    /// Deletes images as ECR's `BatchDeleteImage` does, in one transaction; at most [`MAX_IMAGES_PER_DELETION`] should
    /// be asked for at once. An image that an index lists when this begins stays, also if the index goes.
    /// Only a repository that is not there fails the whole.
    pub async fn delete_images(
        &self,
        repository: &RepositoryPath,
        images: &[ImageIdentifier],
        deletion: &Deletion,
    ) -> Result<ImageDeletions, CatalogError> {
        let input = (repository.clone(), images.to_vec(), deletion.clone());
        let deletions = self
            .write(Durability::Full, input, |session, (repository, images, deletion)| {
                Box::pin(delete_all(session, repository, images, deletion))
            })
            .await?;
        let gone = |deleted: &&Result<DeletedImage, _>| deleted.as_ref().is_ok_and(|it| it.is_image_gone);
        self.counts()
            .deleted(&deletion.reason, deletions.iter().filter(gone).count());
        Ok(deletions)
    }

    /// As [`Store::delete_images`], of one.
    pub(crate) async fn delete_one(
        &self,
        repository: &RepositoryPath,
        image: ImageIdentifier,
        deletion: &Deletion,
    ) -> Result<Option<DeletedImage>, DeleteImageError> {
        let deletions = self.delete_images(repository, &[image], deletion).await?;
        match deletions.into_iter().next() {
            Some(Ok(deleted)) => Ok(Some(deleted)),
            Some(Err(ImageNotDeleted::ReferencedByIndex(indexes))) => Err(DeleteImageError::ReferencedByIndex(indexes)),
            Some(Err(ImageNotDeleted::Unknown | ImageNotDeleted::TagDoesNotMatchDigest(_))) | None => Ok(None),
        }
    }
}

async fn delete_all(
    session: &mut Session,
    path: &RepositoryPath,
    images: &[ImageIdentifier],
    deletion: &Deletion,
) -> Result<ImageDeletions, CatalogError> {
    let Some(id) = repository::find_id(session, path).await? else {
        return Err(CatalogError::RepositoryUnknown(path.clone()));
    };
    let retention = registry_setting::retention(session, &path.account).await?;
    let place = Place { path, id, retention };
    let mut protected = HashMap::new();
    for image in images {
        if let Ok(digest) = find(session, &place.id, image).await?
            && !protected.contains_key(&digest)
        {
            protected.insert(digest, listing_indexes(session, &place.id, &digest).await?);
        }
    }
    let mut deletions = Vec::with_capacity(images.len());
    for image in images {
        deletions.push(match find(session, &place.id, image).await? {
            Ok(digest) => {
                let indexes = protected.get(&digest).map_or(&[][..], Vec::as_slice);
                place.delete(session, image, digest, indexes, deletion).await?
            }
            Err(failure) => Err(failure),
        });
    }
    Ok(deletions)
}

const EXISTS: &str = "SELECT digest FROM image WHERE repository_id = $1 AND digest = $2";
/// The image that is meant.
async fn find(
    session: &mut Session,
    id: &str,
    image: &ImageIdentifier,
) -> Result<Result<Digest, ImageNotDeleted>, StoreError> {
    let found = match image {
        ImageIdentifier::Tag(tag) | ImageIdentifier::TagOfImage(tag, _) => tag::target(session, id, tag).await?,
        ImageIdentifier::Digest(digest) => session
            .fetch_optional(EXISTS, values![id, digest])
            .await?
            .map(|_| *digest),
    };
    Ok(match (found, image) {
        (None, _) => Err(ImageNotDeleted::Unknown),
        (Some(found), ImageIdentifier::TagOfImage(_, wanted)) if found != *wanted => {
            Err(ImageNotDeleted::TagDoesNotMatchDigest(found))
        }
        (Some(found), _) => Ok(found),
    })
}

/// The most indexes that an error names.
const MAX_NAMED_INDEXES: usize = 100;
/// Also those that missed the child when they were pushed: a node of the previous version does not move the row
/// when the child comes.
const LISTING_INDEXES: &str = "
    SELECT image_digest FROM image_child WHERE repository_id = $1 AND child_digest = $2
     UNION
    SELECT image_digest FROM image_missing_child WHERE repository_id = $1 AND child_digest = $2
     ORDER BY image_digest LIMIT $3";

/// The indexes that list an image, or expect it.
pub(crate) async fn listing_indexes(
    session: &mut Session,
    id: &str,
    digest: &Digest,
) -> Result<Vec<Digest>, StoreError> {
    let rows = session
        .fetch_all(LISTING_INDEXES, values![id, digest, MAX_NAMED_INDEXES])
        .await?;
    rows.iter().map(|row| row.parsed(0)).collect()
}

/// Where images are deleted.
pub(crate) struct Place<'p> {
    pub(crate) path: &'p RepositoryPath,
    /// The key of the repository.
    pub(crate) id: String,
    /// For how long they can be restored.
    pub(crate) retention: SignedDuration,
}

impl Place<'_> {
    /// Deletes `digest`, which is there and which `image` names, unless one of `indexes` keeps it.
    pub(crate) async fn delete(
        &self,
        session: &mut Session,
        image: &ImageIdentifier,
        digest: Digest,
        indexes: &[Digest],
        deletion: &Deletion,
    ) -> Result<Result<DeletedImage, ImageNotDeleted>, StoreError> {
        let mover = Mover {
            at: deletion.at,
            by: &deletion.by,
        };
        let is_image_gone = match image {
            ImageIdentifier::Digest(_) => true,
            ImageIdentifier::Tag(_) | ImageIdentifier::TagOfImage(..) => {
                tag::count(session, &self.id, &digest).await? == 1
            }
        };
        if is_image_gone && !indexes.is_empty() {
            return Ok(Err(ImageNotDeleted::ReferencedByIndex(indexes.to_vec())));
        }
        let tags = match image {
            ImageIdentifier::Digest(_) => tag::remove_all(session, &self.id, &digest, mover).await?,
            ImageIdentifier::Tag(tag) | ImageIdentifier::TagOfImage(tag, _) => {
                tag::remove(session, &self.id, tag, &digest, mover).await?;
                vec![tag.clone()]
            }
        };
        // ECR, "Private image replication": with its last tag an image goes there too, and with it all its tags there.
        let named = if is_image_gone { &[][..] } else { &tags[..] };
        replication::enqueue_present(session, &self.id, Some(self.path), &digest, named, true, deletion.at).await?;
        if is_image_gone {
            self.remove(session, &digest, &tags, deletion).await?;
        }
        session.note_digest(&digest);
        session.touch(self.path, Fact::Image(&digest));
        for tag in &tags {
            session.touch(self.path, Fact::Tag(tag));
        }
        Ok(Ok(DeletedImage {
            digest,
            tags,
            is_image_gone,
        }))
    }

    /// Removes an image that has no tags any more and that no index lists.
    async fn remove(
        &self,
        session: &mut Session,
        digest: &Digest,
        tags: &[Tag],
        deletion: &Deletion,
    ) -> Result<(), StoreError> {
        let (id, at) = (self.id.as_str(), deletion.at);
        if self.retention.is_zero() {
            review::image(session, id, digest, at).await?;
        } else {
            let key = Uuid::now_v7().to_string();
            let tags = serde_json::to_string(tags)?;
            let reason = deletion.reason.to_string();
            session.execute(FORGET_EARLIER, values![id, digest]).await?;
            let values = values![
                id,
                digest,
                &key,
                &tags,
                at,
                &deletion.by,
                &reason,
                later(at, self.retention)
            ];
            session.execute(KEEP, values).await?;
            for statement in [KEEP_BLOBS, KEEP_CHILDREN, KEEP_MISSING_CHILDREN] {
                session.execute(statement, values![id, digest, &key]).await?;
            }
        }
        subject_change::deleted(session, id, digest, deletion).await?;
        blob_tier::queue_shared(session, id, digest, at).await?;
        for statement in [
            DELETE_CHILDREN,
            DELETE_MISSING_CHILDREN,
            DELETE_BLOBS,
            DELETE,
            replication::FORGET_IMAGE,
        ] {
            session.execute(statement, values![id, digest]).await?;
        }
        Ok(())
    }
}

/// Its blobs are those of the image that is deleted now.
const FORGET_EARLIER: &str = "DELETE FROM deleted_image WHERE repository_id = $1 AND digest = $2";
const KEEP: &str = "
    INSERT INTO deleted_image (id, repository_id, digest, media_type, artifact_type, subject, manifest_bytes, image_bytes,
                               pushed_ms, annotations, manifest, tags, deleted_ms, deleted_by, reason, purge_ms,
                               status, archived_ms, activated_ms, last_pulled_ms)
    SELECT $3, repository_id, digest, media_type, artifact_type, subject, manifest_bytes, image_bytes,
           pushed_ms, annotations, manifest, $4, $5, $6, $7, $8,
           status, archived_ms, activated_ms, last_pulled_ms
      FROM image WHERE repository_id = $1 AND digest = $2";
const KEEP_BLOBS: &str = "
    INSERT INTO deleted_image_blob (deleted_id, repository_id, blob_digest)
    SELECT $3, repository_id, blob_digest FROM image_blob WHERE repository_id = $1 AND image_digest = $2";
const KEEP_CHILDREN: &str = "
    INSERT INTO deleted_image_child (deleted_id, repository_id, child_digest, was_missing)
    SELECT $3, repository_id, child_digest, FALSE FROM image_child WHERE repository_id = $1 AND image_digest = $2";
/// A node of the previous version may have left a row here for a child that is there.
const KEEP_MISSING_CHILDREN: &str = "
    INSERT INTO deleted_image_child (deleted_id, repository_id, child_digest, was_missing)
    SELECT $3, repository_id, child_digest, TRUE FROM image_missing_child WHERE repository_id = $1 AND image_digest = $2
    ON CONFLICT (deleted_id, child_digest) DO NOTHING";
const DELETE_CHILDREN: &str = "DELETE FROM image_child WHERE repository_id = $1 AND image_digest = $2";
const DELETE_MISSING_CHILDREN: &str = "DELETE FROM image_missing_child WHERE repository_id = $1 AND image_digest = $2";
const DELETE_BLOBS: &str = "DELETE FROM image_blob WHERE repository_id = $1 AND image_digest = $2";
const DELETE: &str = "DELETE FROM image WHERE repository_id = $1 AND digest = $2";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_read_back_as_they_were_stored() {
        let subject: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
        let lifecycle = |policy_hash: Option<&str>| DeletionReason::Lifecycle {
            rule_priority: 10,
            policy_hash: policy_hash.map(Into::into),
        };
        for reason in [
            DeletionReason::Request,
            lifecycle(None),
            lifecycle(Some("sha256:abc")),
            DeletionReason::SubjectDeleted(subject),
        ] {
            assert_eq!(reason.to_string().parse::<DeletionReason>().unwrap(), reason);
        }
        for text in ["", "ODD", "REQUEST x", "LIFECYCLE", "LIFECYCLE x", "SUBJECT_DELETED x"] {
            text.parse::<DeletionReason>().unwrap_err();
        }
    }
}
