// SPDX-License-Identifier: Apache-2.0
//! Policies that an account makes, to attach them to its users, groups and roles.

use std::collections::BTreeMap;

use hythe_access::PolicyName;
use hythe_model::{AccountId, ResourceTags};
use jiff::Timestamp;

use crate::repository_policy::new_version;
use crate::session::{Row, Session, corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most policies of one account (IAM, "IAM object quotas": customer managed policies).
pub const MAX_POLICIES_PER_ACCOUNT: u64 = 1500;

/// A policy of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyRecord {
    /// The account.
    pub account: AccountId,
    /// The name within the account.
    pub name: PolicyName,
    /// What it is for.
    pub description: Option<String>,
    /// The document.
    pub text: String,
    /// Its resource tags.
    pub tags: ResourceTags,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// A random number: no other state of any policy has it. Creating ignores it.
    pub version: i64,
}

/// What to change about a policy; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct PolicyChange {
    /// What it is for.
    pub description: Option<String>,
    /// The document.
    pub text: Option<String>,
    /// The resource tags.
    pub tags: Option<ResourceTags>,
}

/// Why a policy was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreatePolicyError {
    /// The account has a policy of this name.
    #[error("the policy exists already")]
    AlreadyExists,
    /// The account has as many policies as one may have.
    #[error("an account may have at most {0} policies")]
    LimitExceeded(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy was not changed.
#[derive(Debug, thiserror::Error)]
pub enum UpdatePolicyError {
    /// The account has no policy of this name.
    #[error("the policy does not exist")]
    Unknown,
    /// Somebody changed the policy since the expected version was read.
    #[error("the policy was changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a policy was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DeletePolicyError {
    /// The account has no policy of this name.
    #[error("the policy does not exist")]
    Unknown,
    /// It is attached to so many principals.
    #[error("the policy is attached to {0} principals")]
    Attached(u64),
    /// Somebody changed the policy since the expected version was read.
    #[error("the policy was changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PolicyRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let tags: BTreeMap<String, String> = serde_json::from_str(&row.text(4)?)?;
        Ok(Self {
            account: row.parsed(0)?,
            name: row.parsed(1)?,
            description: row.optional_text(2)?,
            text: row.text(3)?,
            tags: ResourceTags::new(tags).map_err(corrupt)?,
            created_at: row.time(5)?,
            updated_at: row.time(6)?,
            version: row.int(7)?,
        })
    }
}

const COUNT: &str =
    "SELECT COUNT(*) FROM (SELECT name FROM policy WHERE account_id = $1 LIMIT $2) AS some_of_the_policies";
