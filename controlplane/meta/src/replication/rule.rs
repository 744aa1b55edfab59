// SPDX-License-Identifier: Apache-2.0
//! The rules of a registry: its document, and rules that stand by themselves beside it.

use std::fmt;
use std::str::FromStr;

use hythe_model::{AccountId, ParseError, Region};
use hythe_rules::replication::{
    MAX_NAMED_REPLICATION_RULES, ReplicationRule, ReplicationRuleError, check_destinations, check_rule_name,
};
use jiff::Timestamp;

use super::destination;
use crate::repository_policy::new_version;
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// Which rules are meant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RuleName(String);

impl RuleName {
    /// The document of the registry.
    #[must_use]
    pub fn document() -> Self {
        Self(String::new())
    }

    /// The name; empty for the document.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is the document.
    #[must_use]
    pub fn is_document(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for RuleName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl FromStr for RuleName {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        check_rule_name(text).map(|()| Self(text.into()))
    }
}

/// The rules of a document, or the one that stands by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicationRules {
    /// Which they are.
    pub name: RuleName,
    /// The rules.
    pub rules: Vec<ReplicationRule>,
    /// When they were put.
    pub updated_at: Timestamp,
    /// A random number: no other state of any rules has it.
    pub version: i64,
}

/// Why rules were not put.
#[derive(Debug, thiserror::Error)]
pub enum PutReplicationRulesError {
    /// A rule names a destination that is not set up.
    #[error("the destination does not exist")]
    UnknownDestination(Region),
    /// A rule brings settings to a destination whose control plane is not known.
    #[error("the control plane of the destination is not known")]
    NoControlPlane(Region),
    /// With all others they are too much.
    #[error(transparent)]
    Rule(#[from] ReplicationRuleError),
    /// There are as many rules that stand by themselves as there may be.
    #[error("the registry has too many replication rules")]
    LimitExceeded,
    /// There are none to delete.
    #[error("the rule does not exist")]
    Unknown,
    /// Somebody changed them since the expected version was read.
    #[error("the rules were changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ReplicationRules {
    fn read(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            name: RuleName(row.text(0)?),
            rules: serde_json::from_str(&row.text(1)?)?,
            updated_at: row.time(2)?,
            version: row.int(3)?,
        })
    }
}

const SELECT: &str = "
    SELECT name, rules, updated_ms, version FROM replication_rule WHERE account_id = $1 AND name = $2";
/// Without the document, whose name is empty.
const LIST: &str = "
    SELECT name, rules, updated_ms, version FROM replication_rule
     WHERE account_id = $1 AND name > $2 ORDER BY name LIMIT $3";
const ALL: &str = "SELECT rules FROM replication_rule WHERE account_id = $1 ORDER BY name";
const COUNT: &str = "SELECT COUNT(*) FROM replication_rule WHERE account_id = $1 AND name <> ''";
const PUT: &str = "
    INSERT INTO replication_rule (account_id, name, rules, updated_ms, version) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (account_id, name) DO UPDATE
       SET rules = excluded.rules, updated_ms = excluded.updated_ms, version = excluded.version";
const DELETE: &str = "DELETE FROM replication_rule WHERE account_id = $1 AND name = $2";

impl Store {
    /// The document of a registry, or the rule of this name.
    pub async fn replication_rules(
        &self,
        account: &AccountId,
        name: &RuleName,
    ) -> Result<Option<ReplicationRules>, StoreError> {
        find(&mut self.reader().await?, account, name).await
    }

    /// The rules that stand by themselves after `after`, by name, at most `limit` of them.
    pub async fn named_replication_rules(
        &self,
        account: &AccountId,
        after: Option<&RuleName>,
        limit: usize,
    ) -> Result<Vec<ReplicationRules>, StoreError> {
        let after = after.map_or("", RuleName::as_str);
        let mut session = self.reader().await?;
        let rows = session.fetch_all(LIST, values![account, after, limit]).await?;
        rows.iter().map(ReplicationRules::read).collect()
    }

    /// Puts the document of a registry, or a rule by itself, if its version is the expected one; without rules, takes it
    /// away. The rules are each fine by themselves. Returns what was there before, and what is there now.
    pub async fn put_replication_rules(
        &self,
        account: &AccountId,
        name: &RuleName,
        rules: Vec<ReplicationRule>,
        at: Timestamp,
        expected_version: Option<i64>,
    ) -> Result<(Option<ReplicationRules>, Option<ReplicationRules>), PutReplicationRulesError> {
        let input = (account.clone(), name.clone(), rules, at, expected_version);
        self.write(
            Durability::Full,
            input,
            |session, (account, name, rules, at, expected)| {
                Box::pin(put(session, account, name, rules, *at, *expected))
            },
        )
        .await
    }
}

async fn put(
    session: &mut Session,
    account: &AccountId,
    name: &RuleName,
    rules: &[ReplicationRule],
    at: Timestamp,
    expected: Option<i64>,
) -> Result<(Option<ReplicationRules>, Option<ReplicationRules>), PutReplicationRulesError> {
    let before = find(session, account, name).await?;
    let version = before.as_ref().map_or(0, |before| before.version);
    if expected.is_some_and(|expected| expected != version) {
        return Err(PutReplicationRulesError::VersionMismatch);
    }
    if rules.is_empty() {
        if before.is_none() && !name.is_document() {
            return Err(PutReplicationRulesError::Unknown);
        }
        session.execute(DELETE, values![account, name.as_str()]).await?;
        return Ok((before, None));
    }
    if before.is_none() && !name.is_document() {
        let count = session.fetch_one(COUNT, values![account]).await?.size(0)?;
        if count >= MAX_NAMED_REPLICATION_RULES as u64 {
            return Err(PutReplicationRulesError::LimitExceeded);
        }
    }
    for rule in rules {
        for place in &rule.destinations {
            let Some(found) = destination::find(session, account, &place.region).await? else {
                return Err(PutReplicationRulesError::UnknownDestination(place.region.clone()));
            };
            if !rule.settings.is_empty() && found.settings.control_endpoint.is_none() {
                return Err(PutReplicationRulesError::NoControlPlane(place.region.clone()));
            }
        }
    }
    let after = ReplicationRules {
        name: name.clone(),
        rules: rules.to_vec(),
        updated_at: at,
        version: new_version(),
    };
    let text = serde_json::to_string(&after.rules).map_err(StoreError::from)?;
    session
        .execute(PUT, values![account, name.as_str(), text, at, after.version])
        .await?;
    check_destinations(&all(session, account).await?)?;
    Ok((before, Some(after)))
}

async fn find(
    session: &mut Session,
    account: &AccountId,
    name: &RuleName,
) -> Result<Option<ReplicationRules>, StoreError> {
    let row = session.fetch_optional(SELECT, values![account, name.as_str()]).await?;
    row.as_ref().map(ReplicationRules::read).transpose()
}

/// All rules of a registry.
pub(super) async fn all(session: &mut Session, account: &AccountId) -> Result<Vec<ReplicationRule>, StoreError> {
    let mut rules = Vec::new();
    for row in session.fetch_all(ALL, values![account]).await? {
        rules.extend(serde_json::from_str::<Vec<ReplicationRule>>(&row.text(0)?)?);
    }
    Ok(rules)
}
