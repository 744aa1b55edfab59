// SPDX-License-Identifier: Apache-2.0
//! Images: what the data plane stores, reads and deletes.

use std::collections::BTreeSet;

use async_trait::async_trait;
use hythe_catalog::{
    CatalogError, DeleteImageError, DeletedImage, ImageCatalog, ImageRecord, MAX_TAGS_PER_IMAGE, NewImage,
    PutImageError, PutOutcome, Referrer, ReplicaOutcome,
};
use hythe_model::{Digest, ImageStatus, Reference, ReplicationPath, RepositoryPath, Tag};
use jiff::Timestamp;

use crate::cache::{Fact, Known};
use crate::session::{Row, Session, Value, values};
use crate::tag::Mover;
use crate::writer::Durability;
use crate::{Deletion, DeletionReason, Store, StoreError, blob_tier, replication, repository, storage_class, tag};

const BY_TAG: &str = "
    SELECT i.digest, i.media_type, i.manifest
      FROM repository r
      JOIN tag t ON t.repository_id = r.id
      JOIN image i ON i.repository_id = t.repository_id AND i.digest = t.digest
     WHERE r.account_id = $1 AND r.name = $2 AND t.name = $3 AND i.status = 'ACTIVE'";
const BY_DIGEST: &str = "
    SELECT i.digest, i.media_type, i.manifest
      FROM repository r JOIN image i ON i.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2 AND i.digest = $3 AND i.status = 'ACTIVE'";
