// SPDX-License-Identifier: Apache-2.0
//! Virtual repositories: names that are read through other repositories.
//!
//! INVARIANT: no repository has a name that is a virtual one or below it, no virtual name is below another, and no source
//! is a virtual name or below one. Each transaction that could break this looks for what it would break.

use hythe_model::{AccountId, RepositoryName, RepositoryPath, RepositoryPrefix, VirtualRepository, VirtualSources};
use jiff::Timestamp;

use crate::repository_policy::new_version;
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most virtual repositories of one account. Creates that run at the same time may overshoot it by their number.
pub const MAX_VIRTUAL_REPOSITORIES_PER_ACCOUNT: usize = 100;

/// A virtual repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualRepositoryRecord {
    /// The account whose names it is about.
    pub account: AccountId,
    /// Its name, and where it is read from.
    pub repository: VirtualRepository,
    /// What it is for.
    pub description: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// A random number: no other state of any virtual repository has it.
    pub version: i64,
}

/// What a name would overlap.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameOverlap {
    /// A repository has the name, or one below it.
    #[error("the repository `{0}` has this name, or one below it")]
    Repository(RepositoryName),
    /// A virtual repository has a name above or below it.
    #[error("it would overlap the virtual repository `{0}`")]
    Virtual(RepositoryPrefix),
    /// A source is virtual itself: the source, and the virtual repository that it belongs to.
    #[error("the source `{0}` belongs to the virtual repository `{1}`, and a source must not be virtual")]
    Source(RepositoryPrefix, RepositoryPrefix),
    /// Another virtual repository is read from here: the source, and the virtual repository that it is one of.
    #[error("`{0}` is a source of the virtual repository `{1}`, and a source must not be virtual")]
    SourceOf(RepositoryPrefix, RepositoryPrefix),
}

/// Why a virtual repository was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateVirtualRepositoryError {
    /// The account has one of this name.
    #[error("the virtual repository exists already")]
    AlreadyExists,
    /// The account has as many as it may have.
    #[error("the account has too many virtual repositories")]
    LimitExceeded,
    /// It would overlap something.
    #[error(transparent)]
    Overlap(#[from] NameOverlap),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a virtual repository was not changed or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum ChangeVirtualRepositoryError {
    /// The account has none of this name.
    #[error("the virtual repository does not exist")]
    Unknown,
    /// Somebody changed it since the expected version was read.
    #[error("the virtual repository was changed in the meantime")]
    VersionMismatch,
    /// It would overlap something.
    #[error(transparent)]
    Overlap(#[from] NameOverlap),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl VirtualRepositoryRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let sources: VirtualSources = serde_json::from_str(&row.text(3)?)?;
        Ok(Self {
            account: row.parsed(0)?,
            repository: VirtualRepository {
                name: row.parsed(1)?,
                sources,
            },
            description: row.optional_text(2)?,
            created_at: row.time(4)?,
            updated_at: row.time(5)?,
            version: row.int(6)?,
        })
    }
}

const INSERT: &str = "
    INSERT INTO virtual_repository (account_id, name, description, sources, created_ms, updated_ms, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7)";
const SELECT: &str = "
    SELECT account_id, name, description, sources, created_ms, updated_ms, version
      FROM virtual_repository WHERE account_id = $1 AND name = $2";
const LIST: &str = "
    SELECT account_id, name, description, sources, created_ms, updated_ms, version
      FROM virtual_repository WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3";
const ALL: &str = "
    SELECT account_id, name, description, sources, created_ms, updated_ms, version
      FROM virtual_repository WHERE account_id = $1 ORDER BY name";
const NAMES: &str = "SELECT name FROM virtual_repository WHERE account_id = $1";
const DELETE: &str = "DELETE FROM virtual_repository WHERE account_id = $1 AND name = $2";
const REPOSITORY_OF_NAME: &str = "SELECT name FROM repository WHERE account_id = $1 AND name = $2";
const REPOSITORY_BELOW: &str = "
    SELECT name FROM repository WHERE account_id = $1 AND name > $2 AND name < $3 ORDER BY name LIMIT 1";

