// SPDX-License-Identifier: Apache-2.0
//! Which blobs belong into the archive, and the queue of those that somebody has to look at.
//!
//! A blob belongs into the archive while at least one image needs it, and every image that needs it is archived. Where
//! its bytes are decides about nothing: a blob store finds them in both locations. So a row that is late, or a move that
//! was done twice, does no harm.

use hythe_model::{Digest, StorageClass};
use jiff::{SignedDuration, Timestamp};

use crate::session::{Row, Session, corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The longest that a blob is claimed, or waits after a failure. What does so for longer was written by a clock that was
/// ahead.
pub const MAX_BLOB_MOVE_WAIT: SignedDuration = SignedDuration::from_mins(10);

/// A blob to be moved, by whoever claimed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobMove {
    /// The blob.
    pub digest: Digest,
    /// Where its bytes belong.
    pub to: StorageClass,
    /// The failed attempts before this one.
    pub attempts: u32,
    version: i64,
}

/// How many blobs there are to look at, and how many are in the archive, each up to the limit of the question.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TierCounts {
    /// Blobs that wait for a look.
    pub waiting: u64,
    /// Blobs whose bytes are, or may be, in the archive.
    pub archived: u64,
}

/// How much one claim takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobMoveLimit {
    /// So many blobs at most.
    pub blobs: usize,
    /// So many bytes at most, unless one blob alone has more.
    pub bytes: u64,
}

/// What one more wish for a look makes of a row. It keeps its place in the queue if that is the better one, and waits no
/// more as after a failure.
macro_rules! or_look_again {
    () => {
        "
    ON CONFLICT (digest) DO UPDATE
       SET due_ms = CASE WHEN blob_tier.due_ms < excluded.due_ms THEN blob_tier.due_ms ELSE excluded.due_ms END,
           lease_ms = CASE WHEN blob_tier.owner IS NULL THEN 0 ELSE blob_tier.lease_ms END,
           attempts = 0, version = blob_tier.version + 1"
    };
}

const QUEUE: &str = concat!(
    "INSERT INTO blob_tier (digest, is_archived, due_ms, lease_ms, attempts, version)
     SELECT u.blob_digest, FALSE, $3, 0, 0, 0
       FROM image_blob u JOIN blob b ON b.digest = u.blob_digest
      WHERE u.repository_id = $1 AND u.image_digest = $2 AND b.content IS NULL",
    or_look_again!()
);
/// Asks for a look at the blobs of an image that was archived. Blobs that are kept in their row stay there.
pub(crate) async fn queue(
    session: &mut Session,
    repository_id: &str,
    image: &Digest,
    due: Timestamp,
) -> Result<(), StoreError> {
    session
        .execute(QUEUE, values![repository_id, image, due])
        .await
        .map(drop)
}

const LOOK_AGAIN: &str = "
    UPDATE blob_tier
       SET due_ms = 0, lease_ms = CASE WHEN owner IS NULL THEN 0 ELSE lease_ms END, attempts = 0, version = version + 1
     WHERE digest IN (SELECT blob_digest FROM image_blob WHERE repository_id = $1 AND image_digest = $2)";
/// Asks for a look at those blobs of an image that may be in the archive, or are on their way to it, before all others:
/// somebody waits for the image, and nobody for what goes into the archive.
pub(crate) async fn look_again(session: &mut Session, repository_id: &str, image: &Digest) -> Result<(), StoreError> {
    session
        .execute(LOOK_AGAIN, values![repository_id, image])
        .await
        .map(drop)
}

