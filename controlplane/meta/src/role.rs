// SPDX-License-Identifier: Apache-2.0
//! Roles of an account.

use hythe_access::RoleName;
use hythe_model::{AccountId, ResourceTags};
use jiff::Timestamp;

use crate::principal::{
    AttachmentChange, CreatePrincipalError, DeletePrincipalError, Kind, PolicyRef, UpdatePrincipalError, forget_uses,
    is_other, policies_column, read_policies, read_tags, set_uses,
};
use crate::session::{Row, Session, corrupt, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most roles of one account (IAM, "IAM object quotas"). Creates that run at the same time may overshoot it by
/// their number.
pub const MAX_ROLES_PER_ACCOUNT: u64 = 1000;

/// A role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRecord {
    /// The account that the role belongs to.
    pub account: AccountId,
    /// The name within the account.
    pub name: RoleName,
    /// What it is for.
    pub description: String,
    /// Who may take it on: a document that was parsed when it was stored.
    pub trust_policy: String,
    /// As of when that is meant: a principal that was created later is not meant by it, even if it has a name that is in it.
    /// `None`: an earlier version stored it, and it means whoever has the name.
    pub trusts_as_of: Option<Timestamp>,
    /// How long a session may be, in seconds.
    pub max_session_seconds: u32,
    /// The policies that say what the role may do; sorted by name.
    pub policies: Vec<PolicyRef>,
    /// What limits it at most.
    pub boundary: Option<PolicyRef>,
    /// Its resource tags.
    pub tags: ResourceTags,
    /// When it was created.
    pub created_at: Timestamp,
    /// Counts the changes, from 1; creating ignores it.
    pub version: i64,
}

/// What to change about a role; `None` leaves it as it is.
#[derive(Clone, Debug, Default)]
pub struct RoleChange {
    /// What it is for.
    pub description: Option<String>,
    /// Who may take it on, and as of when that is meant.
    pub trust_policy: Option<(String, Timestamp)>,
    /// How long a session may be, in seconds.
    pub max_session_seconds: Option<u32>,
    /// Its policies.
    pub policies: Option<AttachmentChange>,
    /// What limits it at most.
    pub boundary: Option<Option<PolicyRef>>,
    /// Its resource tags.
    pub tags: Option<ResourceTags>,
}

impl RoleRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            account: row.parsed(0)?,
            name: row.parsed(1)?,
            description: row.text(2)?,
            trust_policy: row.text(3)?,
            max_session_seconds: u32::try_from(row.int(4)?).map_err(corrupt)?,
            policies: read_policies(row, 5)?,
            boundary: row.optional_parsed(6)?,
            tags: read_tags(row, 7)?,
            created_at: row.time(8)?,
            version: row.int(9)?,
            trusts_as_of: row.optional_time(10)?,
        })
    }
}

const COUNT: &str = "SELECT COUNT(*) FROM (SELECT name FROM app_role WHERE account_id = $1 LIMIT $2) AS some_of_them";
/// Finds also one whose name differs in case only (IAM, "IAM identifiers").
const FIND_FOLDED: &str = "SELECT name FROM app_role WHERE account_id = $1 AND lower(name) = lower($2)";
const INSERT: &str = "
    INSERT INTO app_role (account_id, name, description, trust_policy, max_session_seconds, policies, boundary, tags,
                          created_ms, version, trust_ms)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 1, $10)";
const SELECT: &str = "
    SELECT account_id, name, description, trust_policy, max_session_seconds, policies, boundary, tags, created_ms, version,
           trust_ms
      FROM app_role WHERE account_id = $1 AND name = $2";
pub(crate) const LIST: &str = "
    SELECT account_id, name, description, trust_policy, max_session_seconds, policies, boundary, tags, created_ms, version,
           trust_ms
      FROM app_role WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3";
const UPDATE: &str = "
    UPDATE app_role SET description = $3, trust_policy = $4, max_session_seconds = $5, policies = $6, boundary = $7,
                        tags = $8, version = $9, trust_ms = $10
     WHERE account_id = $1 AND name = $2";
const DELETE: &str = "DELETE FROM app_role WHERE account_id = $1 AND name = $2";

impl Store {
    /// Creates a role, with version 1.
    pub async fn create_role(&self, role: &RoleRecord) -> Result<(), CreatePrincipalError> {
        // Apart from the transaction, which otherwise would be in conflict with every other.
        let values = values![&role.account, MAX_ROLES_PER_ACCOUNT];
        let count = self.reader().await?.fetch_one(COUNT, values).await?.size(0)?;
        self.write(Durability::Full, (role.clone(), count), |session, (role, count)| {
            Box::pin(async move {
                let key = values![&role.account, &role.name];
                if session.fetch_optional(FIND_FOLDED, key).await?.is_some() {
                    return Err(CreatePrincipalError::AlreadyExists);
                }
                if *count >= MAX_ROLES_PER_ACCOUNT {
                    return Err(CreatePrincipalError::LimitExceeded(MAX_ROLES_PER_ACCOUNT));
                }
                let policies = AttachmentChange::Replace(role.policies.clone()).apply(&[]);
                let who = (Kind::Role, role.name.as_str());
                set_uses(session, &role.account, who, &policies, role.boundary.as_ref()).await?;
                let values = values![
                    &role.account,
                    &role.name,
                    &role.description,
                    &role.trust_policy,
                    i64::from(role.max_session_seconds),
                    policies_column(&policies)?,
                    role.boundary.as_ref().map(PolicyRef::as_str),
                    serde_json::to_string(role.tags.as_map()).map_err(StoreError::from)?,
                    role.created_at,
                    role.trusts_as_of
                ];
                session.execute(INSERT, values).await?;
                Ok(())
            })
        })
        .await
    }

