// SPDX-License-Identifier: Apache-2.0
//! Everything that is stored, page by page, each row with what the other tables say of it.
//!
//! A page is one statement, so that it sees one state: what transactions keep together is together in it. It goes on
//! from a key that need not exist, so that the same statement with a limit of one looks at one row again.

use std::collections::BTreeSet;

use bytes::Bytes;
use hythe_model::{Digest, ReplicationPath, StorageClass, Tag};
use jiff::Timestamp;

use crate::session::{Row, Session, Value, values};
use crate::{Store, StoreError};

/// What stands between the parts of a key; none of them holds one.
const SEPARATOR: char = '\n';
/// Behind a key, this is before every other key: PostgreSQL knows no U+0000.
const JUST_AFTER: char = '\u{1}';

/// Some facts, and where the next ones start.
#[derive(Clone, Debug)]
pub struct ScrubPage<T> {
    /// The facts, each with the key under which it is found again; of a row that does not hold what it should, what is
    /// wrong with it.
    pub facts: Vec<(String, Result<T, String>)>,
    /// The position of the next page; `None` if there is none.
    pub next: Option<String>,
}

/// A row of a blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobFacts {
    /// The blob.
    pub digest: Digest,
    /// The size that its row says, in bytes.
    pub size: u64,
    /// When it was first recorded.
    pub created_at: Timestamp,
    /// Its bytes, if they are kept here.
    pub content: Option<Bytes>,
    /// Whether a repository links it, or a deleted image needs it.
    pub is_held: bool,
}

/// What is known of a digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DigestFacts {
    /// Whether there is a row of a blob.
    pub has_row: bool,
    /// Whether a session is about to be published as it.
    pub is_sealed: bool,
    /// Whether a review of it waits, or its bytes are being deleted.
    pub is_in_review: bool,
}

/// What is written down about where the bytes of a blob belong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierFacts {
    /// Whether they are, or may be, in the archive.
    pub is_archived: bool,
    /// Whether somebody will look where they belong, and move them.
    pub is_waiting: bool,
    /// Where they belong; `None` if no image needs them, and they may be anywhere.
    pub belongs: Option<StorageClass>,
}

/// A link of a blob to a repository.
#[allow(
    clippy::struct_excessive_bools,
    reason = "independent facts, none of which follows from another"
)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkFacts {
    /// The key of the repository.
    pub repository_id: String,
    /// The blob.
    pub digest: Digest,
    /// Whether the repository is there.
    pub has_repository: bool,
    /// Whether the blob has a row.
    pub has_blob: bool,
    /// Whether an image of the repository, deleted or not, needs it.
    pub is_needed: bool,
    /// Whether a review of the link waits.
    pub is_in_review: bool,
}

/// Which image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageKey {
    /// The key of the repository.
    pub repository_id: String,
    /// The image.
    pub digest: Digest,
    /// Whether the repository is there.
    pub has_repository: bool,
}

/// An image, and what is written down that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFacts {
    /// The type of the manifest.
    pub media_type: String,
    /// The manifest.
    pub manifest: Bytes,
    /// The blobs that it needs.
    pub blobs: BTreeSet<Digest>,
    /// The images that it lists, whether they are there or not.
    pub children: BTreeSet<Digest>,
}

/// What refers to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceKind {
    /// An image to a link.
    ImageBlob,
    /// An index to an image.
    ImageChild,
    /// A deleted image to a blob.
    DeletedImageBlob,
}

/// A reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReferenceFacts {
    /// The key of the repository.
    pub repository_id: String,
    /// The image that refers; of a deleted one its key.
    pub from: String,
    /// To what.
    pub to: Digest,
    /// Whether the image is there.
    pub has_source: bool,
    /// Whether what it refers to is there.
    pub has_target: bool,
    /// Whether it is in the archive while the index that lists it is not, and nobody will bring it back.
    pub is_left_asleep: bool,
}

