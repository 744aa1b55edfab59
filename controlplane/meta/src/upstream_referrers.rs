// SPDX-License-Identifier: Apache-2.0
//! What is known of the referrers of images in the registries that repositories come from.

use hythe_model::{Descriptor, Digest, RepositoryPath, Tag};
use jiff::Timestamp;

use crate::repository::find_id;
use crate::session::values;
use crate::writer::Durability;
use crate::{Store, StoreError};

/// Of how many subjects of a repository it is kept what refers to them upstream; the oldest one goes for a new one.
pub const MAX_UPSTREAM_SUBJECTS: usize = 10_000;

/// What referred to an image upstream when it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamReferrersRecord {
    /// The referrers, each digest once.
    pub referrers: Vec<Descriptor>,
    /// When that was; the beginning of time if it must be asked again.
    pub validated_at: Timestamp,
}

const SELECT: &str = "
    SELECT u.content, u.validated_ms
      FROM repository r JOIN upstream_referrers u ON u.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2 AND u.subject = $3";
const IS_KNOWN: &str = "
    SELECT EXISTS (SELECT 1 FROM upstream_referrers WHERE repository_id = $1 AND subject = $2),
           EXISTS (SELECT 1 FROM image WHERE repository_id = $1 AND digest = $2)
           OR EXISTS (SELECT 1 FROM upstream_manifest WHERE repository_id = $1 AND digest = $2)";
const COUNT: &str =
    "SELECT COUNT(*) FROM (SELECT 1 FROM upstream_referrers WHERE repository_id = $1 LIMIT $2) AS known";
const DELETE_OLDEST: &str = "
    DELETE FROM upstream_referrers
     WHERE repository_id = $1
       AND subject = (SELECT subject FROM upstream_referrers WHERE repository_id = $1 ORDER BY expires_ms, subject LIMIT 1)";
const PUT: &str = "
    INSERT INTO upstream_referrers (repository_id, subject, content, validated_ms, expires_ms) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (repository_id, subject) DO UPDATE
       SET content = excluded.content, validated_ms = excluded.validated_ms, expires_ms = excluded.expires_ms";
const FORGET_OF_TAG: &str = "
    UPDATE upstream_referrers SET validated_ms = 0
     WHERE (repository_id, subject) IN (
           SELECT t.repository_id, t.digest FROM repository r JOIN upstream_tag t ON t.repository_id = r.id
            WHERE r.account_id = $1 AND r.name = $2 AND t.tag = $3)
 RETURNING subject";
const FORGET_ALL: &str = "
    UPDATE upstream_referrers SET validated_ms = 0
     WHERE repository_id IN (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING subject";
pub(crate) const EXPIRE: &str = "
    DELETE FROM upstream_referrers
     WHERE (repository_id, subject) IN (
           SELECT repository_id, subject FROM upstream_referrers
            WHERE expires_ms <= $1 ORDER BY expires_ms, repository_id, subject LIMIT $2)
 RETURNING subject";

impl Store {
    /// What is known of the referrers of `subject` upstream. What cannot be read counts as not known: it is asked again.
    pub async fn upstream_referrers(
        &self,
        path: &RepositoryPath,
        subject: &Digest,
    ) -> Result<Option<UpstreamReferrersRecord>, StoreError> {
        let values = values![&path.account, &path.name, subject];
        let rows = self.point(SELECT, values).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let referrers: Vec<Descriptor> = match serde_json::from_str(&row.text(0)?) {
            Ok(referrers) => referrers,
            Err(error) => {
                tracing::warn!(repository.name = %path.name, manifest.digest = %subject, error = %error,
                    "referrers of an upstream cannot be read, and are asked for again");
                return Ok(None);
            }
        };
        Ok(Some(UpstreamReferrersRecord {
            referrers,
            validated_at: row.time(1)?,
        }))
    }

    /// Records what refers to `subject` upstream, until `expires_at`. That nothing does is recorded of subjects only that are
    /// here, so that nobody fills the table with names. False if nothing was recorded.
    pub async fn keep_upstream_referrers(
        &self,
        path: &RepositoryPath,
        subject: &Digest,
        referrers: &[Descriptor],
        now: Timestamp,
        expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let content = serde_json::to_string(referrers)?;
        let input = (path.clone(), *subject, content, referrers.is_empty(), (now, expires_at));
        self.write_committed(
            Durability::Relaxed,
            input,
            |session, (path, subject, content, is_empty, (now, expires_at))| {
                Box::pin(async move {
                    let Some(id) = find_id(session, path).await? else {
                        return Ok(false);
                    };
                    let known = session.fetch_one(IS_KNOWN, values![&id, subject]).await?;
                    if !known.bool(0)? {
                        if *is_empty && !known.bool(1)? {
                            return Ok(false);
                        }
                        let count = session.fetch_one(COUNT, values![&id, MAX_UPSTREAM_SUBJECTS]).await?;
                        if count.size(0)? >= MAX_UPSTREAM_SUBJECTS as u64 {
                            session.execute(DELETE_OLDEST, values![&id]).await?;
                        }
                    }
                    let values = values![&id, subject, content.as_str(), *now, *expires_at];
                    session.execute(PUT, values).await?;
                    Ok(true)
                })
            },
        )
        .await
    }

    /// Lets the referrers of what a tag pointed to upstream, or those of all images of a repository, be asked for again.
    pub async fn forget_upstream_referrers(&self, path: &RepositoryPath, tag: Option<&Tag>) -> Result<u64, StoreError> {
        let (account, name) = (&path.account, &path.name);
        let rows = if let Some(tag) = tag {
            self.write_one(Durability::Full, FORGET_OF_TAG, values![account, name, tag])
                .await?
        } else {
            self.write_one(Durability::Full, FORGET_ALL, values![account, name])
                .await?
        };
        Ok(rows.len() as u64)
    }

    /// Forgets what is known of the referrers of at most `limit` subjects that nobody asked about until `now`; says of how
    /// many. May run on any number of nodes.
    pub async fn expire_upstream_referrers(&self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        let rows = self.write_one(Durability::Relaxed, EXPIRE, values![now, limit]).await?;
        Ok(rows.len())
    }
}