/// Nearly always nothing is archived, and nothing more is asked.
const HAS_ARCHIVE: &str = "SELECT digest FROM image WHERE status <> 'ACTIVE' LIMIT 1";
const QUEUE_SHARED: &str = concat!(
    "INSERT INTO blob_tier (digest, is_archived, due_ms, lease_ms, attempts, version)
     SELECT u.blob_digest, FALSE, $3, 0, 0, 0
       FROM image_blob u JOIN blob b ON b.digest = u.blob_digest
      WHERE u.repository_id = $1 AND u.image_digest = $2 AND b.content IS NULL
        AND EXISTS (SELECT 1 FROM repository_blob l
                      JOIN image_blob v ON v.repository_id = l.repository_id AND v.blob_digest = l.digest
                      JOIN image i ON i.repository_id = v.repository_id AND i.digest = v.image_digest
                     WHERE l.digest = u.blob_digest AND i.status = 'ARCHIVED' AND (i.repository_id, i.digest) <> ($1, $2))",
    or_look_again!()
);
/// Asks for a look at those blobs of an image that is deleted now that archived images need too: they may belong into the
/// archive from then on.
pub(crate) async fn queue_shared(
    session: &mut Session,
    repository_id: &str,
    image: &Digest,
    due: Timestamp,
) -> Result<(), StoreError> {
    if session.fetch_optional(HAS_ARCHIVE, values![]).await?.is_none() {
        return Ok(());
    }
    session
        .execute(QUEUE_SHARED, values![repository_id, image, due])
        .await
        .map(drop)
}

const QUEUE_SHARED_OF_REPOSITORY: &str = concat!(
    "INSERT INTO blob_tier (digest, is_archived, due_ms, lease_ms, attempts, version)
     SELECT k.digest, FALSE, $2, 0, 0, 0
       FROM repository_blob k JOIN blob b ON b.digest = k.digest
      WHERE k.repository_id = $1 AND b.content IS NULL
        AND EXISTS (SELECT 1 FROM repository_blob l
                      JOIN image_blob v ON v.repository_id = l.repository_id AND v.blob_digest = l.digest
                      JOIN image i ON i.repository_id = v.repository_id AND i.digest = v.image_digest
                     WHERE l.digest = k.digest AND l.repository_id <> $1 AND i.status = 'ARCHIVED')",
    or_look_again!()
);
/// The same for all images of a repository that is deleted now.
pub(crate) async fn queue_shared_of_repository(
    session: &mut Session,
    repository_id: &str,
    due: Timestamp,
) -> Result<(), StoreError> {
    if session.fetch_optional(HAS_ARCHIVE, values![]).await?.is_none() {
        return Ok(());
    }
    session
        .execute(QUEUE_SHARED_OF_REPOSITORY, values![repository_id, due])
        .await
        .map(drop)
}

const DUE: &str = "
    SELECT digest FROM blob_tier
     WHERE due_ms <= $1 AND (lease_ms <= $1 OR lease_ms > $2) ORDER BY due_ms LIMIT $3";
const IS_LATE: &str = "SELECT digest FROM blob_tier WHERE due_ms > $1 LIMIT 1";
const RECALL: &str = "UPDATE blob_tier SET due_ms = $2 WHERE due_ms > $1";
const RENEW: &str = "UPDATE blob_tier SET lease_ms = $3 WHERE digest = $1 AND owner = $2 RETURNING digest";
/// A wish that came during the move keeps the row due.
const COMPLETE: &str = "
    UPDATE blob_tier
       SET owner = NULL, lease_ms = 0, attempts = 0, due_ms = CASE WHEN version = $3 THEN NULL ELSE due_ms END
     WHERE digest = $1 AND owner = $2 RETURNING digest";
const COMPLETE_RETURN: &str =
    "DELETE FROM blob_tier WHERE digest = $1 AND owner = $2 AND version = $3 RETURNING digest";
/// A wish that came during the move does not wait as the move does that failed.
const FAIL: &str = "
    UPDATE blob_tier
       SET owner = NULL, lease_ms = 0,
           attempts = CASE WHEN version = $3 THEN attempts + 1 ELSE attempts END,
           due_ms = CASE WHEN version = $3 THEN $4 ELSE due_ms END
     WHERE digest = $1 AND owner = $2 RETURNING digest";