/// A tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagFacts {
    /// The key of the repository.
    pub repository_id: String,
    /// Its name.
    pub name: String,
    /// The image that it points to.
    pub digest: Digest,
    /// Whether that image is there.
    pub has_image: bool,
    /// Where the last move in its history goes.
    pub last_move: Option<Digest>,
}

/// Where manifests are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ManifestTable {
    /// Of images.
    Image,
    /// Of images that were deleted and can be restored.
    DeletedImage,
    /// Those that came from upstream and are not images yet, and are served nevertheless.
    Upstream,
}

/// What a tag pointed to upstream. That need not be here: it is asked for when somebody pulls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTagFacts {
    /// The key of the repository.
    pub repository_id: String,
    /// Its name.
    pub name: Tag,
    /// What it pointed to.
    pub digest: Digest,
    /// Whether the repository is there.
    pub has_repository: bool,
}

/// By which registries an image came. It may be gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaFacts {
    /// The key of the repository.
    pub repository_id: String,
    /// The image.
    pub digest: Digest,
    /// The registries.
    pub path: ReplicationPath,
    /// Whether the repository is there.
    pub has_repository: bool,
}

// `(SELECT 1 … LIMIT 1) IS NOT NULL` and not `EXISTS (…)`, which PostgreSQL may answer by reading all of the other table
// first.
const BLOBS: &str = "
    SELECT b.digest, b.size, b.created_ms, b.content,
           (SELECT 1 FROM repository_blob l WHERE l.digest = b.digest LIMIT 1) IS NOT NULL
           OR (SELECT 1 FROM deleted_image_blob d WHERE d.blob_digest = b.digest LIMIT 1) IS NOT NULL
      FROM blob b WHERE b.digest >= $1 ORDER BY b.digest LIMIT $2";
const DIGEST: &str = "
    SELECT EXISTS (SELECT 1 FROM blob WHERE digest = $1),
           EXISTS (SELECT 1 FROM upload WHERE sealed_digest = $1)
           OR EXISTS (SELECT 1 FROM upload_seal s JOIN upload u ON u.id = s.upload_id WHERE s.digest = $1),
           EXISTS (SELECT 1 FROM blob_review WHERE digest = $1)
           OR EXISTS (SELECT 1 FROM blob_deletion WHERE digest = $1)";
/// By way of the links, as `blob_tier.rs` has it.
const TIER: &str = "
    SELECT EXISTS (SELECT 1 FROM blob_tier WHERE digest = $1 AND is_archived),
           EXISTS (SELECT 1 FROM blob_tier WHERE digest = $1 AND (due_ms IS NOT NULL OR lease_ms > 0)),
           EXISTS (SELECT 1 FROM repository_blob l
                     JOIN image_blob u ON u.repository_id = l.repository_id AND u.blob_digest = l.digest
                     JOIN image i ON i.repository_id = u.repository_id AND i.digest = u.image_digest
                    WHERE l.digest = $1 AND i.status = 'ARCHIVED'),
           EXISTS (SELECT 1 FROM repository_blob l
                     JOIN image_blob u ON u.repository_id = l.repository_id AND u.blob_digest = l.digest
                     JOIN image i ON i.repository_id = u.repository_id AND i.digest = u.image_digest
                    WHERE l.digest = $1 AND i.status <> 'ARCHIVED')";
const LINKS: &str = "
    SELECT l.repository_id, l.digest,
           (SELECT 1 FROM repository r WHERE r.id = l.repository_id LIMIT 1) IS NOT NULL,
           (SELECT 1 FROM blob b WHERE b.digest = l.digest LIMIT 1) IS NOT NULL,
           (SELECT 1 FROM image_blob u WHERE u.repository_id = l.repository_id AND u.blob_digest = l.digest LIMIT 1) IS NOT NULL
           OR (SELECT 1 FROM deleted_image_blob d
                       WHERE d.blob_digest = l.digest AND d.repository_id = l.repository_id LIMIT 1) IS NOT NULL,
           (SELECT 1 FROM blob_review v WHERE v.repository_id = l.repository_id AND v.digest = l.digest LIMIT 1) IS NOT NULL
      FROM repository_blob l WHERE (l.repository_id, l.digest) >= ($1, $2)
     ORDER BY l.repository_id, l.digest LIMIT $3";
