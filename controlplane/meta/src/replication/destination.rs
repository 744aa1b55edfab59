// SPDX-License-Identifier: Apache-2.0
//! Where images can be replicated to.

use std::fmt;
use std::str::FromStr;

use hythe_model::{AccountId, ParseError, Region};
use hythe_rules::replication::ReplicationRule;
use jiff::Timestamp;

use super::rule;
use crate::repository_policy::new_version;
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most destinations that an account can set up.
pub const MAX_REPLICATION_DESTINATION_OBJECTS: usize = 100;

/// What a destination is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DestinationKind {
    /// Another deployment of Hythe.
    Hythe,
    /// Any other registry.
    Oci,
}

impl DestinationKind {
    /// Its name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hythe => "HYTHE",
            Self::Oci => "OCI",
        }
    }
}

impl fmt::Display for DestinationKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for DestinationKind {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "HYTHE" => Ok(Self::Hythe),
            "OCI" => Ok(Self::Oci),
            _ => Err(ParseError::new("kind of destination", text, "it must be HYTHE or OCI")),
        }
    }
}

/// A destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationRecord {
    /// The account whose images go there.
    pub account: AccountId,
    /// What rules call it.
    pub name: Region,
    /// What can be changed about it.
    pub settings: DestinationSettings,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// A random number: no other state of any destination has it.
    pub version: i64,
    /// How often in a row it could not be reached.
    pub failures: u64,
    /// Nothing is sent there before.
    pub open_at: Timestamp,
}

/// What can be changed about a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DestinationSettings {
    /// What it is.
    pub kind: DestinationKind,
    /// The URL of its registry.
    pub endpoint: String,
    /// The URL of its control plane.
    pub control_endpoint: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Who logs in there.
    pub username: Option<String>,
    /// The password, sealed by whoever stores it.
    pub sealed_password: Option<Vec<u8>>,
    /// What stands before the names of repositories there.
    pub repository_prefix: Option<String>,
    /// How fast each node may send.
    pub bytes_per_second: Option<u64>,
}

/// Why a destination was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateDestinationError {
    /// The account has one of this name.
    #[error("the destination exists already")]
    AlreadyExists,
    /// The account has as many as it may have.
    #[error("the account has too many destinations")]
    LimitExceeded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a destination was not changed or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum ChangeDestinationError {
    /// The account has none of this name.
    #[error("the destination does not exist")]
    Unknown,
    /// Rules name it.
    #[error("replication rules name the destination")]
    InUse,
    /// Rules bring settings there.
    #[error("replication rules bring settings to the control plane of the destination")]
    NeedsControlPlane,
    /// Somebody changed it since the expected version was read.
    #[error("the destination was changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What [`DestinationRecord::read`] reads.
macro_rules! select_destinations {
    () => {
        "
    SELECT account_id, name, kind, endpoint, description, username, sealed_password, repository_prefix, bytes_per_second,
           created_ms, updated_ms, version, failures, open_ms, control_endpoint
      FROM replication_destination"
    };
}
pub(super) use select_destinations;

impl DestinationRecord {
    pub(super) fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: row.parsed(0)?,
            name: row.parsed(1)?,
            settings: DestinationSettings {
                kind: row.parsed(2)?,
                endpoint: row.text(3)?,
                control_endpoint: row.optional_text(14)?,
                description: row.optional_text(4)?,
                username: row.optional_text(5)?,
                sealed_password: row.optional_bytes(6)?.map(|bytes| bytes.to_vec()),
                repository_prefix: row.optional_text(7)?,
                bytes_per_second: row.optional_int(8)?.and_then(|rate| u64::try_from(rate).ok()),
            },
            created_at: row.time(9)?,
            updated_at: row.time(10)?,
            version: row.int(11)?,
            failures: row.size(12)?,
            open_at: row.time(13)?,
        })
    }
}

const COUNT: &str = "SELECT COUNT(*) FROM replication_destination WHERE account_id = $1";
const INSERT: &str = "
    INSERT INTO replication_destination (account_id, name, kind, endpoint, description, username, sealed_password,
                                         repository_prefix, bytes_per_second, created_ms, updated_ms, version, failures,
                                         open_ms, control_endpoint)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, 0, $13)";
