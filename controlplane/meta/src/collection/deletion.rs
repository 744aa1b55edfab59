// SPDX-License-Identifier: Apache-2.0
//! Blobs whose bytes are being deleted.

use hythe_model::Digest;
use jiff::Timestamp;

use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError, review};

/// A blob without a row, whose bytes are to be deleted by whoever has this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobDeletion {
    pub(super) repository_id: String,
    pub(super) digest: Digest,
    pub(super) bytes: u64,
    /// By which the row knows him.
    pub(super) token: String,
}

impl BlobDeletion {
    fn read(row: &Row, token: &str) -> Result<Self, StoreError> {
        Ok(Self {
            digest: row.parsed(0)?,
            repository_id: row.text(1)?,
            bytes: row.size(2)?,
            token: token.into(),
        })
    }

    /// The blob.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Its size, in bytes; 0 if it never had a row.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// If there is a row, its bytes are being deleted anyway, and none were published since.
const INSERT: &str = "
    INSERT INTO blob_deletion (digest, repository_id, bytes, due_ms, token, lease_ms) VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (digest) DO NOTHING RETURNING digest";
/// Begins to delete; says whether nobody else had begun.
pub(super) async fn insert(
    session: &mut Session,
    deletion: &BlobDeletion,
    due: Timestamp,
    lease: Timestamp,
) -> Result<bool, StoreError> {
    let BlobDeletion {
        repository_id,
        digest,
        bytes,
        token,
    } = deletion;
    let values = values![digest, repository_id, *bytes, due, token, lease];
    Ok(session.fetch_optional(INSERT, values).await?.is_some())
}

const CLAIMED: &str = "SELECT 1 FROM blob_deletion WHERE digest = $1";
/// Whether the bytes of a blob are being deleted, for a transaction that is about to have some published.
pub(crate) async fn is_claimed(session: &mut Session, digest: &Digest) -> Result<bool, StoreError> {
    Ok(session.fetch_optional(CLAIMED, values![digest]).await?.is_some())
}

/// There are never many. A lease that ends too late to be one was made while the clock was wrong.
const ABANDONED: &str = "
    SELECT digest FROM blob_deletion
     WHERE lease_ms <= $1 OR lease_ms > $1 + 3600000 LIMIT $2";
/// Of several nodes, the one that comes first.
const TAKE_OVER: &str = "
    UPDATE blob_deletion SET token = $2, lease_ms = $3 WHERE digest = $1 AND (lease_ms <= $4 OR lease_ms > $4 + 3600000)
 RETURNING digest, repository_id, bytes";
const END_LEASES: &str = "UPDATE blob_deletion SET lease_ms = 0";
const END_REVIEWS: &str = "UPDATE blob_review SET lease_ms = 0 WHERE lease_ms > 0";
const END_SCRUBS: &str = "UPDATE scrub SET lease_ms = 0 WHERE status = 'RUNNING'";
const IS_MINE: &str = "SELECT 1 FROM blob_deletion WHERE digest = $1 AND token = $2";
const END: &str = "DELETE FROM blob_deletion WHERE digest = $1 AND token = $2 RETURNING repository_id";

impl Store {
    /// Up to `limit` deletions that somebody began and did not come back to until `now`; from now on they are the caller's,
    /// until `until`, by a `token` that nobody had before: not even he himself.
    pub async fn take_over_deletions(
        &self,
        token: &str,
        now: Timestamp,
        until: Timestamp,
        limit: usize,
    ) -> Result<Vec<BlobDeletion>, StoreError> {
        let abandoned = self.reader().await?.fetch_all(ABANDONED, values![now, limit]).await?;
        let mut deletions = Vec::with_capacity(abandoned.len());
        for row in &abandoned {
            let digest: Digest = row.parsed(0)?;
            let values = values![&digest, token, until, now];
            let rows = self.write_one(Durability::Full, TAKE_OVER, values).await?;
            for row in &rows {
                deletions.push(BlobDeletion::read(row, token)?);
            }
        }
        Ok(deletions)
    }

    /// On an embedded database, where nobody else can be alive: whatever others began may be taken over at once; to
    /// be called before this process begins anything.
    pub async fn end_leases_of_dead_processes(&self) -> Result<(), StoreError> {
        if self.cache().is_none() {
            return Ok(());
        }
        for end in [END_LEASES, END_REVIEWS, END_SCRUBS] {
            self.write_one(Durability::Relaxed, end, values![]).await?;
        }
        Ok(())
    }

    /// Whether a deletion is still to be done by whoever has this: asked while nobody else deletes the blob.
    pub async fn is_still_to_delete(&self, deletion: &BlobDeletion) -> Result<bool, StoreError> {
        let BlobDeletion { digest, token, .. } = deletion;
        let row = self
            .reader()
            .await?
            .fetch_optional(IS_MINE, values![digest, token])
            .await?;
        Ok(row.is_some())
    }

    /// Ends deletions whose bytes are durably gone. If a power cut undoes this, they are deleted once more; it cannot
    /// undo it alone once somebody was let publish the blob again, as that is a later transaction.
    pub async fn end_deletions(&self, deletions: &[BlobDeletion]) -> Result<(), StoreError> {
        if deletions.is_empty() {
            return Ok(());
        }
        self.write_committed(Durability::Relaxed, deletions.to_vec(), |session, deletions| {
            Box::pin(async move {
                for BlobDeletion { digest, token, .. } in deletions {
                    session.execute(END, values![digest, token]).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Ends a deletion that failed, whether or not bytes are left: nobody deletes them now, and the blob is looked at
    /// again at `due`. Until then it can be pushed.
    pub async fn give_up_deletion(&self, deletion: &BlobDeletion, due: Timestamp) -> Result<(), StoreError> {
        self.write(Durability::Full, (deletion.clone(), due), |session, (deletion, due)| {
            Box::pin(async move {
                let BlobDeletion { digest, token, .. } = deletion;
                if let Some(row) = session.fetch_optional(END, values![digest, token]).await? {
                    review::link(session, &row.text(0)?, digest, *due).await?;
                }
                Ok(())
            })
        })
        .await
    }
}