const IMAGES: &str = "
    SELECT i.repository_id, i.digest, (SELECT 1 FROM repository r WHERE r.id = i.repository_id LIMIT 1) IS NOT NULL
      FROM image i WHERE (i.repository_id, i.digest) >= ($1, $2)
     ORDER BY i.repository_id, i.digest LIMIT $3";
const DELETED_IMAGES: &str = "
    SELECT i.repository_id, i.digest, (SELECT 1 FROM repository r WHERE r.id = i.repository_id LIMIT 1) IS NOT NULL
      FROM deleted_image i WHERE (i.repository_id, i.digest) >= ($1, $2)
     ORDER BY i.repository_id, i.digest LIMIT $3";
const IMAGE_BLOBS: &str = "
    SELECT u.repository_id, u.image_digest, u.blob_digest,
           (SELECT 1 FROM image i WHERE i.repository_id = u.repository_id AND i.digest = u.image_digest LIMIT 1) IS NOT NULL,
           (SELECT 1 FROM repository_blob l WHERE l.repository_id = u.repository_id AND l.digest = u.blob_digest LIMIT 1) IS NOT NULL,
           FALSE
      FROM image_blob u WHERE (u.repository_id, u.image_digest, u.blob_digest) >= ($1, $2, $3)
     ORDER BY u.repository_id, u.image_digest, u.blob_digest LIMIT $4";
const IMAGE_CHILDREN: &str = "
    SELECT u.repository_id, u.image_digest, u.child_digest,
           (SELECT 1 FROM image i WHERE i.repository_id = u.repository_id AND i.digest = u.image_digest LIMIT 1) IS NOT NULL,
           (SELECT 1 FROM image i WHERE i.repository_id = u.repository_id AND i.digest = u.child_digest LIMIT 1) IS NOT NULL,
           COALESCE(
           (SELECT i.status FROM image i WHERE i.repository_id = u.repository_id AND i.digest = u.image_digest) <> 'ARCHIVED'
           AND (SELECT i.status FROM image i WHERE i.repository_id = u.repository_id AND i.digest = u.child_digest) = 'ARCHIVED'
           AND (SELECT 1 FROM image_follow f
                 WHERE f.repository_id = u.repository_id AND f.image_digest = u.image_digest LIMIT 1) IS NULL, FALSE)
      FROM image_child u WHERE (u.repository_id, u.image_digest, u.child_digest) >= ($1, $2, $3)
     ORDER BY u.repository_id, u.image_digest, u.child_digest LIMIT $4";
const DELETED_IMAGE_BLOBS: &str = "
    SELECT u.repository_id, u.deleted_id, u.blob_digest,
           (SELECT 1 FROM deleted_image i WHERE i.id = u.deleted_id LIMIT 1) IS NOT NULL,
           (SELECT 1 FROM blob b WHERE b.digest = u.blob_digest LIMIT 1) IS NOT NULL, FALSE
      FROM deleted_image_blob u WHERE (u.deleted_id, u.blob_digest) >= ($1, $2)
     ORDER BY u.deleted_id, u.blob_digest LIMIT $3";
const TAGS: &str = "
    SELECT t.repository_id, t.name, t.digest,
           (SELECT 1 FROM image i WHERE i.repository_id = t.repository_id AND i.digest = t.digest LIMIT 1) IS NOT NULL,
           (SELECT m.to_digest FROM tag_move m
             WHERE m.repository_id = t.repository_id AND m.name = t.name AND m.sequence = t.version)
      FROM tag t WHERE (t.repository_id, t.name) >= ($1, $2)
     ORDER BY t.repository_id, t.name LIMIT $3";
const UPSTREAM_MANIFESTS: &str = "
    SELECT m.repository_id, m.digest, (SELECT 1 FROM repository r WHERE r.id = m.repository_id LIMIT 1) IS NOT NULL
      FROM upstream_manifest m WHERE (m.repository_id, m.digest) >= ($1, $2)
     ORDER BY m.repository_id, m.digest LIMIT $3";
