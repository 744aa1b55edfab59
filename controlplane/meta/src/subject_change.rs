// SPDX-License-Identifier: Apache-2.0
//! Referrers follow their subject: signatures and SBOMs of an image go when it is deleted, and come back when it is
//! restored. The transaction that deletes or restores the subject queues that; a pass does it, a bounded number at
//! a time, on any number of nodes.

use hythe_access::{Facts, Trail};
use hythe_catalog::CatalogError;
use hythe_model::{Digest, RepositoryPath};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::image_delete::Place;
use crate::image_restore::{Restoration, restore};
use crate::schedule::SLACK;
use crate::session::{Row, Session, values};
use crate::tag::Mover;
use crate::writer::Durability;
use crate::{
    Deletion, DeletionReason, ImageIdentifier, RestoreImageError, Store, StoreError, registry_setting, repository,
};

/// The most referrers that one transaction takes along.
const BATCH: usize = 100;
/// For how long a node has a subject to itself.
const LEASE: SignedDuration = SignedDuration::from_secs(60);

const DELETED: &str = "DELETED";
const RESTORED: &str = "RESTORED";

/// What became of referrers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FollowedSubjects {
    /// Subjects that were looked at.
    pub subjects: usize,
    /// Referrers that were deleted.
    pub deleted: usize,
    /// Referrers that were restored.
    pub restored: usize,
}

const HAS_REFERRERS: &str = "SELECT digest FROM image WHERE repository_id = $1 AND subject = $2 LIMIT 1";
const HAS_DELETED_REFERRERS: &str =
    "SELECT digest FROM deleted_image WHERE repository_id = $1 AND subject = $2 AND reason = $3 LIMIT 1";
const QUEUE: &str = "
    INSERT INTO subject_change (repository_id, subject, change, changed_ms, changed_by, due_ms)
    VALUES ($1, $2, $3, $4, $5, $4)
    ON CONFLICT (repository_id, subject) DO UPDATE
       SET change = excluded.change, changed_ms = excluded.changed_ms, changed_by = excluded.changed_by,
           due_ms = excluded.due_ms";
const UNQUEUE: &str = "DELETE FROM subject_change WHERE repository_id = $1 AND subject = $2";

/// Queues the referrers of an image that is being deleted.
pub(crate) async fn deleted(
    session: &mut Session,
    id: &str,
    subject: &Digest,
    deletion: &Deletion,
) -> Result<(), StoreError> {
    if session
        .fetch_optional(HAS_REFERRERS, values![id, subject])
        .await?
        .is_some()
    {
        let values = values![id, subject, DELETED, deletion.at, &deletion.by];
        session.execute(QUEUE, values).await?;
    }
    Ok(())
}

/// Queues the referrers that went with an image that is being restored.
pub(crate) async fn restored(
    session: &mut Session,
    id: &str,
    subject: &Digest,
    mover: Mover<'_>,
) -> Result<(), StoreError> {
    let reason = DeletionReason::SubjectDeleted(*subject).to_string();
    let gone = session
        .fetch_optional(HAS_DELETED_REFERRERS, values![id, subject, &reason])
        .await?;
    let done = match gone {
        Some(_) => {
            let values = values![id, subject, RESTORED, mover.at, mover.by];
            session.execute(QUEUE, values).await
        }
        None => session.execute(UNQUEUE, values![id, subject]).await,
    };
    done.map(drop)
}

const IS_DUE: &str = "SELECT subject FROM subject_change WHERE due_ms <= $1 LIMIT 1";
/// What was queued or taken by a clock that was ahead.
const IS_LATE: &str = "SELECT subject FROM subject_change WHERE due_ms > $1 LIMIT 1";
const RECALL: &str = "UPDATE subject_change SET due_ms = $2 WHERE due_ms > $1";
/// Who finds one taken by another node waits for it, and then finds that it is not due any more.
pub(crate) const TAKE: &str = "
    UPDATE subject_change SET due_ms = $2
     WHERE due_ms <= $1
       AND (repository_id, subject) IN (SELECT repository_id, subject FROM subject_change
                                         WHERE due_ms <= $1 ORDER BY due_ms LIMIT $3)
 RETURNING repository_id, subject";