/// What comes back keeps its place in the queue: it waits as if it were somebody's.
const FAIL_RETURN: &str = "
    UPDATE blob_tier
       SET owner = NULL, lease_ms = CASE WHEN version = $3 THEN $4 ELSE 0 END,
           attempts = CASE WHEN version = $3 THEN attempts + 1 ELSE attempts END
     WHERE digest = $1 AND owner = $2 RETURNING digest";
const RELEASE: &str = "
    UPDATE blob_tier SET owner = NULL, lease_ms = 0
     WHERE owner IS NOT NULL AND (CAST($1 AS TEXT) IS NULL OR owner = $1) RETURNING digest";
const COUNT_WAITING: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM blob_tier WHERE due_ms IS NOT NULL LIMIT $1) AS found";
const COUNT_ARCHIVED: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM blob_tier WHERE is_archived LIMIT $1) AS found";

impl Store {
    /// Blobs to move, as many as `limit` lets, which are `owner`'s until `lease_until`; those first that an image waits for
    /// which comes back. Blobs that are where they belong leave the queue.
    pub async fn claim_blob_moves(
        &self,
        owner: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: BlobMoveLimit,
    ) -> Result<Vec<BlobMove>, StoreError> {
        if self.point(DUE, values![now, longest(now), 1_i64]).await?.is_empty() {
            return Ok(Vec::new());
        }
        let input = (owner.to_owned(), now, lease_until, limit);
        self.write(Durability::Full, input, |session, (owner, now, lease_until, limit)| {
            Box::pin(claim(session, owner, *now, *lease_until, *limit))
        })
        .await
    }

    /// Has what waits for longer than anything does wait no more: it was put off by a clock that was ahead.
    pub async fn recall_blob_moves(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.point(IS_LATE, values![longest(now)]).await?.is_empty() {
            return Ok(());
        }
        self.write_one(Durability::Full, RECALL, values![longest(now), now])
            .await
            .map(drop)
    }

    /// Keeps a claimed blob for longer; false if it is not `owner`'s any more.
    pub async fn renew_blob_move(
        &self,
        owner: &str,
        blob: &BlobMove,
        lease_until: Timestamp,
    ) -> Result<bool, StoreError> {
        let values = values![&blob.digest, owner, lease_until];
        Ok(!self.write_one(Durability::Full, RENEW, values).await?.is_empty())
    }

    /// Records that the bytes of a claimed blob are where they belong.
    pub async fn complete_blob_move(&self, owner: &str, blob: &BlobMove) -> Result<(), StoreError> {
        let input = (owner.to_owned(), blob.clone());
        self.write_committed(Durability::Full, input, |session, (owner, blob)| {
            Box::pin(async move {
                let values = values![&blob.digest, owner, blob.version];
                if blob.to == StorageClass::Standard && session.fetch_optional(COMPLETE_RETURN, values).await?.is_some()
                {
                    return Ok(());
                }
                session.fetch_optional(COMPLETE, values).await.map(drop)
            })
        })
        .await
    }

    /// Gives a claimed blob back, to be tried again at `again_at`, [`MAX_BLOB_MOVE_WAIT`] from now at the latest; at once if somebody asked for another look meanwhile.
    pub async fn fail_blob_move(&self, owner: &str, blob: &BlobMove, again_at: Timestamp) -> Result<(), StoreError> {
        let values = values![&blob.digest, owner, blob.version, again_at];
        let fail = match blob.to {
            StorageClass::Archive => FAIL,
            StorageClass::Standard => FAIL_RETURN,
        };
        self.write_one(Durability::Full, fail, values).await.map(drop)
    }

    /// Ends the claims of `owner`, which moves nothing just now; without one all claims, if this process is the only one:
    /// those who made them are gone.
    pub async fn release_blob_moves(&self, owner: Option<&str>) -> Result<(), StoreError> {
        if owner.is_none() && self.cache().is_none() {
            return Ok(());
        }
        self.write_one(Durability::Full, RELEASE, values![owner])
            .await
            .map(drop)
    }