const UPSTREAM_TAGS: &str = "
    SELECT t.repository_id, t.tag, t.digest, (SELECT 1 FROM repository r WHERE r.id = t.repository_id LIMIT 1) IS NOT NULL
      FROM upstream_tag t WHERE (t.repository_id, t.tag) >= ($1, $2)
     ORDER BY t.repository_id, t.tag LIMIT $3";
const REPLICAS: &str = "
    SELECT p.repository_id, p.digest, p.path, (SELECT 1 FROM repository r WHERE r.id = p.repository_id LIMIT 1) IS NOT NULL
      FROM replica p WHERE (p.repository_id, p.digest) >= ($1, $2)
     ORDER BY p.repository_id, p.digest LIMIT $3";

/// For the test that none of them looks at more than its page.
pub(crate) const STATEMENTS: &[(&str, &str)] = &[
    ("blobs to check", BLOBS),
    ("links to check", LINKS),
    ("images to check", IMAGES),
    ("deleted images to check", DELETED_IMAGES),
    ("needed blobs to check", IMAGE_BLOBS),
    ("children to check", IMAGE_CHILDREN),
    ("needed blobs of deleted images to check", DELETED_IMAGE_BLOBS),
    ("tags to check", TAGS),
    ("upstream manifests to check", UPSTREAM_MANIFESTS),
    ("upstream tags to check", UPSTREAM_TAGS),
    ("replicas to check", REPLICAS),
    ("scrubs", super::run::LIST),
];

const IMAGE: &str = "SELECT media_type, manifest FROM image WHERE repository_id = $1 AND digest = $2";
const NEEDS: &str = "SELECT blob_digest FROM image_blob WHERE repository_id = $1 AND image_digest = $2";
const LISTS: &str = "
    SELECT child_digest FROM image_child WHERE repository_id = $1 AND image_digest = $2
     UNION
    SELECT child_digest FROM image_missing_child WHERE repository_id = $1 AND image_digest = $2";
const DELETED_IMAGE: &str =
    "SELECT media_type, manifest, id FROM deleted_image WHERE repository_id = $1 AND digest = $2";
const DELETED_NEEDS: &str = "SELECT blob_digest FROM deleted_image_blob WHERE deleted_id = $1";
const DELETED_LISTS: &str = "SELECT child_digest FROM deleted_image_child WHERE deleted_id = $1";
const UPSTREAM_MANIFEST: &str =
    "SELECT media_type, content FROM upstream_manifest WHERE repository_id = $1 AND digest = $2";
const REPOSITORY: &str = "SELECT account_id, name FROM repository WHERE id = $1";

impl Store {
    /// Blobs from `position` on.
    pub async fn blobs_to_check(&self, position: &str, limit: usize) -> Result<ScrubPage<BlobFacts>, StoreError> {
        self.page_to_check(BLOBS, &[0], position, limit, |row| {
            Ok(BlobFacts {
                digest: row.parsed(0)?,
                size: row.size(1)?,
                created_at: row.time(2)?,
                content: row.optional_bytes(3)?,
                is_held: row.bool(4)?,
            })
        })
        .await
    }

    /// What is known of a digest now.
    pub async fn digest_facts(&self, digest: &Digest) -> Result<DigestFacts, StoreError> {
        let rows = self.point(DIGEST, values![digest]).await?;
        let row = rows.first().ok_or_else(|| crate::session::corrupt("no answer"))?;
        Ok(DigestFacts {
            has_row: row.bool(0)?,
            is_sealed: row.bool(1)?,
            is_in_review: row.bool(2)?,
        })
    }

    /// What is written down about where the bytes of a blob belong.
    pub async fn tier_facts(&self, digest: &Digest) -> Result<TierFacts, StoreError> {
        let rows = self.point(TIER, values![digest]).await?;
        let row = rows.first().ok_or_else(|| crate::session::corrupt("no answer"))?;
        let belongs = if row.bool(3)? {
            Some(StorageClass::Standard)
        } else if row.bool(2)? {
            Some(StorageClass::Archive)
        } else {
            None
        };
        Ok(TierFacts {
            is_archived: row.bool(0)?,
            is_waiting: row.bool(1)?,
            belongs,
        })
    }