impl Store {
    /// Deletes and restores the referrers of at most `limit` subjects that were deleted or restored. May run on
    /// several nodes at once; what fails is tried again.
    pub async fn follow_subjects(&self, now: Timestamp, limit: usize) -> Result<FollowedSubjects, StoreError> {
        // Nearly always there is none, and nothing to write.
        let late = later(now, LEASE + SLACK);
        if !self.point(IS_LATE, values![late]).await?.is_empty() {
            self.write_one(Durability::Full, RECALL, values![late, now]).await?;
        }
        if self.point(IS_DUE, values![now]).await?.is_empty() {
            return Ok(FollowedSubjects::default());
        }
        let values = values![now, later(now, LEASE), limit];
        let mut followed = FollowedSubjects::default();
        for row in self.write_one(Durability::Full, TAKE, values).await? {
            let done = self.follow(&row.text(0)?, row.parsed(1)?, now).await?;
            followed.subjects += 1;
            followed.deleted += done.deleted;
            followed.restored += done.restored;
        }
        Ok(followed)
    }

    /// The same for one image, at once.
    pub async fn follow_subject(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        now: Timestamp,
    ) -> Result<FollowedSubjects, StoreError> {
        let found = repository::find_id(&mut self.reader().await?, repository).await?;
        match found {
            Some(id) => self.follow(&id, *subject, now).await,
            None => Ok(FollowedSubjects::default()),
        }
    }

    async fn follow(&self, id: &str, subject: Digest, now: Timestamp) -> Result<FollowedSubjects, StoreError> {
        let mut followed = FollowedSubjects::default();
        let Some(facts) = self.facts(id, subject).await? else {
            return Ok(followed);
        };
        let mut place = None;
        loop {
            let input = (id.to_owned(), subject, place, now);
            let step = self.write(Durability::Full, input, |session, (id, subject, place, now)| {
                Box::pin(step(session, id, subject, place.as_ref(), *now))
            });
            // No request has asked for it, so that it has records of its own.
            let step = Trail::without_id(now, facts.clone()).follow(step).await?;
            followed.deleted += step.deleted;
            followed.restored += step.restored;
            let reason = DeletionReason::SubjectDeleted(subject);
            self.counts().deleted(&reason, step.deleted);
            self.counts().restored(step.restored);
            if step.next.is_none() {
                return Ok(followed);
            }
            place = step.next;
        }
    }
}

const SELECT_PATH: &str = "SELECT account_id, name FROM repository WHERE id = $1";

impl Store {
    /// What the audit log is told beforehand; `None` if the repository is gone.
    async fn facts(&self, id: &str, subject: Digest) -> Result<Option<Facts>, StoreError> {
        let row = self.reader().await?.fetch_optional(SELECT_PATH, values![id]).await?;
        let read = |row: Row| {
            Ok(Facts {
                operation: "image.follow_subject",
                default_event: "ReferrersFollowedEvent",
                is_change: true,
                account: Some(row.parsed(0)?),
                repository: Some(row.text(1)?.into()),
                digest: Some(subject),
                service_details: Some("{}".into()),
                ..Facts::default()
            })
        };
        row.map(read).transpose()
    }
}