    /// The role.
    pub async fn role(&self, account: &AccountId, name: &RoleName) -> Result<Option<RoleRecord>, StoreError> {
        find(&mut self.reader().await?, account, name).await
    }

    /// The roles of an account after `after`, by name, at most `limit` of them.
    pub async fn roles(
        &self,
        account: &AccountId,
        after: Option<&RoleName>,
        limit: usize,
    ) -> Result<Vec<RoleRecord>, StoreError> {
        let after = after.map_or("", RoleName::as_str);
        let mut session = self.reader().await?;
        let rows = session.fetch_all(LIST, values![account, after, limit]).await?;
        rows.iter().map(RoleRecord::read).collect()
    }

    /// Changes a role, if its version is the expected one. A change that changes nothing leaves the version.
    pub async fn update_role(
        &self,
        account: &AccountId,
        name: &RoleName,
        change: RoleChange,
        expected_version: Option<i64>,
    ) -> Result<RoleRecord, UpdatePrincipalError> {
        self.write(
            Durability::Full,
            (account.clone(), name.clone(), change, expected_version),
            |session, (account, name, change, expected)| {
                Box::pin(async move {
                    let found = find(session, account, name)
                        .await?
                        .ok_or(UpdatePrincipalError::Unknown)?;
                    if is_other(found.version, *expected) {
                        return Err(UpdatePrincipalError::VersionMismatch);
                    }
                    let mut role = changed(&found, change);
                    if role == found {
                        return Ok(found);
                    }
                    role.version += 1;
                    if (&role.policies, &role.boundary) != (&found.policies, &found.boundary) {
                        let who = (Kind::Role, name.as_str());
                        set_uses(session, account, who, &role.policies, role.boundary.as_ref()).await?;
                    }
                    let values = values![
                        account,
                        name,
                        &role.description,
                        &role.trust_policy,
                        i64::from(role.max_session_seconds),
                        policies_column(&role.policies)?,
                        role.boundary.as_ref().map(PolicyRef::as_str),
                        serde_json::to_string(role.tags.as_map()).map_err(StoreError::from)?,
                        role.version,
                        role.trusts_as_of
                    ];
                    session.execute(UPDATE, values).await?;
                    Ok(role)
                })
            },
        )
        .await
    }

    /// Deletes a role with its attachments, if its version is the expected one; returns what was deleted.
    pub async fn delete_role(
        &self,
        account: &AccountId,
        name: &RoleName,
        expected_version: Option<i64>,
    ) -> Result<RoleRecord, DeletePrincipalError> {
        self.write(
            Durability::Full,
            (account.clone(), name.clone(), expected_version),
            |session, (account, name, expected)| {
                Box::pin(async move {
                    let found = find(session, account, name)
                        .await?
                        .ok_or(DeletePrincipalError::Unknown)?;
                    if is_other(found.version, *expected) {
                        return Err(DeletePrincipalError::VersionMismatch);
                    }
                    forget_uses(session, account, (Kind::Role, name.as_str())).await?;
                    session.execute(DELETE, values![account, name]).await?;
                    Ok(found)
                })
            },
        )
        .await
    }
}

async fn find(session: &mut Session, account: &AccountId, name: &RoleName) -> Result<Option<RoleRecord>, StoreError> {
    let row = session.fetch_optional(SELECT, values![account, name]).await?;
    row.as_ref().map(RoleRecord::read).transpose()
}

fn changed(role: &RoleRecord, change: &RoleChange) -> RoleRecord {
    let mut role = role.clone();
    if let Some(description) = &change.description {
        role.description.clone_from(description);
    }
    if let Some((trust_policy, as_of)) = &change.trust_policy {
        role.trust_policy.clone_from(trust_policy);
        // As a row gives it back.
        role.trusts_as_of = Some(hythe_model::in_millis(*as_of));
    }
    if let Some(seconds) = change.max_session_seconds {
        role.max_session_seconds = seconds;
    }
    if let Some(policies) = &change.policies {
        role.policies = policies.apply(&role.policies);
    }
    if let Some(boundary) = &change.boundary {
        role.boundary.clone_from(boundary);
    }
    if let Some(tags) = &change.tags {
        role.tags = tags.clone();
    }
    role
}
