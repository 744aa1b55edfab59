// SPDX-License-Identifier: Apache-2.0
//! What is known of the registries that repositories come from: tags, manifests that are not images yet, and who fetches
//! which blob.

use hythe_catalog::ImageRecord;
use hythe_model::{AccountId, Digest, MediaType, RepositoryName, RepositoryPath, Tag, UPSTREAM_IMPORTER};
use jiff::Timestamp;

use crate::repository::find_id;
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// What a tag pointed to upstream when it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamTagRecord {
    /// What it pointed to.
    pub digest: Digest,
    /// When that was; the beginning of time if it must be asked again.
    pub validated_at: Timestamp,
    /// The manifest, if it is not an image yet.
    pub manifest: Option<ImageRecord>,
}

/// What a claim to fetch a blob came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchClaim {
    /// The claim holds.
    Made,
    /// Another owner fetches the blob.
    Elsewhere,
    /// There is no such repository, and nobody fetches anything for it.
    RepositoryUnknown,
}

/// A manifest to be made an image of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamImport {
    /// The repository.
    pub repository: RepositoryPath,
    /// The manifest.
    pub manifest: ImageRecord,
    /// The failed attempts before this one.
    pub attempts: u64,
    /// Until when nobody else is given it, in whole milliseconds. It also says whether the manifest was queued anew since: it
    /// is another time then.
    pub leased_until: Timestamp,
}

const SELECT_TAG: &str = "
    SELECT t.digest, t.validated_ms, m.media_type, m.content
      FROM repository r
      JOIN upstream_tag t ON t.repository_id = r.id
      LEFT JOIN upstream_manifest m ON m.repository_id = t.repository_id AND m.digest = t.digest
     WHERE r.account_id = $1 AND r.name = $2 AND t.tag = $3";
const SELECT_MANIFEST: &str = "
    SELECT m.media_type, m.content
      FROM repository r JOIN upstream_manifest m ON m.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2 AND m.digest = $3";
/// Without those that are there already, and those that somebody has set or deleted here since the upstream was asked. What an
/// import set before is no such move, though a clock that has gone back since may make it look later than the question.
const TAGS_OF: &str = "
    SELECT t.tag FROM repository r JOIN upstream_tag t ON t.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2 AND t.digest = $3
       AND NOT EXISTS (SELECT 1 FROM tag x
                        WHERE x.repository_id = t.repository_id AND x.name = t.tag AND x.digest = t.digest)
       AND NOT EXISTS (SELECT 1 FROM tag_move m
                        WHERE m.repository_id = t.repository_id AND m.name = t.tag AND m.moved_ms > t.validated_ms
                          AND (m.moved_by <> $5 OR m.to_digest IS NULL))
     ORDER BY t.tag LIMIT $4";
const PUT_TAG: &str = "
    INSERT INTO upstream_tag (repository_id, tag, digest, validated_ms) VALUES ($1, $2, $3, $4)
    ON CONFLICT (repository_id, tag) DO UPDATE SET digest = excluded.digest, validated_ms = excluded.validated_ms";
/// A run that waits for the manifest goes on waiting when a client pulls it, and a run that comes counts no earlier failure.
const PUT_MANIFEST: &str = "
    INSERT INTO upstream_manifest (repository_id, digest, media_type, content, due_ms, attempts, mirror_run_id)
    VALUES ($1, $2, $3, $4, $5, 0, $6)
    ON CONFLICT (repository_id, digest) DO UPDATE
       SET due_ms = excluded.due_ms, attempts = 0,
           error = CASE WHEN excluded.mirror_run_id IS NULL THEN upstream_manifest.error END,
           mirror_run_id = COALESCE(excluded.mirror_run_id, upstream_manifest.mirror_run_id)";