/// `time` after a while, or the end of time.
pub(crate) fn later(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// What one transaction did.
#[derive(Default)]
struct Step {
    deleted: usize,
    restored: usize,
    /// Where to go on, if there may be more.
    next: Option<Progress>,
}

/// How far the referrers of a subject have been taken along, for one change of it: another change begins anew.
#[derive(Clone)]
struct Progress {
    change: String,
    changed_at: Timestamp,
    /// The last referrer that was looked at.
    after: String,
}

const TAKEN: &str = "
    SELECT c.change, c.changed_ms, c.changed_by, r.account_id, r.name,
           EXISTS (SELECT 1 FROM image i WHERE i.repository_id = c.repository_id AND i.digest = c.subject)
      FROM subject_change c JOIN repository r ON r.id = c.repository_id
     WHERE c.repository_id = $1 AND c.subject = $2";
/// Those that were there when the subject went, and that no index keeps.
const REFERRERS: &str = "
    SELECT i.digest FROM image i
     WHERE i.repository_id = $1 AND i.subject = $2 AND i.digest > $3 AND i.pushed_ms <= $4
       AND NOT EXISTS (SELECT 1 FROM image_child c WHERE c.repository_id = i.repository_id AND c.child_digest = i.digest)
       AND NOT EXISTS (SELECT 1 FROM image_missing_child m
                        WHERE m.repository_id = i.repository_id AND m.child_digest = i.digest)
     ORDER BY i.digest LIMIT $5";
const DELETED_REFERRERS: &str = "
    SELECT digest FROM deleted_image
     WHERE repository_id = $1 AND subject = $2 AND digest > $3 AND reason = $4
     ORDER BY digest LIMIT $5";

/// Looks at what was queued, takes along some referrers from where `before` ended, and ends the row if there are no more.
async fn step(
    session: &mut Session,
    id: &str,
    subject: &Digest,
    before: Option<&Progress>,
    now: Timestamp,
) -> Result<Step, StoreError> {
    let Some(row) = session.fetch_optional(TAKEN, values![id, subject]).await? else {
        return Ok(Step::default());
    };
    let (change, changed_at, changed_by) = (row.text(0)?, row.time(1)?, row.text(2)?);
    let path = RepositoryPath {
        account: row.parsed(3)?,
        name: row.parsed(4)?,
    };
    // What a restoration brings back may lie before what was deleted last.
    let before = before.filter(|before| before.change == change && before.changed_at == changed_at);
    let after = before.map_or("", |before| before.after.as_str());
    let reason = DeletionReason::SubjectDeleted(*subject);
    let is_there = row.bool(5)?;
    let mut step = Step::default();
    let mut done = Vec::new();
    let rows = match (change.as_str(), is_there) {
        (DELETED, false) => {
            let values = values![id, subject, after, changed_at, BATCH];
            let rows = session.fetch_all(REFERRERS, values).await?;
            let place = Place {
                path: &path,
                id: id.to_owned(),
                retention: registry_setting::retention(session, &path.account).await?,
            };
            let deletion = Deletion {
                at: now,
                by: changed_by.clone(),
                reason,
            };
            for row in &rows {
                let digest: Digest = row.parsed(0)?;
                let image = ImageIdentifier::Digest(digest);
                if place.delete(session, &image, digest, &[], &deletion).await?.is_ok() {
                    step.deleted += 1;
                    done.push(digest.to_string());
                }
            }
            rows
        }
        (RESTORED, true) => {
            let reason = reason.to_string();
            let values = values![id, subject, after, &reason, BATCH];
            let rows = session.fetch_all(DELETED_REFERRERS, values).await?;
            for row in &rows {
                let restoration = Restoration {
                    id,
                    mover: Mover {
                        at: now,
                        by: &changed_by,
                    },
                    tags: None,
                };
                match restore(session, &restoration, &row.parsed(0)?).await {
                    Ok(restored) if restored.is_restored => {
                        step.restored += 1;
                        done.push(restored.digest.to_string());
                    }
                    // It is there already; or an index whose images were purged, which waits for its own end.
                    Ok(_)
                    | Err(
                        RestoreImageError::ChildrenGone(_) | RestoreImageError::TooMany | RestoreImageError::Unknown,
                    ) => {}
                    Err(RestoreImageError::Store(error)) => return Err(error),
                    Err(RestoreImageError::Catalog(CatalogError::RepositoryUnknown(_))) => return Ok(Step::default()),
                    Err(RestoreImageError::Catalog(error)) => return Err(StoreError::Corrupt(error.to_string())),
                }
            }
            rows
        }
        // The subject came back, or went again, in the meantime.
        _ => Vec::new(),
    };
    match rows.last() {
        Some(last) if rows.len() == BATCH => {
            step.next = Some(Progress {
                change: change.clone(),
                changed_at,
                after: last.text(0)?,
            });
        }
        _ => drop(session.execute(UNQUEUE, values![id, subject]).await?),
    }
    if done.is_empty() {
        // The queue alone is nothing to tell.
        session.start_changes();
    } else {
        session.note_details(json!({
            "repositoryName": path.name,
            "subjectDigest": subject,
            "subjectChange": change,
            "changedBy": changed_by,
            "imageDigests": done,
        }));
    }
    Ok(step)
}
