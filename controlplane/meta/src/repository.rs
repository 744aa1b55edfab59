// SPDX-License-Identifier: Apache-2.0
//! Repositories and their settings.

use std::collections::BTreeMap;

use async_trait::async_trait;
use hythe_access::Trail;
use hythe_catalog::{Catalog, CatalogError};
use hythe_model::{
    AccountId, Encryption, ExclusionFilter, ReplicatedSetting, ReplicationPath, RepositoryName, RepositoryPath,
    RepositoryPrefix, ResourceTagError, ResourceTags, TagMutability, TagMutabilityMode,
};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::cache::{Fact, Known};
use crate::session::{Row, Session, corrupt, values};
use crate::virtual_repository::virtual_owner;
use crate::writer::Durability;
use crate::{PolicyDocument, Store, StoreError, lifecycle, replication, repository_policy};

/// Reads the resource tags of a repository.
pub(crate) fn read_tags(row: &Row, column: usize) -> Result<ResourceTags, StoreError> {
    let tags: BTreeMap<String, String> = serde_json::from_str(&row.text(column)?)?;
    ResourceTags::new(tags).map_err(corrupt)
}

/// The most repositories of one account (ECR, "Service quotas": registered repositories). Creates that run at
/// the same time may overshoot it by their number.
pub const MAX_REPOSITORIES_PER_ACCOUNT: u64 = 100_000;
/// How long a request that created a repository is remembered.
const IDEMPOTENCY_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryRecord {
    /// The account and the name.
    pub path: RepositoryPath,
    /// When it was created.
    pub created_at: Timestamp,
    /// Whether its image tags may move.
    pub tag_mutability: TagMutability,
    /// Whether images are scanned when they are pushed.
    pub scan_on_push: bool,
    /// Whether an index may be pushed before its children, or without some of them.
    pub allow_sparse_indexes: bool,
    /// How its images are encrypted.
    pub encryption: Encryption,
    /// Its resource tags.
    pub tags: ResourceTags,
    /// Counts the changes, from 1.
    pub version: i64,
}

/// What makes a repeated request recognisable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// What the client calls the request.
    pub key: String,
    /// A hash of what the client asked for.
    pub request_hash: String,
}

/// The policies of a repository to create.
#[derive(Clone, Debug, Default)]
pub struct NewPolicies {
    /// Its policy, and as of when: see [`PolicyDocument::updated_at`].
    pub repository: Option<(String, Timestamp)>,
    /// Its lifecycle policy, and when it is first evaluated.
    pub lifecycle: Option<(String, Timestamp)>,
}

/// A repository to create.
#[derive(Clone, Debug)]
pub struct NewRepository {
    /// The account and the name.
    pub path: RepositoryPath,
    /// Whether its image tags may move.
    pub tag_mutability: TagMutability,
    /// Whether images are scanned when they are pushed.
    pub scan_on_push: bool,
    /// Whether an index may be pushed before its children, or without some of them.
    pub allow_sparse_indexes: bool,
    /// How its images are encrypted.
    pub encryption: Encryption,
    /// Its resource tags.
    pub tags: ResourceTags,
    /// When it is created.
    pub created_at: Timestamp,
    /// Set if the client may repeat the request.
    pub idempotency: Option<Idempotency>,
    /// The policies that it has from the start.
    pub policies: NewPolicies,
}