impl Store {
    /// Creates a virtual repository.
    pub async fn create_virtual_repository(
        &self,
        new: &VirtualRepositoryRecord,
    ) -> Result<VirtualRepositoryRecord, CreateVirtualRepositoryError> {
        self.write(Durability::Full, new.clone(), |session, new| {
            Box::pin(async move {
                let others = all(session, &new.account).await?;
                if others.iter().any(|other| other.repository.name == new.repository.name) {
                    return Err(CreateVirtualRepositoryError::AlreadyExists);
                }
                if others.len() >= MAX_VIRTUAL_REPOSITORIES_PER_ACCOUNT {
                    return Err(CreateVirtualRepositoryError::LimitExceeded);
                }
                if let Some(overlap) = overlap_of(&new.repository, &others) {
                    return Err(overlap.into());
                }
                if let Some(name) = repository_within(session, &new.account, &new.repository.name).await? {
                    return Err(NameOverlap::Repository(name).into());
                }
                let record = VirtualRepositoryRecord {
                    version: new_version(),
                    ..new.clone()
                };
                insert(session, &record).await?;
                Ok(record)
            })
        })
        .await
    }

    /// The virtual repository of this name.
    pub async fn virtual_repository(
        &self,
        account: &AccountId,
        name: &RepositoryPrefix,
    ) -> Result<Option<VirtualRepositoryRecord>, StoreError> {
        find(&mut self.reader().await?, account, name).await
    }

    /// The virtual repositories of an account after `after`, by name, at most `limit` of them.
    pub async fn virtual_repositories(
        &self,
        account: &AccountId,
        after: Option<&RepositoryPrefix>,
        limit: usize,
    ) -> Result<Vec<VirtualRepositoryRecord>, StoreError> {
        let after = after.map_or("", RepositoryPrefix::as_str);
        let mut session = self.reader().await?;
        let rows = session.fetch_all(LIST, values![account, after, limit]).await?;
        rows.iter().map(VirtualRepositoryRecord::read).collect()
    }

    /// Replaces sources and description of a virtual repository, if its version is the expected one.
    pub async fn update_virtual_repository(
        &self,
        account: &AccountId,
        changed: VirtualRepository,
        description: Option<String>,
        updated_at: Timestamp,
        expected_version: i64,
    ) -> Result<VirtualRepositoryRecord, ChangeVirtualRepositoryError> {
        let input = (account.clone(), changed, description, updated_at, expected_version);
        self.write(
            Durability::Full,
            input,
            |session, (account, changed, description, updated_at, expected_version)| {
                Box::pin(async move {
                    let found = expected(session, account, &changed.name, Some(*expected_version)).await?;
                    if let Some(overlap) = overlap_of(changed, &all(session, account).await?) {
                        return Err(overlap.into());
                    }
                    let record = VirtualRepositoryRecord {
                        repository: changed.clone(),
                        description: description.clone(),
                        updated_at: *updated_at,
                        version: new_version(),
                        ..found
                    };
                    session.execute(DELETE, values![account, changed.name.as_str()]).await?;
                    insert(session, &record).await?;
                    Ok(record)
                })
            },
        )
        .await
    }

    /// Deletes a virtual repository, if it is of the expected version; returns what was deleted.
    pub async fn delete_virtual_repository(
        &self,
        account: &AccountId,
        name: &RepositoryPrefix,
        expected_version: Option<i64>,
    ) -> Result<VirtualRepositoryRecord, ChangeVirtualRepositoryError> {
        self.write(
            Durability::Full,
            (account.clone(), name.clone(), expected_version),
            |session, (account, name, expected_version)| {
                Box::pin(async move {
                    let found = expected(session, account, name, *expected_version).await?;
                    session.execute(DELETE, values![account, name.as_str()]).await?;
                    Ok(found)
                })
            },
        )
        .await
    }
}