const FORGET_TAG: &str = "
    UPDATE upstream_tag SET validated_ms = 0
     WHERE tag = $3 AND repository_id IN (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING tag";
const FORGET_TAGS: &str = "
    UPDATE upstream_tag SET validated_ms = 0
     WHERE repository_id IN (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING tag";
const DUE: &str = "
    SELECT r.account_id, r.name, m.digest, m.media_type, m.content, m.attempts, m.due_ms
      FROM upstream_manifest m JOIN repository r ON r.id = m.repository_id
     WHERE m.due_ms <= $1 ORDER BY m.due_ms LIMIT 1";
/// Nothing waits for longer than 6 hours, and nothing that has not failed for longer than 10 minutes: the clock was wrong when
/// this was written.
const TOO_LATE: &str = "
    SELECT r.account_id, r.name, m.digest, m.media_type, m.content, m.attempts, m.due_ms
      FROM upstream_manifest m JOIN repository r ON r.id = m.repository_id
     WHERE m.due_ms > $1 + 1200000 AND (m.attempts = 0 OR m.due_ms > $1 + 25200000)
     ORDER BY m.due_ms LIMIT 1";
const WAITING: &str = "
    SELECT r.account_id, r.name, m.digest, m.media_type, m.content, m.attempts, m.due_ms
      FROM upstream_manifest m JOIN repository r ON r.id = m.repository_id
     WHERE r.account_id = $1 AND r.name = $2 AND m.digest = $3";
const LEASE: &str = "
    UPDATE upstream_manifest SET due_ms = $5
     WHERE digest = $3 AND due_ms = $4
       AND repository_id IN (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING digest";
const IS_PENDING: &str = "
    SELECT 1 FROM repository r JOIN upstream_manifest m ON m.repository_id = r.id
     WHERE r.account_id = $1 AND r.name = $2 LIMIT 1";
const END: &str = "
    DELETE FROM upstream_manifest
     WHERE digest = $3 AND due_ms = $4 AND repository_id IN (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING digest";
const PUT_OFF: &str = "
    UPDATE upstream_manifest SET due_ms = $5, attempts = $6, error = $7
     WHERE digest = $3 AND due_ms = $4 AND repository_id IN (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING digest";
const COUNT: &str = "SELECT COUNT(*) FROM (SELECT 1 FROM upstream_manifest LIMIT $1) AS found";
/// A lease that ends too late to be one was made while the clock was wrong.
const CLAIM_FETCH: &str = "
    INSERT INTO upstream_fetch (repository_id, digest, owner, lease_ms)
    SELECT id, $3, $4, $6 FROM repository WHERE account_id = $1 AND name = $2
    ON CONFLICT (repository_id, digest) DO UPDATE SET owner = excluded.owner, lease_ms = excluded.lease_ms
     WHERE upstream_fetch.lease_ms <= $5 OR upstream_fetch.lease_ms > $5 + 3600000
        OR upstream_fetch.owner = excluded.owner
 RETURNING digest";
const END_FETCH: &str = "
    DELETE FROM upstream_fetch
     WHERE digest = $3 AND owner = $4
       AND repository_id IN (SELECT id FROM repository WHERE account_id = $1 AND name = $2)
 RETURNING digest";
const END_ALL_FETCHES: &str = "DELETE FROM upstream_fetch WHERE lease_ms > 0 RETURNING digest";

const ALL_DUE: &str = "UPDATE upstream_manifest SET due_ms = 0 WHERE due_ms > 0 RETURNING digest";

/// The most tags that are put at one image when it is imported.
const MAX_TAGS: usize = 100;

impl Store {
    /// What is known of a tag.
    pub async fn upstream_tag(
        &self,
        path: &RepositoryPath,
        tag: &Tag,
    ) -> Result<Option<UpstreamTagRecord>, StoreError> {
        let rows = self.point(SELECT_TAG, values![&path.account, &path.name, tag]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let digest: Digest = row.parsed(0)?;
        let manifest = match row.optional_text(2)? {
            Some(_) => Some(ImageRecord {
                digest,
                media_type: row.parsed(2)?,
                bytes: row.bytes(3)?,
            }),
            None => None,
        };
        Ok(Some(UpstreamTagRecord {
            digest,
            validated_at: row.time(1)?,
            manifest,
        }))
    }

    /// A manifest that is not an image yet.
    pub async fn upstream_manifest(
        &self,
        path: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<ImageRecord>, StoreError> {
        let rows = self
            .point(SELECT_MANIFEST, values![&path.account, &path.name, digest])
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(Some(ImageRecord {
            digest: *digest,
            media_type: row.parsed(0)?,
            bytes: row.bytes(1)?,
        }))
    }

    /// Records what a tag points to upstream, and a manifest that came from there, to be made an image of from `due` on.
    /// False if the repository does not exist.
    pub async fn keep_upstream(
        &self,
        path: &RepositoryPath,
        tag: Option<(Tag, Digest)>,
        manifest: Option<ImageRecord>,
        now: Timestamp,
        due: Timestamp,
    ) -> Result<bool, StoreError> {
        let input = (path.clone(), tag, manifest, now, due);
        self.write_committed(Durability::Full, input, |session, (path, tag, manifest, now, due)| {
            Box::pin(async move {
                let Some(id) = find_id(session, path).await? else {
                    return Ok(false);
                };
                if let Some((tag, digest)) = tag {
                    put_tag(session, &id, tag, digest, *now).await?;
                }
                if let Some(manifest) = manifest {
                    put_manifest(session, &id, manifest, None, *due).await?;
                }
                Ok(true)
            })
        })
        .await
    }

    /// Lets a tag, or all of a repository, be asked for upstream at the next pull; says how many that are.
    pub async fn forget_upstream_tags(&self, path: &RepositoryPath, tag: Option<&Tag>) -> Result<u64, StoreError> {
        let (account, name) = (&path.account, &path.name);
        let rows = if let Some(tag) = tag {
            self.write_one(Durability::Full, FORGET_TAG, values![account, name, tag])
                .await?
        } else {
            self.write_one(Durability::Full, FORGET_TAGS, values![account, name])
                .await?
        };
        Ok(rows.len() as u64)
    }

    /// The tags that pointed to an image upstream when they were last asked, and are not to be left where they are here: at
    /// most 100 of them.
    pub async fn upstream_tags_of(&self, path: &RepositoryPath, digest: &Digest) -> Result<Vec<Tag>, StoreError> {
        let values = values![&path.account, &path.name, digest, MAX_TAGS, UPSTREAM_IMPORTER];
        let rows = self.point(TAGS_OF, values).await?;
        rows.iter().map(|row| row.parsed(0)).collect()
    }

    /// A manifest that is due to be made an image of, which nobody else is given until `lease_until`.
    pub async fn claim_upstream_import(
        &self,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<Option<UpstreamImport>, StoreError> {
        let mut rows = self.point(DUE, values![now]).await?;
        if rows.is_empty() {
            rows = self.point(TOO_LATE, values![now]).await?;
        }
        let Some(row) = rows.first() else { return Ok(None) };
        let found = import(row)?;
        let (path, digest) = (&found.repository, &found.manifest.digest);
        let values = values![&path.account, &path.name, digest, found.leased_until, lease_until];
        let leased = self.write_one(Durability::Full, LEASE, values).await?;
        Ok((!leased.is_empty()).then_some(UpstreamImport {
            leased_until: lease_until,
            ..found
        }))
    }

    /// A manifest that waits to be made an image of, whether it is due or somebody has it.
    pub async fn waiting_upstream_import(
        &self,
        path: &RepositoryPath,
        digest: &Digest,
    ) -> Result<Option<UpstreamImport>, StoreError> {
        let rows = self.point(WAITING, values![&path.account, &path.name, digest]).await?;
        rows.first().map(import).transpose()
    }

    /// Forgets a manifest that is an image now, or that cannot become one. It stays, and is due as it was queued, if it was queued
    /// anew since it was claimed: there may be a tag that whoever claimed it has not seen.
    pub async fn end_upstream_import(&self, import: &UpstreamImport) -> Result<(), StoreError> {
        let (path, digest) = (&import.repository, &import.manifest.digest);
        let values = values![&path.account, &path.name, digest, import.leased_until];
        self.write_one(Durability::Full, END, values).await.map(drop)
    }

    /// Gives a manifest back, to be tried again at `again_at` after `import.attempts`, or keeps it until then. False, and nothing
    /// changes, if it was queued anew since it was claimed.
    pub async fn put_off_upstream_import(
        &self,
        import: &UpstreamImport,
        again_at: Timestamp,
        error: Option<&str>,
    ) -> Result<bool, StoreError> {
        let (path, digest) = (&import.repository, &import.manifest.digest);
        let (leased_until, attempts) = (import.leased_until, import.attempts);
        let values = values![
            &path.account,
            &path.name,
            digest,
            leased_until,
            again_at,
            attempts,
            error
        ];
        let rows = self.write_one(Durability::Full, PUT_OFF, values).await?;
        Ok(!rows.is_empty())
    }

    /// Whether a repository has manifests that are not images yet.
    pub async fn has_upstream_imports(&self, path: &RepositoryPath) -> Result<bool, StoreError> {
        let rows = self.point(IS_PENDING, values![&path.account, &path.name]).await?;
        Ok(!rows.is_empty())
    }

    /// How many manifests wait, up to `limit`.
    pub async fn upstream_imports(&self, limit: usize) -> Result<u64, StoreError> {
        self.reader().await?.fetch_one(COUNT, values![limit]).await?.size(0)
    }

    /// Makes it `owner`'s until `lease_until` to fetch a blob, unless it is somebody else's.
    pub async fn claim_upstream_fetch(
        &self,
        path: &RepositoryPath,
        digest: &Digest,
        owner: &str,
        now: Timestamp,
        lease_until: Timestamp,
    ) -> Result<FetchClaim, StoreError> {
        let values = values![&path.account, &path.name, digest, owner, now, lease_until];
        let rows = self.write_one(Durability::Relaxed, CLAIM_FETCH, values).await?;
        if !rows.is_empty() {
            return Ok(FetchClaim::Made);
        }
        // A repository that is made between the two is claimed for at the next attempt.
        Ok(match self.repository(path).await? {
            Some(_) => FetchClaim::Elsewhere,
            None => FetchClaim::RepositoryUnknown,
        })
    }

    /// Ends the claim of `owner`.
    pub async fn end_upstream_fetch(
        &self,
        path: &RepositoryPath,
        digest: &Digest,
        owner: &str,
    ) -> Result<(), StoreError> {
        let values = values![&path.account, &path.name, digest, owner];
        self.write_one(Durability::Relaxed, END_FETCH, values).await.map(drop)
    }

    /// Ends all claims, if this process is the only one: those who made them are gone. What waits is tried at once.
    pub async fn release_upstream_claims(&self) -> Result<(), StoreError> {
        if self.cache().is_none() {
            return Ok(());
        }
        self.write_one(Durability::Full, ALL_DUE, values![]).await?;
        self.write_one(Durability::Full, END_ALL_FETCHES, values![])
            .await
            .map(drop)
    }
}

fn import(row: &Row) -> Result<UpstreamImport, StoreError> {
    Ok(UpstreamImport {
        repository: RepositoryPath {
            account: row.parsed::<AccountId>(0)?,
            name: row.parsed::<RepositoryName>(1)?,
        },
        manifest: ImageRecord {
            digest: row.parsed(2)?,
            media_type: row.parsed::<MediaType>(3)?,
            bytes: row.bytes(4)?,
        },
        attempts: row.size(5)?,
        leased_until: row.time(6)?,
    })
}

pub(crate) async fn put_tag(
    session: &mut Session,
    repository_id: &str,
    tag: &Tag,
    digest: &Digest,
    now: Timestamp,
) -> Result<(), StoreError> {
    session
        .execute(PUT_TAG, values![repository_id, tag, digest, now])
        .await?;
    Ok(())
}

/// Keeps a manifest to be made an image of: one that a client has pulled, or one that a run of a mirror waits for.
pub(crate) async fn put_manifest(
    session: &mut Session,
    repository_id: &str,
    manifest: &ImageRecord,
    run_id: Option<&str>,
    due: Timestamp,
) -> Result<(), StoreError> {
    let values = values![
        repository_id,
        &manifest.digest,
        &manifest.media_type,
        &*manifest.bytes,
        due,
        run_id
    ];
    session.execute(PUT_MANIFEST, values).await.map(drop)
}