/// Why a repository was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateRepositoryError {
    /// The account has a repository of this name.
    #[error("the repository exists already")]
    AlreadyExists,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    IdempotencyMismatch,
    /// The name belongs to this virtual repository.
    #[error("the name belongs to the virtual repository `{0}`")]
    Virtual(RepositoryPrefix),
    /// The account has as many repositories as one may have.
    #[error("an account may have at most {0} repositories")]
    LimitExceeded(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A change of the resource tags.
#[derive(Clone, Debug)]
pub enum TagChange {
    /// These instead of all.
    Replace(ResourceTags),
    /// These laid over those there are.
    Merge(ResourceTags),
    /// Without these keys.
    Remove(Vec<String>),
}

/// What to change; `None` leaves a setting as it is.
#[derive(Clone, Debug, Default)]
pub struct RepositoryChange {
    /// Whether image tags may move.
    pub tag_mutability: Option<TagMutability>,
    /// Whether images are scanned when they are pushed.
    pub scan_on_push: Option<bool>,
    /// Whether an index may be pushed before its children, or without some of them.
    pub allow_sparse_indexes: Option<bool>,
    /// The resource tags.
    pub tags: Option<TagChange>,
}

/// Why a repository was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdateRepositoryError {
    /// There is no such repository.
    #[error("the repository does not exist")]
    Unknown,
    /// Somebody changed the repository since the expected version was read.
    #[error("the repository was changed in the meantime")]
    VersionMismatch,
    /// The resource tags would break a limit.
    #[error(transparent)]
    Tags(#[from] ResourceTagError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a repository holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RepositoryUsage {
    /// Its images.
    pub images: u64,
    /// Its image tags.
    pub tags: u64,
    /// The bytes of its blobs and manifests; a blob that several images share counts once.
    pub bytes: u64,
    /// Its images that were deleted and can still be restored.
    pub deleted_images: u64,
}

/// A row: the record, and the key that other tables refer to.
pub(crate) struct Found {
    pub(crate) id: String,
    pub(crate) record: RepositoryRecord,
}

impl Found {
    pub(crate) fn read(account: &AccountId, row: &Row) -> Result<Self, StoreError> {
        let record = RepositoryRecord {
            path: RepositoryPath {
                account: account.clone(),
                name: row.parsed(1)?,
            },
            created_at: row.time(2)?,
            tag_mutability: read_mutability(row, 3)?,
            scan_on_push: row.bool(5)?,
            encryption: Encryption {
                kind: row.parsed(6)?,
                kms_key: row.optional_text(7)?,
            },
            tags: read_tags(row, 8)?,
            version: row.int(9)?,
            allow_sparse_indexes: row.bool(10)?,
        };
        Ok(Self {
            id: row.text(0)?,
            record,
        })
    }
}

/// The setting in `column` and the next.
pub(crate) fn read_mutability(row: &Row, column: usize) -> Result<TagMutability, StoreError> {
    let mode: TagMutabilityMode = row.parsed(column)?;
    let filters: Vec<ExclusionFilter> = serde_json::from_str(&row.text(column + 1)?)?;
    TagMutability::new(mode, filters).map_err(corrupt)
}

pub(crate) fn filters_json(mutability: &TagMutability) -> Result<String, StoreError> {
    Ok(serde_json::to_string(&mutability.filters().collect::<Vec<_>>())?)
}

const SELECT_ID: &str = "SELECT id FROM repository WHERE account_id = $1 AND name = $2";
/// The key of a repository, if it exists.
pub(crate) async fn find_id(session: &mut Session, path: &RepositoryPath) -> Result<Option<String>, StoreError> {
    let row = session
        .fetch_optional(SELECT_ID, values![&path.account, &path.name])
        .await?;
    row.map(|row| row.text(0)).transpose()
}

const SELECT: &str = "
    SELECT id, name, created_ms, tag_mutability, tag_mutability_filters, scan_on_push, encryption_type, kms_key, tags, version,
           allow_sparse_indexes
      FROM repository WHERE account_id = $1 AND name = $2";
/// The row of a repository, if it exists.
pub(crate) async fn find(session: &mut Session, path: &RepositoryPath) -> Result<Option<Found>, StoreError> {
    let row = session
        .fetch_optional(SELECT, values![&path.account, &path.name])
        .await?;
    row.map(|row| Found::read(&path.account, &row)).transpose()
}

/// Counts no further than the limit.
const COUNT_IN_ACCOUNT: &str = "
    SELECT COUNT(*) FROM (SELECT 1 AS one FROM repository WHERE account_id = $1 LIMIT $2) AS counted";
const INSERT: &str = "
    INSERT INTO repository (id, account_id, name, created_ms, tag_mutability, tag_mutability_filters, scan_on_push,
                            encryption_type, kms_key, tags, allow_sparse_indexes, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1)
    ON CONFLICT (account_id, name) DO NOTHING
 RETURNING version";
pub(crate) const LIST: &str = "
    SELECT id, name, created_ms, tag_mutability, tag_mutability_filters, scan_on_push, encryption_type, kms_key, tags, version,
           allow_sparse_indexes
      FROM repository WHERE account_id = $1 AND name > $2 AND name >= $3 AND name < $4 ORDER BY name LIMIT $5";
const UPDATE: &str = "
    UPDATE repository SET tag_mutability = $2, tag_mutability_filters = $3, scan_on_push = $4, tags = $5,
           allow_sparse_indexes = $6, version = version + 1
     WHERE id = $1
 RETURNING version";
const USAGE: &str = "
    SELECT (SELECT COUNT(*) FROM image WHERE repository_id = r.id),
           (SELECT COUNT(*) FROM tag WHERE repository_id = r.id),
           CAST((SELECT COALESCE(SUM(b.size), 0) FROM repository_blob l JOIN blob b ON b.digest = l.digest
                  WHERE l.repository_id = r.id)
              + (SELECT COALESCE(SUM(manifest_bytes), 0) FROM image WHERE repository_id = r.id) AS BIGINT),
           (SELECT COUNT(*) FROM deleted_image WHERE repository_id = r.id)
      FROM repository r WHERE r.account_id = $1 AND r.name = $2";

/// Each create that adds a row removes up to this many that are past their time.
const FORGET_REQUESTS: &str = "
    DELETE FROM idempotency WHERE (account_id, key) IN
           (SELECT account_id, key FROM idempotency WHERE created_ms <= $1 ORDER BY created_ms LIMIT 16)";

impl Store {
    /// Creates a repository. A request that is repeated within 24 hours under the same idempotency key gets
    /// the repository that it created, as it is now.
    pub async fn create_repository(&self, new: NewRepository) -> Result<RepositoryRecord, CreateRepositoryError> {
        // Outside of the transaction: in it, every create would be in conflict with every other.
        let values = values![&new.path.account, MAX_REPOSITORIES_PER_ACCOUNT];
        let count = self
            .reader()
            .await?
            .fetch_one(COUNT_IN_ACCOUNT, values)
            .await?
            .size(0)?;
        let remembered_since = new.idempotency.as_ref().map(|_| window_start(new.created_at));
        let record = self
            .write(Durability::Full, (new, count), |session, (new, count)| {
                Box::pin(create(session, new, *count))
            })
            .await?;
        // Bounds the table. The repository is there whether or not this works.
        if let Some(since) = remembered_since
            && let Err(error) = Trail::aside(self.write_one(Durability::Full, FORGET_REQUESTS, values![since])).await
        {
            tracing::debug!(%error, "cannot forget old idempotency keys");
        }
        Ok(record)
    }

    /// The repository.
    pub async fn repository(&self, path: &RepositoryPath) -> Result<Option<RepositoryRecord>, StoreError> {
        Ok(find(&mut self.reader().await?, path).await?.map(|found| found.record))
    }

    /// The repositories of an account whose names start with `prefix` and come after `after`, by the bytes of
    /// their names, at most `limit` of them.
    pub async fn repositories(
        &self,
        account: &AccountId,
        prefix: Option<&str>,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryRecord>, StoreError> {
        let after = after.map_or("", RepositoryName::as_str);
        let from = prefix.unwrap_or_default();
        // No name has a character above this one, so that all that start with the prefix are below it.
        let to = format!("{from}\u{10ffff}");
        let rows = self
            .reader()
            .await?
            .fetch_all(LIST, values![account, after, from, to, limit])
            .await?;
        rows.iter()
            .map(|row| Found::read(account, row).map(|found| found.record))
            .collect()
    }

    /// Changes a repository, if its version is the expected one.
    pub async fn update_repository(
        &self,
        path: &RepositoryPath,
        change: RepositoryChange,
        expected_version: Option<i64>,
        now: Timestamp,
    ) -> Result<RepositoryRecord, UpdateRepositoryError> {
        let updated = self
            .write(
                Durability::Full,
                (path.clone(), change, expected_version, Trail::replica(), now),
                |session, (path, change, expected_version, replica, now)| {
                    Box::pin(update(
                        session,
                        path,
                        change,
                        *expected_version,
                        (replica.as_ref(), *now),
                    ))
                },
            )
            .await?;
        self.nudge_replication();
        Ok(updated)
    }

    /// What a repository holds; `None` if there is none.
    pub async fn repository_usage(&self, path: &RepositoryPath) -> Result<Option<RepositoryUsage>, StoreError> {
        let row = self
            .reader()
            .await?
            .fetch_optional(USAGE, values![&path.account, &path.name])
            .await?;
        let read = |row: Row| {
            Ok(RepositoryUsage {
                images: row.size(0)?,
                tags: row.size(1)?,
                bytes: row.size(2)?,
                deleted_images: row.size(3)?,
            })
        };
        row.map(read).transpose()
    }
}

fn window_start(now: Timestamp) -> Timestamp {
    now.checked_sub(IDEMPOTENCY_WINDOW).unwrap_or(Timestamp::MIN)
}

async fn create(
    session: &mut Session,
    new: &NewRepository,
    count: u64,
) -> Result<RepositoryRecord, CreateRepositoryError> {
    if let Some(idempotency) = &new.idempotency
        && let Some(record) = earlier(session, new, idempotency).await?
    {
        return Ok(record);
    }
    let id = Uuid::now_v7().to_string();
    let filters = filters_json(&new.tag_mutability)?;
    let tags = serde_json::to_string(new.tags.as_map()).map_err(StoreError::from)?;
    let values = values![
        &id,
        &new.path.account,
        &new.path.name,
        new.created_at,
        new.tag_mutability.mode().as_str(),
        filters,
        new.scan_on_push,
        new.encryption.kind.as_str(),
        new.encryption.kms_key.as_deref(),
        tags,
        new.allow_sparse_indexes
    ];
    let Some(row) = session.fetch_optional(INSERT, values).await? else {
        return Err(CreateRepositoryError::AlreadyExists);
    };
    if count >= MAX_REPOSITORIES_PER_ACCOUNT {
        return Err(CreateRepositoryError::LimitExceeded(MAX_REPOSITORIES_PER_ACCOUNT));
    }
    if let Some(owner) = virtual_owner(session, &new.path).await? {
        return Err(CreateRepositoryError::Virtual(owner));
    }
    if let Some(idempotency) = &new.idempotency {
        remember(session, new, idempotency, &id).await?;
    }
    if let Some((text, as_of)) = &new.policies.repository {
        repository_policy::put(session, &id, &PolicyDocument::new(text, *as_of)).await?;
    }
    if let Some((text, due)) = &new.policies.lifecycle {
        lifecycle::put(session, &id, &PolicyDocument::new(text, new.created_at), *due).await?;
    }
    Ok(RepositoryRecord {
        path: new.path.clone(),
        // As a row gives it back.
        created_at: hythe_model::in_millis(new.created_at),
        tag_mutability: new.tag_mutability.clone(),
        scan_on_push: new.scan_on_push,
        allow_sparse_indexes: new.allow_sparse_indexes,
        encryption: new.encryption.clone(),
        tags: new.tags.clone(),
        version: row.int(0)?,
    })
}

const EARLIER_REQUEST: &str = "
    SELECT request_hash, repository_id FROM idempotency WHERE account_id = $1 AND key = $2 AND created_ms > $3";
const SELECT_BY_ID: &str = "
    SELECT id, name, created_ms, tag_mutability, tag_mutability_filters, scan_on_push, encryption_type, kms_key, tags, version,
           allow_sparse_indexes
      FROM repository WHERE id = $1";
/// What an earlier request under the same key created, if it is still there.
async fn earlier(
    session: &mut Session,
    new: &NewRepository,
    idempotency: &Idempotency,
) -> Result<Option<RepositoryRecord>, CreateRepositoryError> {
    let values = values![&new.path.account, &idempotency.key, window_start(new.created_at)];
    let Some(row) = session.fetch_optional(EARLIER_REQUEST, values).await? else {
        return Ok(None);
    };
    if row.text(0)? != idempotency.request_hash {
        return Err(CreateRepositoryError::IdempotencyMismatch);
    }
    let row = session.fetch_optional(SELECT_BY_ID, values![row.text(1)?]).await?;
    Ok(row
        .map(|row| Found::read(&new.path.account, &row))
        .transpose()?
        .map(|found| found.record))
}

const REMEMBER_REQUEST: &str = "
    INSERT INTO idempotency (account_id, key, request_hash, repository_id, created_ms) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (account_id, key) DO UPDATE
       SET request_hash = excluded.request_hash, repository_id = excluded.repository_id, created_ms = excluded.created_ms";
async fn remember(
    session: &mut Session,
    new: &NewRepository,
    Idempotency { key, request_hash }: &Idempotency,
    id: &str,
) -> Result<(), StoreError> {
    let values = values![&new.path.account, key, request_hash, id, new.created_at];
    session.execute(REMEMBER_REQUEST, values).await.map(drop)
}

async fn update(
    session: &mut Session,
    path: &RepositoryPath,
    change: &RepositoryChange,
    expected_version: Option<i64>,
    (replica, now): (Option<&ReplicationPath>, Timestamp),
) -> Result<RepositoryRecord, UpdateRepositoryError> {
    let Some(Found { id, mut record }) = find(session, path).await? else {
        return Err(UpdateRepositoryError::Unknown);
    };
    if expected_version.is_some_and(|expected| expected != record.version) {
        return Err(UpdateRepositoryError::VersionMismatch);
    }
    let before = record.clone();
    if let Some(mutability) = &change.tag_mutability {
        record.tag_mutability = mutability.clone();
    }
    if let Some(scan_on_push) = change.scan_on_push {
        record.scan_on_push = scan_on_push;
    }
    if let Some(allow_sparse_indexes) = change.allow_sparse_indexes {
        record.allow_sparse_indexes = allow_sparse_indexes;
    }
    match &change.tags {
        Some(TagChange::Replace(tags)) => record.tags = tags.clone(),
        Some(TagChange::Merge(tags)) => record.tags = record.tags.merged(tags)?,
        Some(TagChange::Remove(keys)) => record.tags = record.tags.without(keys),
        None => {}
    }
    let changed = changed_settings(&before, &record);
    let mode = record.tag_mutability.mode().as_str();
    let filters = filters_json(&record.tag_mutability)?;
    let tags = serde_json::to_string(record.tags.as_map()).map_err(StoreError::from)?;
    let (scan_on_push, allow_sparse_indexes) = (record.scan_on_push, record.allow_sparse_indexes);
    let values = values![&id, mode, filters, scan_on_push, tags, allow_sparse_indexes];
    let row = session.fetch_one(UPDATE, values).await?;
    record.version = row.int(0)?;
    replication::enqueue_settings(session, &id, path, &changed, replica, now).await?;
    Ok(record)
}

fn changed_settings(before: &RepositoryRecord, after: &RepositoryRecord) -> Vec<ReplicatedSetting> {
    let settings = |record: &RepositoryRecord| {
        let mutability = record.tag_mutability.clone();
        (mutability, record.scan_on_push, record.allow_sparse_indexes)
    };
    let mut changed = Vec::new();
    if settings(before) != settings(after) {
        changed.push(ReplicatedSetting::RepositorySettings);
    }
    if before.tags != after.tags {
        changed.push(ReplicatedSetting::ResourceTags);
    }
    changed
}

const EXISTS: &str = "SELECT version FROM repository WHERE account_id = $1 AND name = $2";
pub(crate) const LIST_NAMES: &str =
    "SELECT name FROM repository WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3";

#[async_trait]
impl Catalog for Store {
    async fn repository_exists(&self, repository: &RepositoryPath) -> Result<bool, CatalogError> {
        let cached = self.cache().map(|cache| (cache, cache.get(repository, Fact::Exists)));
        if let Some((_, Ok(_))) = cached {
            return Ok(true);
        }
        let values = values![&repository.account, &repository.name];
        let exists = !self.point(EXISTS, values).await?.is_empty();
        if let (Some((cache, Err(ticket))), true) = (cached, exists) {
            cache.put(ticket, repository, Fact::Exists, Known::Exists);
        }
        Ok(exists)
    }

    async fn repository_names(
        &self,
        account: &AccountId,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, CatalogError> {
        let after = after.map_or("", RepositoryName::as_str);
        let rows = self.page_rows(LIST_NAMES, values![account, after, limit]).await?;
        Ok(rows
            .iter()
            .map(|row| row.parsed(0))
            .collect::<Result<_, StoreError>>()?)
    }
}
