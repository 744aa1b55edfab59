// SPDX-License-Identifier: Apache-2.0
//! Bringing deleted images back, with their tags and with what an index needs.

use std::collections::BTreeSet;

use hythe_catalog::{CatalogError, MAX_TAGS_PER_IMAGE};
use hythe_model::{Digest, RepositoryPath, Tag};
use jiff::Timestamp;

use crate::session::{Session, values};
use crate::tag::{self, Mover};
use crate::writer::Durability;
use crate::{Store, StoreError, image, replication, repository, storage_class, subject_change};

/// The most images that one restoration brings back: an index and what it lists.
pub const MAX_RESTORED_IMAGES: usize = 1000;

/// What a restoration did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoredImage {
    /// The image.
    pub digest: Digest,
    /// Whether it was gone.
    pub is_restored: bool,
    /// What became of its tags, in the order of their names.
    pub tags: Vec<(Tag, Result<(), TagNotRestored>)>,
    /// Images that it lists and that came back with it.
    pub children: Vec<Digest>,
}

/// Why a tag was not restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TagNotRestored {
    /// It points to this image by now.
    #[error("the tag points to {0} by now: move it if it shall point to the restored image")]
    Taken(Digest),
    /// The image did not have it.
    #[error("the image did not have this tag when it was deleted")]
    NotItsTag,
    /// The image would have too many.
    #[error("an image may have at most {MAX_TAGS_PER_IMAGE} tags")]
    TooMany,
}

/// Why nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreImageError {
    /// There is no such image, deleted or not.
    #[error("there is no such image")]
    Unknown,
    /// The index lists these images, which cannot be restored any more.
    #[error("the index lists images that are gone: {}", join(.0))]
    ChildrenGone(Vec<Digest>),
    /// More than [`MAX_RESTORED_IMAGES`] images would have to come back.
    #[error(
        "more than {MAX_RESTORED_IMAGES} images would have to be restored: restore those that the index lists first"
    )]
    TooMany,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The repository is not there.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

fn join(digests: &[Digest]) -> String {
    digests.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Store {
    /// Restores a deleted image with its tags, or with those of `tags` that were its own. A tag that points elsewhere by now
    /// stays there. Of an image that is there, nothing changes but its tags if it was deleted before.
    pub async fn restore_image(
        &self,
        repository: &RepositoryPath,
        digest: &Digest,
        tags: Option<&[Tag]>,
        at: Timestamp,
        by: &str,
    ) -> Result<RestoredImage, RestoreImageError> {
        let input = (repository.clone(), *digest, tags.map(<[_]>::to_vec), at, by.to_owned());
        let restored = self
            .write(Durability::Full, input, |session, (path, digest, tags, at, by)| {
                Box::pin(async move {
                    let Some(id) = repository::find_id(session, path).await? else {
                        return Err(CatalogError::RepositoryUnknown(path.clone()).into());
                    };
                    let restoration = Restoration {
                        id: &id,
                        mover: Mover { at: *at, by },
                        tags: tags.as_deref(),
                    };
                    restore(session, &restoration, digest).await
                })
            })
            .await?;
        self.counts()
            .restored(usize::from(restored.is_restored) + restored.children.len());
        Ok(restored)
    }
}

/// What is restored, where and by whom.
pub(crate) struct Restoration<'r> {
    /// The key of the repository.
    pub(crate) id: &'r str,
    pub(crate) mover: Mover<'r>,
    /// All that the image had if there are none.
    pub(crate) tags: Option<&'r [Tag]>,
}

/// A deleted image.
struct Found {
    key: String,
    digest: Digest,
    tags: Vec<Tag>,
}

const FIND: &str = "SELECT id, tags FROM deleted_image WHERE repository_id = $1 AND digest = $2";
const EXISTS: &str = "SELECT digest FROM image WHERE repository_id = $1 AND digest = $2";
/// What an index listed and is not there now.
const ABSENT_CHILDREN: &str = "
    SELECT c.child_digest, c.was_missing FROM deleted_image_child c
     WHERE c.deleted_id = $1
       AND NOT EXISTS (SELECT 1 FROM image i WHERE i.repository_id = c.repository_id AND i.digest = c.child_digest)
     ORDER BY c.child_digest";
