// SPDX-License-Identifier: Apache-2.0
//! The queue of links between repositories and blobs that may have lost their last reference.
//!
//! Garbage is found by queue, not by walk: whoever drops a reference, or makes a link that no image refers to
//! yet, adds a row in the same transaction. A collector looks at due rows again before it removes anything,
//! so that a row too many does no harm. A digest may be queued that has no row in `blob`: a session was sealed
//! as it and not linked, so that its bytes may lie in the blob store. They are needed while a row of `upload` is
//! sealed as them.
//!
//! A deleted image that can be restored needs its blobs too: a link is needed while a row of `deleted_image_blob` names
//! its repository and digest, and bytes and row of a blob while any row of `deleted_image_blob` names it, even if no
//! repository links it (somebody may unlink a blob by its name, and the restoration links it again). So a queued
//! digest may have lost its link already, and still be the last that leads to its bytes.

use hythe_model::Digest;
use jiff::Timestamp;

use crate::StoreError;
use crate::session::{Session, values};

const REVIEW_LINK: &str = "
    INSERT INTO blob_review (repository_id, digest, due_ms) VALUES ($1, $2, $3)
    ON CONFLICT (repository_id, digest) DO UPDATE SET due_ms = excluded.due_ms";
const REVIEW_IMAGE: &str = "
    INSERT INTO blob_review (repository_id, digest, due_ms)
    SELECT repository_id, blob_digest, $3 FROM image_blob WHERE repository_id = $1 AND image_digest = $2
    ON CONFLICT (repository_id, digest) DO UPDATE SET due_ms = excluded.due_ms";
const REVIEW_REPOSITORY: &str = "
    INSERT INTO blob_review (repository_id, digest, due_ms)
    SELECT repository_id, digest, $2 FROM repository_blob WHERE repository_id = $1
    ON CONFLICT (repository_id, digest) DO UPDATE SET due_ms = excluded.due_ms";
/// Also blobs that are not linked any more.
const REVIEW_DELETED: &str = "
    INSERT INTO blob_review (repository_id, digest, due_ms)
    SELECT DISTINCT b.repository_id, b.blob_digest, $2
      FROM deleted_image d JOIN deleted_image_blob b ON b.deleted_id = d.id WHERE d.repository_id = $1
    ON CONFLICT (repository_id, digest) DO UPDATE SET due_ms = excluded.due_ms";

/// Queues one link.
pub(crate) async fn link(
    session: &mut Session,
    repository_id: &str,
    digest: &Digest,
    due: Timestamp,
) -> Result<(), StoreError> {
    session
        .execute(REVIEW_LINK, values![repository_id, digest, due])
        .await
        .map(drop)
}

/// Queues the links that an image needs.
pub(crate) async fn image(
    session: &mut Session,
    repository_id: &str,
    image: &Digest,
    due: Timestamp,
) -> Result<(), StoreError> {
    session
        .execute(REVIEW_IMAGE, values![repository_id, image, due])
        .await
        .map(drop)
}

/// Queues all links of a repository.
pub(crate) async fn repository(session: &mut Session, repository_id: &str, due: Timestamp) -> Result<(), StoreError> {
    session
        .execute(REVIEW_REPOSITORY, values![repository_id, due])
        .await
        .map(drop)
}

/// Queues what the deleted images of a repository need.
pub(crate) async fn deleted_images(
    session: &mut Session,
    repository_id: &str,
    due: Timestamp,
) -> Result<(), StoreError> {
    session
        .execute(REVIEW_DELETED, values![repository_id, due])
        .await
        .map(drop)
}
