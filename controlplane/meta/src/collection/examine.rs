// SPDX-License-Identifier: Apache-2.0
//! The second look at links that may be garbage.

use hythe_model::{Digest, RepositoryPath};
use jiff::{SignedDuration, Timestamp};

use super::deletion::{BlobDeletion, insert};
use crate::blob::later;
use crate::cache::Fact;
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// A link that is due to be looked at, or what is left of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueReview {
    repository_id: String,
    digest: Digest,
}

impl DueReview {
    /// The blob.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }
}

/// How links are judged, and by whom bytes are deleted.
#[derive(Clone, Debug)]
pub struct CollectionRules {
    /// How long a link that nothing needs stays after it was made: an image that needs it may be on its way.
    pub grace: SignedDuration,
    /// How long a link that nothing needs any more stays after nobody is told of it any more: who was told of it before
    /// may be about to use it.
    pub condemned_for: SignedDuration,
    /// By what those are known who delete; nobody had the same before.
    pub token: String,
    /// How long nobody else is to finish what this one began.
    pub lease: SignedDuration,
}

/// What came of looking at some links.
#[derive(Clone, Debug, Default)]
pub struct Reviewed {
    /// How many were looked at.
    pub reviewed: u64,
    /// Those of them that are needed.
    pub kept: u64,
    /// Those that are to be looked at again later.
    pub postponed: u64,
    /// Those of which nobody is told any more.
    pub condemned: u64,
    /// Those that were removed.
    pub unlinked: u64,
    /// The blobs that went with their last link. Their bytes are to be deleted.
    pub deletions: Vec<BlobDeletion>,
}

impl Reviewed {
    /// Adds what came of others.
    pub fn add(&mut self, others: Self) {
        let Self {
            reviewed,
            kept,
            postponed,
            condemned,
            unlinked,
            deletions,
        } = others;
        self.reviewed += reviewed;
        self.kept += kept;
        self.postponed += postponed;
        self.condemned += condemned;
        self.unlinked += unlinked;
        self.deletions.extend(deletions);
    }
}

/// When a blob is looked at again that a session was sealed as before it was sealed as something else: the end of such a
/// session queues only the last.
const SEALED_AGAIN: SignedDuration = SignedDuration::from_hours(1);

/// In the order in which they became due. A row that somebody has leased is passed over, but for a lease that ends too
/// late to be one: the clock was wrong when it was made.
pub(crate) const DUE: &str = "
    SELECT repository_id, digest FROM blob_review
     WHERE due_ms <= $1 AND (lease_ms <= $1 OR lease_ms > $1 + 3600000) ORDER BY due_ms LIMIT $2";
/// Of several nodes that found the same row, the one that comes first gets it.
const LEASE: &str = "
    UPDATE blob_review SET lease_ms = $4
     WHERE repository_id = $1 AND digest = $2 AND due_ms <= $3 AND (lease_ms <= $3 OR lease_ms > $3 + 3600000)
 RETURNING digest";