const ALLOWS_SPARSE: &str = "SELECT allow_sparse_indexes FROM repository WHERE id = $1";

/// Changes nothing if it fails with anything but an error of the store.
pub(crate) async fn restore(
    session: &mut Session,
    restoration: &Restoration<'_>,
    digest: &Digest,
) -> Result<RestoredImage, RestoreImageError> {
    let id = restoration.id;
    let is_there = session.fetch_optional(EXISTS, values![id, digest]).await?.is_some();
    let found = find(session, id, digest).await?;
    if is_there {
        // Pushed again: only the tags that it had are left to restore.
        let had = found.map_or_else(Vec::new, |found| found.tags);
        let restored = RestoredImage {
            digest: *digest,
            is_restored: false,
            tags: retag(session, restoration, digest, &had).await?,
            children: Vec::new(),
        };
        replicate(session, restoration, &restored).await?;
        return Ok(restored);
    }
    let found = found.ok_or(RestoreImageError::Unknown)?;
    let images = with_children(session, id, found).await?;
    let mut restored = RestoredImage {
        digest: *digest,
        is_restored: true,
        tags: Vec::new(),
        children: Vec::new(),
    };
    // What is listed mostly comes before what lists it; where not, the index misses it and adopts it then.
    for image in images.iter().rev() {
        bring_back(session, restoration, image).await?;
        if image.digest == *digest {
            restored.tags = retag(session, restoration, digest, &image.tags).await?;
        } else {
            if restoration.tags.is_none() {
                retag(session, restoration, &image.digest, &image.tags).await?;
            }
            restored.children.push(image.digest);
        }
    }
    replicate(session, restoration, &restored).await?;
    session.note_digest(digest);
    Ok(restored)
}

/// Sends what came back where its registry's rules want it (ECR replicates images that are "pushed or restored").
async fn replicate(
    session: &mut Session,
    restoration: &Restoration<'_>,
    restored: &RestoredImage,
) -> Result<(), StoreError> {
    let (id, at) = (restoration.id, restoration.mover.at);
    for child in &restored.children {
        replication::enqueue_present(session, id, None, child, &[], false, at).await?;
    }
    let tags = restored.tags.iter().filter(|(_, outcome)| outcome.is_ok());
    let tags: Vec<_> = tags.map(|(tag, _)| tag.clone()).collect();
    replication::enqueue_present(session, id, None, &restored.digest, &tags, false, at).await?;
    Ok(())
}

async fn find(session: &mut Session, id: &str, digest: &Digest) -> Result<Option<Found>, StoreError> {
    let Some(row) = session.fetch_optional(FIND, values![id, digest]).await? else {
        return Ok(None);
    };
    Ok(Some(Found {
        key: row.text(0)?,
        digest: *digest,
        tags: serde_json::from_str(&row.text(1)?)?,
    }))
}

/// The image and all deleted ones that it needs.
async fn with_children(session: &mut Session, id: &str, first: Found) -> Result<Vec<Found>, RestoreImageError> {
    let allows_sparse = session.fetch_one(ALLOWS_SPARSE, values![id]).await?.bool(0)?;
    let mut images = vec![first];
    let mut gone = BTreeSet::new();
    let mut next = 0;
    while let Some(index) = images.get(next) {
        next += 1;
        for row in session.fetch_all(ABSENT_CHILDREN, values![&index.key]).await? {
            let child: Digest = row.parsed(0)?;
            match find(session, id, &child).await? {
                Some(found) if images.iter().all(|image| image.digest != child) => images.push(found),
                Some(_) => {}
                None if row.bool(1)? || allows_sparse => {}
                None => drop(gone.insert(child)),
            }
        }
        if images.len() > MAX_RESTORED_IMAGES {
            return Err(RestoreImageError::TooMany);
        }
    }
    if gone.is_empty() {
        Ok(images)
    } else {
        Err(RestoreImageError::ChildrenGone(gone.into_iter().collect()))
    }
}