/// The virtual repository to which the name of a repository belongs.
pub(crate) async fn virtual_owner(
    session: &mut Session,
    path: &RepositoryPath,
) -> Result<Option<RepositoryPrefix>, StoreError> {
    for row in session.fetch_all(NAMES, values![&path.account]).await? {
        let name: RepositoryPrefix = row.parsed(0)?;
        if name.rest_of(path.name.as_str()).is_some() {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// What the names of a virtual repository and of its sources would overlap among the others.
fn overlap_of(changed: &VirtualRepository, all: &[VirtualRepositoryRecord]) -> Option<NameOverlap> {
    let is_within = |name: &RepositoryPrefix, above: &RepositoryPrefix| above.rest_of(name.as_str()).is_some();
    let prefixes = |of: &VirtualRepository| {
        let sources = of.sources.as_slice().iter();
        sources
            .map(|source| source.repository_prefix.clone())
            .collect::<Vec<_>>()
    };
    let own = prefixes(changed);
    if let Some(source) = own.iter().find(|source| is_within(source, &changed.name)) {
        return Some(NameOverlap::Source(source.clone(), changed.name.clone()));
    }
    for other in all.iter().map(|record| &record.repository) {
        if other.name == changed.name {
            continue;
        }
        if is_within(&other.name, &changed.name) || is_within(&changed.name, &other.name) {
            return Some(NameOverlap::Virtual(other.name.clone()));
        }
        if let Some(source) = own.iter().find(|source| is_within(source, &other.name)) {
            return Some(NameOverlap::Source(source.clone(), other.name.clone()));
        }
        if let Some(source) = prefixes(other)
            .into_iter()
            .find(|source| is_within(source, &changed.name))
        {
            return Some(NameOverlap::SourceOf(source, other.name.clone()));
        }
    }
    None
}

/// A repository that has this name, or one below it.
async fn repository_within(
    session: &mut Session,
    account: &AccountId,
    name: &RepositoryPrefix,
) -> Result<Option<RepositoryName>, StoreError> {
    let same = session
        .fetch_optional(REPOSITORY_OF_NAME, values![account, name.as_str()])
        .await?;
    // What begins with the name and a slash is before what begins with the name and the character after the slash.
    let (from, to) = (format!("{name}/"), format!("{name}0"));
    let row = match same {
        Some(row) => Some(row),
        None => {
            session
                .fetch_optional(REPOSITORY_BELOW, values![account, from, to])
                .await?
        }
    };
    row.map(|row| row.parsed(0)).transpose()
}

async fn all(session: &mut Session, account: &AccountId) -> Result<Vec<VirtualRepositoryRecord>, StoreError> {
    let rows = session.fetch_all(ALL, values![account]).await?;
    rows.iter().map(VirtualRepositoryRecord::read).collect()
}

async fn find(
    session: &mut Session,
    account: &AccountId,
    name: &RepositoryPrefix,
) -> Result<Option<VirtualRepositoryRecord>, StoreError> {
    let row = session.fetch_optional(SELECT, values![account, name.as_str()]).await?;
    row.as_ref().map(VirtualRepositoryRecord::read).transpose()
}

async fn expected(
    session: &mut Session,
    account: &AccountId,
    name: &RepositoryPrefix,
    expected_version: Option<i64>,
) -> Result<VirtualRepositoryRecord, ChangeVirtualRepositoryError> {
    let found = find(session, account, name).await?;
    let found = found.ok_or(ChangeVirtualRepositoryError::Unknown)?;
    if expected_version.is_some_and(|version| version != found.version) {
        return Err(ChangeVirtualRepositoryError::VersionMismatch);
    }
    Ok(found)
}

async fn insert(session: &mut Session, record: &VirtualRepositoryRecord) -> Result<(), StoreError> {
    let values = values![
        &record.account,
        record.repository.name.as_str(),
        record.description.as_deref(),
        serde_json::to_string(&record.repository.sources)?,
        record.created_at,
        record.updated_at,
        record.version,
    ];
    session.execute(INSERT, values).await.map(drop)
}