impl Store {
    /// Up to `limit` links that are due at `now`, which nobody else gets until `until`.
    pub async fn lease_reviews(
        &self,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueReview>, StoreError> {
        // Not to write when there is nothing to do.
        let due = self.reader().await?.fetch_all(DUE, values![now, limit]).await?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let read = |row: &Row| Ok((row.text(0)?, row.parsed(1)?));
        let due: Vec<(String, Digest)> = due.iter().map(read).collect::<Result<_, StoreError>>()?;
        self.write_committed(Durability::Relaxed, (due, now, until), |session, (due, now, until)| {
            Box::pin(async move {
                let mut leased = Vec::with_capacity(due.len());
                for (repository_id, digest) in due {
                    let values = values![repository_id, digest, *now, *until];
                    if session.fetch_optional(LEASE, values).await?.is_some() {
                        leased.push(DueReview {
                            repository_id: repository_id.clone(),
                            digest: *digest,
                        });
                    }
                }
                Ok(leased)
            })
        })
        .await
    }

    /// Looks at links again and removes those that nothing needs, with the rows of the blobs that nothing links any
    /// more. All of it happens or nothing does.
    pub async fn review_blobs(
        &self,
        due: Vec<DueReview>,
        rules: &CollectionRules,
        now: Timestamp,
    ) -> Result<Reviewed, StoreError> {
        self.write(
            Durability::Full,
            (due, rules.clone(), now),
            |session, (due, rules, now)| {
                Box::pin(async move {
                    let mut reviewed = Reviewed::default();
                    for review in due {
                        examine(session, review, rules, *now, &mut reviewed).await?;
                    }
                    Ok(reviewed)
                })
            },
        )
        .await
    }
}

/// Everything that decides about a link, in one row. Each part finds its rows by an index on exactly what it names.
const FACTS: &str = "
    SELECT (SELECT due_ms FROM blob_review WHERE repository_id = $1 AND digest = $2),
           (SELECT linked_ms FROM repository_blob WHERE repository_id = $1 AND digest = $2),
           (SELECT condemned_ms FROM repository_blob WHERE repository_id = $1 AND digest = $2),
           EXISTS (SELECT 1 FROM image_blob WHERE repository_id = $1 AND blob_digest = $2)
           OR EXISTS (SELECT 1 FROM deleted_image_blob WHERE blob_digest = $2 AND repository_id = $1),
           EXISTS (SELECT 1 FROM repository_blob WHERE digest = $2 AND repository_id <> $1)
           OR EXISTS (SELECT 1 FROM deleted_image_blob WHERE blob_digest = $2 AND repository_id <> $1)
           OR EXISTS (SELECT 1 FROM upload WHERE sealed_digest = $2),
           EXISTS (SELECT 1 FROM upload_seal WHERE digest = $2)";
const FORGET: &str = "DELETE FROM blob_review WHERE repository_id = $1 AND digest = $2";
const POSTPONE: &str = "UPDATE blob_review SET due_ms = $3, lease_ms = 0 WHERE repository_id = $1 AND digest = $2";
const SET_CONDEMNED: &str = "UPDATE repository_blob SET condemned_ms = $3 WHERE repository_id = $1 AND digest = $2";
const UNLINK: &str = "DELETE FROM repository_blob WHERE repository_id = $1 AND digest = $2";
const DELETE_BLOB: &str = "DELETE FROM blob WHERE digest = $1 RETURNING size";
/// Of sessions that have ended.
const FORGET_SEALS: &str = "
    DELETE FROM upload_seal WHERE digest = $1 AND NOT EXISTS (SELECT 1 FROM upload u WHERE u.id = upload_seal.upload_id)";
const WAS_SEALED: &str = "SELECT 1 FROM upload_seal WHERE digest = $1 LIMIT 1";

async fn examine(
    session: &mut Session,
    review: &DueReview,
    rules: &CollectionRules,
    now: Timestamp,
    reviewed: &mut Reviewed,
) -> Result<(), StoreError> {
    let DueReview { repository_id, digest } = review;
    let key = values![repository_id, digest];
    let facts = session.fetch_one(FACTS, key).await?;
    let Some(due) = facts.optional_time(0)? else {
        return Ok(()); // another node was here
    };
    reviewed.reviewed += 1;
    if due > now {
        // Queued anew since it was leased.
        session.execute(POSTPONE, values![repository_id, digest, due]).await?;
        reviewed.postponed += 1;
        return Ok(());
    }
    let (linked, condemned) = (facts.optional_time(1)?, facts.optional_time(2)?);
    let (is_needed, is_needed_elsewhere) = (facts.bool(3)?, facts.bool(4)?);
    let mut was_sealed = facts.bool(5)?;
    if was_sealed {
        session.execute(FORGET_SEALS, values![digest]).await?;
        was_sealed = session.fetch_optional(WAS_SEALED, values![digest]).await?.is_some();
    }
    if is_needed {
        if condemned.is_some() {
            let never: Option<Timestamp> = None;
            session
                .execute(SET_CONDEMNED, values![repository_id, digest, never])
                .await?;
        }
        reviewed.kept += 1;
        return forget(session, review, was_sealed, now).await;
    }
    if let Some(linked) = linked {
        let spared_until = match condemned {
            _ if later(linked, rules.grace) > now => Some(later(linked, rules.grace)),
            Some(since) => Some(later(since, rules.condemned_for)).filter(|until| *until > now),
            None if rules.condemned_for.is_zero() => None,
            None => {
                session
                    .execute(SET_CONDEMNED, values![repository_id, digest, now])
                    .await?;
                touch(session, repository_id, digest).await?;
                reviewed.condemned += 1;
                Some(later(now, rules.condemned_for))
            }
        };
        if let Some(until) = spared_until {
            session.execute(POSTPONE, values![repository_id, digest, until]).await?;
            reviewed.postponed += 1;
            return Ok(());
        }
        touch(session, repository_id, digest).await?;
        session.execute(UNLINK, key).await?;
        reviewed.unlinked += 1;
    }
    forget(session, review, was_sealed, now).await?;
    if is_needed_elsewhere || was_sealed {
        return Ok(());
    }
    // Also without a row: the bytes may have been published by a session that ended before they were linked.
    let size = match session.fetch_optional(DELETE_BLOB, values![digest]).await? {
        Some(row) => row.size(0)?,
        None => 0,
    };
    let deletion = BlobDeletion {
        repository_id: repository_id.clone(),
        digest: *digest,
        bytes: size,
        token: rules.token.clone(),
    };
    // A run that waits for what was due when it was asked for waits for this.
    if insert(session, &deletion, due, later(now, rules.lease)).await? {
        reviewed.deletions.push(deletion);
    }
    Ok(())
}

/// The row has done its work, unless it is all that leads to bytes that a session may have published.
async fn forget(
    session: &mut Session,
    DueReview { repository_id, digest }: &DueReview,
    was_sealed: bool,
    now: Timestamp,
) -> Result<(), StoreError> {
    if was_sealed {
        let again = later(now, SEALED_AGAIN);
        session.execute(POSTPONE, values![repository_id, digest, again]).await?;
    } else {
        session.execute(FORGET, values![repository_id, digest]).await?;
    }
    Ok(())
}

const PATH: &str = "SELECT account_id, name FROM repository WHERE id = $1";
/// Nobody reads the link from memory any more.
async fn touch(session: &mut Session, repository_id: &str, digest: &Digest) -> Result<(), StoreError> {
    if let Some(row) = session.fetch_optional(PATH, values![repository_id]).await? {
        let repository = RepositoryPath {
            account: row.parsed(0)?,
            name: row.parsed(1)?,
        };
        session.touch(&repository, Fact::Blob(digest));
    }
    Ok(())
}