const INSERT: &str = "
    INSERT INTO policy (account_id, name, description, document, tags, created_ms, updated_ms, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (account_id, name) DO NOTHING
 RETURNING account_id, name, description, document, tags, created_ms, updated_ms, version";
const SELECT: &str = "
    SELECT account_id, name, description, document, tags, created_ms, updated_ms, version
      FROM policy WHERE account_id = $1 AND name = $2";
pub(crate) const LIST: &str = "
    SELECT account_id, name, description, document, tags, created_ms, updated_ms, version
      FROM policy WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3";
const UPDATE: &str = "
    UPDATE policy SET description = $3, document = $4, tags = $5, updated_ms = $6, version = $7
     WHERE account_id = $1 AND name = $2
 RETURNING account_id, name, description, document, tags, created_ms, updated_ms, version";
const DELETE: &str = "DELETE FROM policy WHERE account_id = $1 AND name = $2";
const COUNT_USES: &str = "SELECT COUNT(*) FROM policy_use WHERE account_id = $1 AND policy = $2";
const COUNT_USES_BETWEEN: &str = "
    SELECT policy, COUNT(*) FROM policy_use WHERE account_id = $1 AND policy >= $2 AND policy <= $3 GROUP BY policy";

impl Store {
    /// Creates a policy; `version` of the record is ignored.
    pub async fn create_policy(&self, new: PolicyRecord) -> Result<PolicyRecord, CreatePolicyError> {
        // Apart from the transaction, which otherwise would be in conflict with every other.
        let count = self
            .reader()
            .await?
            .fetch_one(COUNT, values![&new.account, MAX_POLICIES_PER_ACCOUNT])
            .await?
            .size(0)?;
        let tags = serde_json::to_string(new.tags.as_map()).map_err(StoreError::from)?;
        self.write(Durability::Full, (new, tags, count), |session, (new, tags, count)| {
            Box::pin(async move {
                let values = values![
                    &new.account,
                    &new.name,
                    new.description.as_deref(),
                    &new.text,
                    tags,
                    new.created_at,
                    new.updated_at,
                    new_version()
                ];
                match session.fetch_optional(INSERT, values).await? {
                    None => Err(CreatePolicyError::AlreadyExists),
                    Some(_) if *count >= MAX_POLICIES_PER_ACCOUNT => {
                        Err(CreatePolicyError::LimitExceeded(MAX_POLICIES_PER_ACCOUNT))
                    }
                    Some(row) => Ok(PolicyRecord::read(&row)?),
                }
            })
        })
        .await
    }

    /// The policy.
    pub async fn policy(&self, account: &AccountId, name: &PolicyName) -> Result<Option<PolicyRecord>, StoreError> {
        find(&mut self.reader().await?, account, name).await
    }

    /// The policies of an account after `after`, by name, at most `limit` of them.
    pub async fn policies(
        &self,
        account: &AccountId,
        after: Option<&PolicyName>,
        limit: usize,
    ) -> Result<Vec<PolicyRecord>, StoreError> {
        let after = after.map_or("", PolicyName::as_str);
        let rows = self
            .reader()
            .await?
            .fetch_all(LIST, values![account, after, limit])
            .await?;
        rows.iter().map(PolicyRecord::read).collect()
    }

    /// How many users, groups and roles of an account have a policy, or are limited by it; also one that is not of the
    /// account.
    pub async fn policy_uses(&self, account: &AccountId, name: &PolicyName) -> Result<u64, StoreError> {
        uses(&mut self.reader().await?, account, name).await
    }

    /// The same for all policies from `first` to `last` that anybody has.
    pub async fn policy_uses_between(
        &self,
        account: &AccountId,
        first: &PolicyName,
        last: &PolicyName,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows = self
            .reader()
            .await?
            .fetch_all(COUNT_USES_BETWEEN, values![account, first, last])
            .await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.size(1)?))).collect()
    }

    /// Changes a policy, if its version is the expected one.
    pub async fn update_policy(
        &self,
        account: &AccountId,
        name: &PolicyName,
        change: PolicyChange,
        updated_at: Timestamp,
        expected_version: Option<i64>,
    ) -> Result<PolicyRecord, UpdatePolicyError> {
        self.write(
            Durability::Full,
            (account.clone(), name.clone(), change, updated_at, expected_version),
            |session, (account, name, change, updated_at, expected_version)| {
                Box::pin(async move {
                    let found = find(session, account, name).await?.ok_or(UpdatePolicyError::Unknown)?;
                    if expected_version.is_some_and(|expected| expected != found.version) {
                        return Err(UpdatePolicyError::VersionMismatch);
                    }
                    let tags = change.tags.as_ref().unwrap_or(&found.tags);
                    let tags = serde_json::to_string(tags.as_map()).map_err(StoreError::from)?;
                    let values = values![
                        account,
                        name,
                        change.description.as_deref().or(found.description.as_deref()),
                        change.text.as_ref().unwrap_or(&found.text),
                        tags,
                        *updated_at,
                        new_version()
                    ];
                    let row = session.fetch_one(UPDATE, values).await?;
                    Ok(PolicyRecord::read(&row)?)
                })
            },
        )
        .await
    }

    /// Deletes a policy that nobody has, if its version is the expected one; returns what was deleted.
    pub async fn delete_policy(
        &self,
        account: &AccountId,
        name: &PolicyName,
        expected_version: Option<i64>,
    ) -> Result<PolicyRecord, DeletePolicyError> {
        self.write(
            Durability::Full,
            (account.clone(), name.clone(), expected_version),
            |session, (account, name, expected_version)| {
                Box::pin(async move {
                    let found = find(session, account, name).await?.ok_or(DeletePolicyError::Unknown)?;
                    if expected_version.is_some_and(|expected| expected != found.version) {
                        return Err(DeletePolicyError::VersionMismatch);
                    }
                    let uses = uses(session, account, name).await?;
                    if uses > 0 {
                        return Err(DeletePolicyError::Attached(uses));
                    }
                    session.execute(DELETE, values![account, name]).await?;
                    Ok(found)
                })
            },
        )
        .await
    }
}

pub(crate) async fn find(
    session: &mut Session,
    account: &AccountId,
    name: &PolicyName,
) -> Result<Option<PolicyRecord>, StoreError> {
    let row = session.fetch_optional(SELECT, values![account, name]).await?;
    row.as_ref().map(PolicyRecord::read).transpose()
}

async fn uses(session: &mut Session, account: &AccountId, name: &PolicyName) -> Result<u64, StoreError> {
    session.fetch_one(COUNT_USES, values![account, name]).await?.size(0)
}