    /// Links from `position` on.
    pub async fn links_to_check(&self, position: &str, limit: usize) -> Result<ScrubPage<LinkFacts>, StoreError> {
        self.page_to_check(LINKS, &[0, 1], position, limit, |row| {
            Ok(LinkFacts {
                repository_id: row.text(0)?,
                digest: row.parsed(1)?,
                has_repository: row.bool(2)?,
                has_blob: row.bool(3)?,
                is_needed: row.bool(4)?,
                is_in_review: row.bool(5)?,
            })
        })
        .await
    }

    /// Images from `position` on.
    pub async fn images_to_check(
        &self,
        kind: ManifestTable,
        position: &str,
        limit: usize,
    ) -> Result<ScrubPage<ImageKey>, StoreError> {
        let sql = match kind {
            ManifestTable::Image => IMAGES,
            ManifestTable::DeletedImage => DELETED_IMAGES,
            ManifestTable::Upstream => UPSTREAM_MANIFESTS,
        };
        self.page_to_check(sql, &[0, 1], position, limit, |row| {
            Ok(ImageKey {
                repository_id: row.text(0)?,
                digest: row.parsed(1)?,
                has_repository: row.bool(2)?,
            })
        })
        .await
    }

    /// An image with what is written down that it needs, which of a manifest from upstream is nothing; `None` if it is
    /// not there.
    pub async fn image_to_check(
        &self,
        kind: ManifestTable,
        image: &ImageKey,
    ) -> Result<Option<ImageFacts>, StoreError> {
        let mut session = self.snapshot().await?;
        let facts = image_facts(&mut session, kind, image).await;
        session.end_snapshot().await?;
        facts
    }

    /// References from `position` on.
    pub async fn references_to_check(
        &self,
        kind: ReferenceKind,
        position: &str,
        limit: usize,
    ) -> Result<ScrubPage<ReferenceFacts>, StoreError> {
        let (sql, key): (_, &[usize]) = match kind {
            ReferenceKind::ImageBlob => (IMAGE_BLOBS, &[0, 1, 2]),
            ReferenceKind::ImageChild => (IMAGE_CHILDREN, &[0, 1, 2]),
            ReferenceKind::DeletedImageBlob => (DELETED_IMAGE_BLOBS, &[1, 2]),
        };
        self.page_to_check(sql, key, position, limit, |row| {
            Ok(ReferenceFacts {
                repository_id: row.text(0)?,
                from: row.text(1)?,
                to: row.parsed(2)?,
                has_source: row.bool(3)?,
                has_target: row.bool(4)?,
                is_left_asleep: row.bool(5)?,
            })
        })
        .await
    }

    /// Tags from `position` on.
    pub async fn tags_to_check(&self, position: &str, limit: usize) -> Result<ScrubPage<TagFacts>, StoreError> {
        self.page_to_check(TAGS, &[0, 1], position, limit, |row| {
            Ok(TagFacts {
                repository_id: row.text(0)?,
                name: row.text(1)?,
                digest: row.parsed(2)?,
                has_image: row.bool(3)?,
                last_move: row.optional_parsed(4)?,
            })
        })
        .await
    }

    /// Tags of upstreams from `position` on.
    pub async fn upstream_tags_to_check(
        &self,
        position: &str,
        limit: usize,
    ) -> Result<ScrubPage<UpstreamTagFacts>, StoreError> {
        self.page_to_check(UPSTREAM_TAGS, &[0, 1], position, limit, |row| {
            Ok(UpstreamTagFacts {
                repository_id: row.text(0)?,
                name: row.parsed(1)?,
                digest: row.parsed(2)?,
                has_repository: row.bool(3)?,
            })
        })
        .await
    }