pub(crate) const REFERRERS: &str = "
    SELECT digest, media_type, manifest_bytes, artifact_type, annotations
      FROM image
     WHERE repository_id = (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
       AND subject = $3 AND digest > $4 AND status = 'ACTIVE' AND ($5 IS NULL OR artifact_type = $5)
     ORDER BY digest LIMIT $6";

#[async_trait]
impl ImageCatalog for Store {
    async fn put_image(&self, repository: &RepositoryPath, image: NewImage) -> Result<PutOutcome, PutImageError> {
        let stored = self
            .write(
                Durability::Full,
                (repository.clone(), image),
                |session, (repository, image)| Box::pin(put(session, repository, image, None)),
            )
            .await?;
        if stored.is_queued {
            self.nudge_replication();
        }
        Ok(PutOutcome { is_new: stored.is_new })
    }

    async fn put_replica(
        &self,
        repository: &RepositoryPath,
        image: NewImage,
        path: &ReplicationPath,
    ) -> Result<ReplicaOutcome, PutImageError> {
        let stored = self
            .write(
                Durability::Full,
                (repository.clone(), image, path.clone()),
                |session, (repository, image, path)| Box::pin(put(session, repository, image, Some(path))),
            )
            .await?;
        if stored.is_queued {
            self.nudge_replication();
        }
        Ok(ReplicaOutcome {
            is_new: stored.is_new,
            refused_tags: stored.refused_tags,
        })
    }

    async fn image(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
    ) -> Result<Option<ImageRecord>, CatalogError> {
        let RepositoryPath { account, name } = repository;
        let fact = Fact::from(reference);
        let cached = self.cache().map(|cache| (cache, cache.get(repository, fact)));
        if let Some((_, Ok(Known::Image(image)))) = cached {
            return Ok(Some(image));
        }
        let rows = match reference {
            Reference::Tag(tag) => self.point(BY_TAG, values![account, name, tag]).await?,
            Reference::Digest(digest) => self.point(BY_DIGEST, values![account, name, digest]).await?,
        };
        let read = |row: Row| {
            let bytes = row.bytes(2)?;
            Ok::<_, StoreError>(ImageRecord {
                digest: row.parsed(0)?,
                media_type: row.parsed(1)?,
                bytes,
            })
        };
        let image = rows.into_iter().next().map(read).transpose()?;
        if let (Some((cache, Err(ticket))), Some(image)) = (cached, &image) {
            cache.put(ticket, repository, fact, Known::Image(image.clone()));
        }
        Ok(image)
    }

    async fn delete_image(
        &self,
        repository: &RepositoryPath,
        reference: &Reference,
        deleted_at: Timestamp,
        deleted_by: &str,
    ) -> Result<Option<DeletedImage>, DeleteImageError> {
        let deletion = Deletion {
            at: deleted_at,
            by: deleted_by.to_owned(),
            reason: DeletionReason::Request,
        };
        self.delete_one(repository, reference.into(), &deletion).await
    }

    async fn tags(
        &self,
        repository: &RepositoryPath,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Option<Vec<Tag>>, CatalogError> {
        Ok(self.tag_names(repository, after, limit).await?)
    }

    async fn referrers(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Vec<Referrer>, CatalogError> {
        let after = after.map(ToString::to_string).unwrap_or_default();
        let values = values![
            &repository.account,
            &repository.name,
            subject,
            after,
            artifact_type,
            limit
        ];
        let rows = self.reader().await?.fetch_all(REFERRERS, values).await?;
        let read = |row: &Row| {
            Ok(Referrer {
                digest: row.parsed(0)?,
                media_type: row.parsed(1)?,
                size: row.size(2)?,
                artifact_type: row.optional_text(3)?,
                annotations: serde_json::from_str(&row.text(4)?)?,
            })
        };
        Ok(rows.iter().map(read).collect::<Result<_, StoreError>>()?)
    }
}

/// Also whether an index of the repository lists the image, which was not there; the state that the image is in; and
/// whether anything that it may need is in the archive, and whether anything of the registry is replicated.
const SELECT_SETTINGS: &str = "
    SELECT r.id, r.tag_mutability, r.tag_mutability_filters, r.allow_sparse_indexes,
           EXISTS (SELECT 1 FROM image_missing_child m WHERE m.repository_id = r.id AND m.child_digest = $3),
           (SELECT i.status FROM image i WHERE i.repository_id = r.id AND i.digest = $3),
           EXISTS (SELECT 1 FROM blob_tier)
           OR EXISTS (SELECT 1 FROM image i WHERE i.repository_id = r.id AND i.status <> 'ACTIVE'),
           EXISTS (SELECT 1 FROM replication_rule p WHERE p.account_id = $1)
      FROM repository r WHERE r.account_id = $1 AND r.name = $2";
const INSERT: &str = "
    INSERT INTO image (repository_id, digest, media_type, artifact_type, subject, manifest_bytes, image_bytes, pushed_ms,
                       annotations, manifest)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (repository_id, digest) DO NOTHING
 RETURNING digest";
/// What came of storing an image.
struct Stored {
    is_new: bool,
    /// Of a replica: tags that it was not given, as they may not be moved.
    refused_tags: Vec<Tag>,
    /// Whether it is to be sent on.
    is_queued: bool,
}

const ARRIVED: &str = "
    INSERT INTO replica (repository_id, digest, path, arrived_ms) VALUES ($1, $2, $3, $4)
    ON CONFLICT (repository_id, digest) DO UPDATE SET path = excluded.path, arrived_ms = excluded.arrived_ms";
/// What was pushed here stays so, whoever brings the same later.
const ARRIVED_AGAIN: &str = "
    UPDATE replica SET path = $3, arrived_ms = $4 WHERE repository_id = $1 AND digest = $2";
/// Pushed here by itself, it is no replica any more.
const SETTLED: &str = "DELETE FROM replica WHERE repository_id = $1 AND digest = $2";

/// `replica`: by which registries the image came, if it was not pushed here.
async fn put(
    session: &mut Session,
    path: &RepositoryPath,
    image: &NewImage,
    replica: Option<&ReplicationPath>,
) -> Result<Stored, PutImageError> {
    let Some(row) = session
        .fetch_optional(SELECT_SETTINGS, values![&path.account, &path.name, &image.digest])
        .await?
    else {
        return Err(CatalogError::RepositoryUnknown(path.clone()).into());
    };
    let id = row.text(0)?;
    let mutability = repository::read_mutability(&row, 1)?;
    let (allows_sparse, was_missed) = (row.bool(3)?, row.bool(4)?);
    let (status, has_archive) = (row.optional_parsed::<ImageStatus>(5)?, row.bool(6)?);
    let is_replicated = row.bool(7)?;

    let manifest = &image.manifest;
    let annotations = serde_json::to_string(manifest.annotations()).map_err(StoreError::from)?;
    let values = values![
        &id,
        &image.digest,
        manifest.media_type(),
        manifest.artifact_type(),
        manifest.subject().map(|subject| &subject.digest),
        manifest.bytes().len(),
        manifest.image_bytes(),
        image.pushed_at,
        annotations,
        &manifest.bytes()[..]
    ];
    let is_new = session.fetch_optional(INSERT, values).await?.is_some();
    session.note_digest(&image.digest);
    if is_new {
        refer(session, &id, image, allows_sparse).await?;
        if was_missed {
            adopt(session, &id, &image.digest).await?;
        }
        if has_archive {
            blob_tier::look_again(session, &id, &image.digest).await?;
            storage_class::revive_children(session, path, &id, &image.digest, image.pushed_at).await?;
        }
    } else if status.is_some_and(|status| status != ImageStatus::Active) {
        // ECR, "Archive storage class": pushing the same manifest restores the image immediately.
        storage_class::revive(session, path, &id, &image.digest, image.pushed_at).await?;
    }

    let mover = Mover {
        at: image.pushed_at,
        by: &image.pushed_by,
    };
    let mut has_more_tags = false;
    let mut refused_tags = Vec::new();
    for tag in image.tags.iter().collect::<BTreeSet<_>>() {
        let from = tag::target(session, &id, tag).await?;
        // ECR refuses a tag that may not move even if it points to this image already.
        if from.is_some() && !mutability.may_move(tag) {
            if replica.is_some() {
                // ECR, "Private image replication": it comes without the tag. One that came before has it.
                if from != Some(image.digest) {
                    refused_tags.push(tag.clone());
                }
                continue;
            }
            return Err(PutImageError::TagImmutable {
                tag: tag.clone(),
                repository: path.name.to_string(),
            });
        }
        if from != Some(image.digest) {
            if from.is_some() {
                session.touch(path, Fact::Tag(tag));
            }
            tag::point(session, &id, tag, from.as_ref(), &image.digest, mover).await?;
            has_more_tags = true;
        }
    }
    let most = MAX_TAGS_PER_IMAGE as u64;
    if has_more_tags && tag::count(session, &id, &image.digest).await? > most {
        return Err(PutImageError::TooManyTags);
    }
    if let Some(replica) = replica {
        let values = values![&id, &image.digest, replica.to_string(), image.pushed_at];
        let statement = if is_new { ARRIVED } else { ARRIVED_AGAIN };
        session.execute(statement, values).await?;
    } else if is_replicated && !is_new {
        session.execute(SETTLED, values![&id, &image.digest]).await?;
    }
    let is_queued = is_replicated
        && replication::enqueue(
            session,
            replication::Change {
                id: &id,
                repository: path,
                digest: &image.digest,
                references: replication::pushed(&image.digest, &image.tags),
                path: replica.cloned(),
                is_deletion: false,
                at: image.pushed_at,
            },
        )
        .await?;
    Ok(Stored {
        is_new,
        refused_tags,
        is_queued,
    })
}

/// How many digests one statement takes. A shorter list repeats its last one, so that the text, and with it
/// the prepared statement, is always the same.
const CHUNK: usize = 32;

/// Inserts a row for each digest that the repository links, and gives these back.
const REFER_BLOBS: &str = "
    INSERT INTO image_blob (repository_id, image_digest, blob_digest)
    SELECT repository_id, $2, digest FROM repository_blob
     WHERE repository_id = $1
       AND digest IN ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
                      $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34)
 RETURNING blob_digest";
/// Inserts a row for each digest that is an image of the repository, and gives these back.
const REFER_CHILDREN: &str = "
    INSERT INTO image_child (repository_id, image_digest, child_digest)
    SELECT repository_id, $2, digest FROM image
     WHERE repository_id = $1
       AND digest IN ($3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
                      $24, $25, $26, $27, $28, $29, $30, $31, $32, $33, $34)
 RETURNING child_digest";
/// Remembers a child that is not there.
const MISS_CHILD: &str =
    "INSERT INTO image_missing_child (repository_id, image_digest, child_digest) VALUES ($1, $2, $3)";
/// The size of an index is that of its largest image.
const SIZE_INDEX: &str = "
    UPDATE image SET image_bytes =
           (SELECT COALESCE(MAX(i.image_bytes), 0)
              FROM image_child c JOIN image i ON i.repository_id = c.repository_id AND i.digest = c.child_digest
             WHERE c.repository_id = $1 AND c.image_digest = $2)
     WHERE repository_id = $1 AND digest = $2";
/// Schema 1 does not say how large its layers are.
const SIZE_SCHEMA1: &str = "
    UPDATE image SET image_bytes =
           (SELECT COALESCE(SUM(b.size), 0)
              FROM image_blob u JOIN blob b ON b.digest = u.blob_digest
             WHERE u.repository_id = $1 AND u.image_digest = $2)
     WHERE repository_id = $1 AND digest = $2";
/// Records what a new image needs, all of which must be there but for the children of a sparse index.
async fn refer(session: &mut Session, id: &str, image: &NewImage, allows_sparse: bool) -> Result<(), PutImageError> {
    let blobs = image.manifest.required_blobs().map(|blob| blob.digest).collect();
    let missing = refer_to(session, REFER_BLOBS, id, &image.digest, blobs).await?;
    if !missing.is_empty() {
        return Err(PutImageError::BlobsUnknown(missing));
    }
    if image.manifest.is_schema1() {
        session.execute(SIZE_SCHEMA1, values![id, &image.digest]).await?;
    }
    let children: BTreeSet<_> = image.manifest.children().iter().map(|child| child.digest).collect();
    if !children.is_empty() {
        let missing = refer_to(session, REFER_CHILDREN, id, &image.digest, children).await?;
        if !missing.is_empty() && !allows_sparse {
            return Err(PutImageError::ChildrenUnknown(missing));
        }
        for child in &missing {
            session.execute(MISS_CHILD, values![id, &image.digest, child]).await?;
        }
        size_index(session, id, &image.digest).await?;
    }
    Ok(())
}

/// Makes the size of an index what it is by what it lists.
pub(crate) async fn size_index(session: &mut Session, id: &str, index: &Digest) -> Result<(), StoreError> {
    session.execute(SIZE_INDEX, values![id, index]).await.map(drop)
}

const FIND_CHILD: &str = "
    DELETE FROM image_missing_child WHERE repository_id = $1 AND child_digest = $2
 RETURNING image_digest";
const ADD_CHILD: &str = "INSERT INTO image_child (repository_id, image_digest, child_digest) VALUES ($1, $2, $3)";
const SIZE: &str = "SELECT image_bytes FROM image WHERE repository_id = $1 AND digest = $2";
/// Gives a row if the index was smaller.
const GROW_INDEX: &str = "
    UPDATE image SET image_bytes = $3 WHERE repository_id = $1 AND digest = $2 AND image_bytes < $3
 RETURNING digest";
const PARENTS: &str = "SELECT image_digest FROM image_child WHERE repository_id = $1 AND child_digest = $2";
/// Makes a new image a child of the indexes that listed it before it was there.
pub(crate) async fn adopt(session: &mut Session, id: &str, child: &Digest) -> Result<(), StoreError> {
    let mut grown: Vec<Digest> = Vec::new();
    for row in session.fetch_all(FIND_CHILD, values![id, child]).await? {
        let index = row.parsed(0)?;
        session.execute(ADD_CHILD, values![id, &index, child]).await?;
        grown.push(index);
    }
    let size = session.fetch_one(SIZE, values![id, child]).await?.size(0)?;
    // Ends, as no index grows to the same size twice.
    while let Some(index) = grown.pop() {
        let values = values![id, &index, size];
        if session.fetch_optional(GROW_INDEX, values).await?.is_some() {
            for row in session.fetch_all(PARENTS, values![id, &index]).await? {
                grown.push(row.parsed(0)?);
            }
        }
    }
    Ok(())
}

/// Returns the digests that are not there.
async fn refer_to(
    session: &mut Session,
    sql: &'static str,
    id: &str,
    image: &Digest,
    mut digests: BTreeSet<Digest>,
) -> Result<Vec<Digest>, StoreError> {
    let all: Vec<_> = digests.iter().copied().collect();
    for chunk in all.chunks(CHUNK) {
        let padded = chunk
            .iter()
            .chain(std::iter::repeat(chunk.last().unwrap_or(image)))
            .take(CHUNK);
        let values: Vec<_> = [id.into(), image.into()]
            .into_iter()
            .chain(padded.map(Value::from))
            .collect();
        for row in session.fetch_all(sql, &values).await? {
            digests.remove(&row.parsed(0)?);
        }
    }
    Ok(digests.into_iter().collect())
}