const SELECT: &str = concat!(select_destinations!(), " WHERE account_id = $1 AND name = $2");
const LIST: &str = concat!(
    select_destinations!(),
    " WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3"
);
const DELETE: &str = "DELETE FROM replication_destination WHERE account_id = $1 AND name = $2";
/// What could not be sent may be possible now.
const REVIVE_TASKS: &str = "
    UPDATE replication_task SET is_dead = FALSE, attempts = 0, due_ms = $3
     WHERE account_id = $1 AND destination = $2 AND owner IS NULL";
/// How it ends says nothing about what the destination is now.
const DO_AGAIN: &str = "
    UPDATE replication_task SET generation = generation + 1
     WHERE account_id = $1 AND destination = $2 AND owner IS NOT NULL";
const HURRY: &str = "
    UPDATE replication_task SET due_ms = $3
     WHERE account_id = $1 AND destination = $2 AND owner IS NULL AND NOT is_dead AND due_ms > $3";
const DROP_TASKS: &str = "DELETE FROM replication_task WHERE account_id = $1 AND destination = $2";
const DROP_UPLOADS: &str = "DELETE FROM replication_upload WHERE account_id = $1 AND destination = $2";
/// What ended before counts once, however many tasks were under way, and nothing if another has found the destination healthy
/// meanwhile, or somebody has changed it.
const FAILED: &str = "
    UPDATE replication_destination
       SET failures = $4 + 1, open_ms = CASE WHEN open_ms > $3 THEN open_ms ELSE $3 END
     WHERE account_id = $1 AND name = $2 AND failures >= $4 AND failures <= $4 + 1 AND version = $5";
const SUCCEEDED: &str = "
    UPDATE replication_destination SET failures = 0, open_ms = 0
     WHERE account_id = $1 AND name = $2 AND failures > 0 AND version = $3 RETURNING name";

impl Store {
    /// Creates a destination. Creates that run at the same time may overshoot the limit by their number.
    pub async fn create_replication_destination(
        &self,
        destination: &DestinationRecord,
    ) -> Result<DestinationRecord, CreateDestinationError> {
        self.write(Durability::Full, destination.clone(), |session, destination| {
            Box::pin(async move {
                if find(session, &destination.account, &destination.name).await?.is_some() {
                    return Err(CreateDestinationError::AlreadyExists);
                }
                let count = session.fetch_one(COUNT, values![&destination.account]).await?.size(0)?;
                if count >= MAX_REPLICATION_DESTINATION_OBJECTS as u64 {
                    return Err(CreateDestinationError::LimitExceeded);
                }
                let destination = DestinationRecord {
                    version: new_version(),
                    ..destination.clone()
                };
                insert(session, &destination).await?;
                Ok(destination)
            })
        })
        .await
    }

    /// The destination of this name.
    pub async fn replication_destination(
        &self,
        account: &AccountId,
        name: &Region,
    ) -> Result<Option<DestinationRecord>, StoreError> {
        find(&mut self.reader().await?, account, name).await
    }

    /// The destinations of an account after `after`, by name, at most `limit` of them.
    pub async fn replication_destinations(
        &self,
        account: &AccountId,
        after: Option<&Region>,
        limit: usize,
    ) -> Result<Vec<DestinationRecord>, StoreError> {
        let after = after.map_or("", Region::as_str);
        let mut session = self.reader().await?;
        let rows = session.fetch_all(LIST, values![account, after, limit]).await?;
        rows.iter().map(DestinationRecord::read).collect()
    }

    /// Replaces the settings of a destination, if its version is the expected one. What could not be sent there is tried
    /// again at once.
    pub async fn update_replication_destination(
        &self,
        account: &AccountId,
        name: &Region,
        settings: DestinationSettings,
        updated_at: Timestamp,
        expected_version: i64,
    ) -> Result<DestinationRecord, ChangeDestinationError> {
        let input = (account.clone(), name.clone(), settings, updated_at, expected_version);
        let updated = self
            .write(
                Durability::Full,
                input,
                |session, (account, name, settings, at, version)| {
                    Box::pin(async move {
                        let found = expected(session, account, name, Some(*version)).await?;
                        if settings.control_endpoint.is_none() && found.settings.control_endpoint.is_some() {
                            let rules = rule::all(session, account).await?;
                            let brings = |rule: &ReplicationRule| {
                                !rule.settings.is_empty() && rule.destinations.iter().any(|place| place.region == *name)
                            };
                            if rules.iter().any(brings) {
                                return Err(ChangeDestinationError::NeedsControlPlane);
                            }
                        }
                        let destination = DestinationRecord {
                            settings: settings.clone(),
                            updated_at: *at,
                            version: new_version(),
                            failures: 0,
                            open_at: Timestamp::UNIX_EPOCH,
                            ..found
                        };
                        session.execute(DELETE, values![account, name.as_str()]).await?;
                        insert(session, &destination).await?;
                        session
                            .execute(REVIVE_TASKS, values![account, name.as_str(), *at])
                            .await?;
                        session.execute(DO_AGAIN, values![account, name.as_str()]).await?;
                        // Another registry does not know these.
                        session.execute(DROP_UPLOADS, values![account, name.as_str()]).await?;
                        Ok::<_, ChangeDestinationError>(destination)
                    })
                },
            )
            .await?;
        self.nudge_replication();
        Ok(updated)
    }