    /// Replicas from `position` on.
    pub async fn replicas_to_check(&self, position: &str, limit: usize) -> Result<ScrubPage<ReplicaFacts>, StoreError> {
        self.page_to_check(REPLICAS, &[0, 1], position, limit, |row| {
            Ok(ReplicaFacts {
                repository_id: row.text(0)?,
                digest: row.parsed(1)?,
                path: row.parsed(2)?,
                has_repository: row.bool(3)?,
            })
        })
        .await
    }

    /// `account/name` of a repository, by its key; the key itself if there is none.
    pub async fn repository_of_key(&self, id: &str) -> Result<String, StoreError> {
        let rows = self.point(REPOSITORY, values![id]).await?;
        match rows.first() {
            Some(row) => Ok(format!("{}/{}", row.text(0)?, row.text(1)?)),
            None => Ok(id.to_owned()),
        }
    }

    /// A page of rows, whose keys are in the columns `key`. A row that cannot be read does not keep the others.
    async fn page_to_check<T>(
        &self,
        sql: &'static str,
        key: &[usize],
        position: &str,
        limit: usize,
        read: impl Fn(&Row) -> Result<T, StoreError>,
    ) -> Result<ScrubPage<T>, StoreError> {
        let given = position.splitn(key.len(), SEPARATOR);
        let given = given.chain(std::iter::repeat("")).take(key.len());
        let values: Vec<Value<'_>> = given.map(Value::from).chain([limit.into()]).collect();
        let rows = self.reader().await?.fetch_all(sql, &values).await?;
        let facts: Vec<_> = rows
            .iter()
            .map(|row| (key_of(row, key), read(row).map_err(cause)))
            .collect();
        let is_last = facts.len() < limit;
        let next = facts.last().filter(|_| !is_last);
        let next = next.map(|(key, _)| format!("{key}{JUST_AFTER}"));
        // Keys that are no text are behind all others in SQLite, and have no place that a text could name: a page of
        // them is the last one.
        let next = next.filter(|next| next.as_str() > position);
        Ok(ScrubPage { facts, next })
    }
}

/// The key of a row, as well as it can be read.
fn key_of(row: &Row, columns: &[usize]) -> String {
    let part = |column: &usize| {
        let bytes = || {
            row.bytes(*column)
                .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        };
        row.text(*column).or_else(|_| bytes()).unwrap_or_else(|_| "?".into())
    };
    columns
        .iter()
        .map(part)
        .collect::<Vec<_>>()
        .join(&SEPARATOR.to_string())
}

/// What is wrong with a row.
fn cause(error: StoreError) -> String {
    match error {
        StoreError::Corrupt(cause) => cause,
        error => error.to_string(),
    }
}

async fn image_facts(
    session: &mut Session,
    kind: ManifestTable,
    image: &ImageKey,
) -> Result<Option<ImageFacts>, StoreError> {
    let named = values![&image.repository_id, &image.digest];
    let sql = match kind {
        ManifestTable::Image => IMAGE,
        ManifestTable::DeletedImage => DELETED_IMAGE,
        ManifestTable::Upstream => UPSTREAM_MANIFEST,
    };
    let Some(row) = session.fetch_optional(sql, named).await? else {
        return Ok(None);
    };
    let (blobs, children) = match kind {
        ManifestTable::Image => {
            let blobs = session.fetch_all(NEEDS, named).await?;
            (blobs, session.fetch_all(LISTS, named).await?)
        }
        ManifestTable::DeletedImage => {
            let id = row.text(2)?;
            let blobs = session.fetch_all(DELETED_NEEDS, values![&id]).await?;
            (blobs, session.fetch_all(DELETED_LISTS, values![&id]).await?)
        }
        ManifestTable::Upstream => (Vec::new(), Vec::new()),
    };
    let digests = |rows: &[Row]| rows.iter().map(|row| row.parsed(0)).collect::<Result<_, StoreError>>();
    Ok(Some(ImageFacts {
        media_type: row.text(0)?,
        manifest: row.bytes(1)?,
        blobs: digests(&blobs)?,
        children: digests(&children)?,
    }))
}