    /// How the queue is; counts go up to `limit`.
    pub async fn tier_counts(&self, limit: usize) -> Result<TierCounts, StoreError> {
        let mut reader = self.reader().await?;
        Ok(TierCounts {
            waiting: reader.fetch_one(COUNT_WAITING, values![limit]).await?.size(0)?,
            archived: reader.fetch_one(COUNT_ARCHIVED, values![limit]).await?.size(0)?,
        })
    }
}

/// Whether an image needs the blob, and whether one needs it that is not archived. By way of the links, since those are
/// found by the blob.
const NEEDED: &str = "
    SELECT t.is_archived, t.attempts, t.version,
           EXISTS (SELECT 1 FROM repository_blob l
                     JOIN image_blob u ON u.repository_id = l.repository_id AND u.blob_digest = l.digest
                    WHERE l.digest = t.digest),
           EXISTS (SELECT 1 FROM repository_blob l
                     JOIN image_blob u ON u.repository_id = l.repository_id AND u.blob_digest = l.digest
                     JOIN image i ON i.repository_id = u.repository_id AND i.digest = u.image_digest
                    WHERE l.digest = t.digest AND i.status <> 'ARCHIVED'),
           b.size
      FROM blob_tier t JOIN blob b ON b.digest = t.digest WHERE t.digest = $1";
const CLAIM: &str = "
    UPDATE blob_tier SET is_archived = TRUE, owner = $2, lease_ms = $3 WHERE digest = $1 RETURNING digest";
const FORGET: &str = "DELETE FROM blob_tier WHERE digest = $1";
const LEAVE: &str = "UPDATE blob_tier SET due_ms = NULL WHERE digest = $1";
/// The most rows that one claim looks at: some are where they belong already.
const LOOKS: usize = 256;
async fn claim(
    session: &mut Session,
    owner: &str,
    now: Timestamp,
    lease_until: Timestamp,
    limit: BlobMoveLimit,
) -> Result<Vec<BlobMove>, StoreError> {
    let mut moves = Vec::new();
    let mut bytes: u64 = 0;
    for due in session.fetch_all(DUE, values![now, longest(now), LOOKS]).await? {
        if moves.len() >= limit.blobs {
            break;
        }
        let digest: Digest = due.parsed(0)?;
        let Some(row) = session.fetch_optional(NEEDED, values![&digest]).await? else {
            continue;
        };
        let found = look(digest, &row)?;
        // Bytes that never went anywhere need not come back, and what no image needs any more need not go anywhere.
        if found.to == StorageClass::Standard {
            let (may_be_archived, is_needed) = (row.bool(0)?, row.bool(3)?);
            if !may_be_archived {
                session.execute(FORGET, values![&digest]).await?;
                continue;
            }
            if !is_needed {
                session.execute(LEAVE, values![&digest]).await?;
                continue;
            }
        }
        bytes = bytes.saturating_add(row.size(5)?);
        if bytes > limit.bytes && !moves.is_empty() {
            break;
        }
        session.execute(CLAIM, values![&digest, owner, lease_until]).await?;
        moves.push(found);
    }
    Ok(moves)
}

/// Until when something of now may wait.
fn longest(now: Timestamp) -> Timestamp {
    now.checked_add(MAX_BLOB_MOVE_WAIT).unwrap_or(Timestamp::MAX)
}

fn look(digest: Digest, row: &Row) -> Result<BlobMove, StoreError> {
    let belongs_to_archive = row.bool(3)? && !row.bool(4)?;
    Ok(BlobMove {
        digest,
        to: if belongs_to_archive {
            StorageClass::Archive
        } else {
            StorageClass::Standard
        },
        attempts: u32::try_from(row.int(1)?).map_err(corrupt)?,
        version: row.int(2)?,
    })
}