/// For lifecycle policies the image is as new: else the next run could take again what somebody has just restored.
const INSERT: &str = "
    INSERT INTO image (repository_id, digest, media_type, artifact_type, subject, manifest_bytes, image_bytes, pushed_ms,
                       annotations, manifest, status, storage_class, archived_ms, activated_ms, last_pulled_ms)
    SELECT repository_id, digest, media_type, artifact_type, subject, manifest_bytes, image_bytes, pushed_ms,
           annotations, manifest, status, CASE WHEN status = 'ARCHIVED' THEN 'ARCHIVE' ELSE 'STANDARD' END,
           archived_ms, $2, last_pulled_ms
      FROM deleted_image WHERE id = $1";
/// Somebody may have unlinked one by its name.
const LINK_BLOBS: &str = "
    INSERT INTO repository_blob (repository_id, digest, linked_ms)
    SELECT repository_id, blob_digest, $2 FROM deleted_image_blob WHERE deleted_id = $1
    ON CONFLICT (repository_id, digest) DO NOTHING";
const REFER_BLOBS: &str = "
    INSERT INTO image_blob (repository_id, image_digest, blob_digest)
    SELECT repository_id, $2, blob_digest FROM deleted_image_blob WHERE deleted_id = $1";
const REFER_CHILDREN: &str = "
    INSERT INTO image_child (repository_id, image_digest, child_digest)
    SELECT c.repository_id, $2, c.child_digest
      FROM deleted_image_child c JOIN image i ON i.repository_id = c.repository_id AND i.digest = c.child_digest
     WHERE c.deleted_id = $1";
const MISS_CHILDREN: &str = "
    INSERT INTO image_missing_child (repository_id, image_digest, child_digest)
    SELECT c.repository_id, $2, c.child_digest FROM deleted_image_child c
     WHERE c.deleted_id = $1
       AND NOT EXISTS (SELECT 1 FROM image i WHERE i.repository_id = c.repository_id AND i.digest = c.child_digest)";
const FORGET: &str = "DELETE FROM deleted_image WHERE id = $1";
/// Moves an image back; what it needs is there.
async fn bring_back(session: &mut Session, restoration: &Restoration<'_>, found: &Found) -> Result<(), StoreError> {
    let (id, mover) = (restoration.id, restoration.mover);
    session.execute(INSERT, values![&found.key, mover.at]).await?;
    session.execute(LINK_BLOBS, values![&found.key, mover.at]).await?;
    session.execute(REFER_BLOBS, values![&found.key, &found.digest]).await?;
    let children = session
        .execute(REFER_CHILDREN, values![&found.key, &found.digest])
        .await?;
    session
        .execute(MISS_CHILDREN, values![&found.key, &found.digest])
        .await?;
    session.execute(FORGET, values![&found.key]).await?;
    if children > 0 {
        image::size_index(session, id, &found.digest).await?;
    }
    image::adopt(session, id, &found.digest).await?;
    storage_class::restored(session, id, &found.digest, mover.at).await?;
    subject_change::restored(session, id, &found.digest, mover).await
}

/// Points the tags to the image again that nothing else has taken.
async fn retag(
    session: &mut Session,
    restoration: &Restoration<'_>,
    digest: &Digest,
    had: &[Tag],
) -> Result<Vec<(Tag, Result<(), TagNotRestored>)>, StoreError> {
    let Restoration { id, mover, tags } = *restoration;
    let had: BTreeSet<_> = had.iter().collect();
    let wanted: BTreeSet<_> = tags.map_or_else(|| had.clone(), |tags| tags.iter().collect());
    let mut count = tag::count(session, id, digest).await?;
    let mut outcomes = Vec::with_capacity(wanted.len());
    for name in wanted {
        let outcome = match tag::target(session, id, name).await? {
            Some(target) if target == *digest => Ok(()),
            Some(target) => Err(TagNotRestored::Taken(target)),
            None if !had.contains(name) => Err(TagNotRestored::NotItsTag),
            None if count >= MAX_TAGS_PER_IMAGE as u64 => Err(TagNotRestored::TooMany),
            None => {
                tag::point(session, id, name, None, digest, mover).await?;
                count += 1;
                Ok(())
            }
        };
        outcomes.push((name.clone(), outcome));
    }
    Ok(outcomes)
}