    /// Deletes a destination that no rule names, if it is of the expected version; what was still to be sent there is not
    /// sent. Returns what was deleted.
    pub async fn delete_replication_destination(
        &self,
        account: &AccountId,
        name: &Region,
        expected_version: Option<i64>,
    ) -> Result<DestinationRecord, ChangeDestinationError> {
        self.write(
            Durability::Full,
            (account.clone(), name.clone(), expected_version),
            |session, (account, name, expected_version)| {
                Box::pin(async move {
                    let found = expected(session, account, name, *expected_version).await?;
                    let rules = rule::all(session, account).await?;
                    let mut places = rules.iter().flat_map(|rule| &rule.destinations);
                    if places.any(|place| place.region == *name) {
                        return Err(ChangeDestinationError::InUse);
                    }
                    for statement in [DELETE, DROP_TASKS, DROP_UPLOADS] {
                        session.execute(statement, values![account, name.as_str()]).await?;
                    }
                    Ok(found)
                })
            },
        )
        .await
    }

    /// Takes note that a destination, as it was when the task was claimed, could be reached, so that what waits for it is sent
    /// at once; or that nothing is to be sent there before a time.
    pub async fn note_destination_reached(
        &self,
        destination: &DestinationRecord,
        failed_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (account, name) = (&destination.account, destination.name.as_str());
        if let Some(until) = failed_until {
            let failures = i64::try_from(destination.failures).unwrap_or(i64::MAX - 1);
            let values = values![account, name, until, failures, destination.version];
            return self.write_one(Durability::Relaxed, FAILED, values).await.map(drop);
        }
        self.write_committed(
            Durability::Relaxed,
            (destination.clone(), now),
            |session, (destination, now)| {
                Box::pin(async move {
                    let (account, name) = (&destination.account, destination.name.as_str());
                    let values = values![account, name, destination.version];
                    if session.fetch_optional(SUCCEEDED, values).await?.is_some() {
                        session.execute(HURRY, values![account, name, *now]).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            },
        )
        .await?;
        self.nudge_replication();
        Ok(())
    }
}

pub(super) async fn find(
    session: &mut Session,
    account: &AccountId,
    name: &Region,
) -> Result<Option<DestinationRecord>, StoreError> {
    let row = session.fetch_optional(SELECT, values![account, name.as_str()]).await?;
    row.as_ref().map(DestinationRecord::read).transpose()
}

async fn expected(
    session: &mut Session,
    account: &AccountId,
    name: &Region,
    expected_version: Option<i64>,
) -> Result<DestinationRecord, ChangeDestinationError> {
    let found = find(session, account, name).await?;
    let found = found.ok_or(ChangeDestinationError::Unknown)?;
    if expected_version.is_some_and(|version| version != found.version) {
        return Err(ChangeDestinationError::VersionMismatch);
    }
    Ok(found)
}

async fn insert(session: &mut Session, destination: &DestinationRecord) -> Result<(), StoreError> {
    let settings = &destination.settings;
    let rate = settings
        .bytes_per_second
        .map(|rate| i64::try_from(rate).unwrap_or(i64::MAX));
    let values = values![
        &destination.account,
        destination.name.as_str(),
        settings.kind.as_str(),
        &settings.endpoint,
        settings.description.as_deref(),
        settings.username.as_deref(),
        settings.sealed_password.as_deref(),
        settings.repository_prefix.as_deref(),
        rate,
        destination.created_at,
        destination.updated_at,
        destination.version,
        settings.control_endpoint.as_deref(),
    ];
    session.execute(INSERT, values).await.map(drop)
}
