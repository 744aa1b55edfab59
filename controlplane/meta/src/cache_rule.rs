// SPDX-License-Identifier: Apache-2.0
//! Rules that say which repositories come from another registry.

use hythe_model::{AccountId, RegistryUrl, RepositoryPrefix};
use jiff::Timestamp;

use crate::repository_policy::new_version;
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{Store, StoreError};

/// The most rules of one account (ECR, "Service quotas": pull through cache rules per registry).
pub const MAX_CACHE_RULES_PER_ACCOUNT: usize = 50;

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRuleRecord {
    /// The account whose repositories it is for.
    pub account: AccountId,
    /// How the names of those repositories begin; unique in the account.
    pub prefix: RepositoryPrefix,
    /// Where they come from.
    pub upstream: RegistryUrl,
    /// What kind of registry that is, if somebody said so.
    pub upstream_registry: Option<String>,
    /// What takes the place of the prefix upstream; `ROOT` for nothing.
    pub upstream_prefix: RepositoryPrefix,
    /// Who asks there, with a secret that is sealed by whoever stores it.
    pub credential: Option<SealedCredential>,
    /// For how long an answer about a tag counts.
    pub tag_freshness_seconds: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// A random number: no other state of any rule has it.
    pub version: i64,
}

/// Who asks upstream.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedCredential {
    /// The user.
    pub username: String,
    /// The secret, sealed.
    pub sealed_token: Vec<u8>,
}

impl std::fmt::Debug for SealedCredential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("SealedCredential(…)")
    }
}

/// Why a rule was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateCacheRuleError {
    /// The account has a rule for this prefix.
    #[error("the rule exists already")]
    AlreadyExists,
    /// The account has as many rules as it may have.
    #[error("the account has too many rules")]
    LimitExceeded,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a rule was not changed or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum ChangeCacheRuleError {
    /// The account has no rule for this prefix.
    #[error("the rule does not exist")]
    Unknown,
    /// Somebody changed it since the expected version was read.
    #[error("the rule was changed in the meantime")]
    VersionMismatch,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl CacheRuleRecord {
    fn read(row: &Row) -> Result<Self, StoreError> {
        let credential = match row.optional_text(5)? {
            Some(username) => Some(SealedCredential {
                username,
                sealed_token: row.bytes(6)?.to_vec(),
            }),
            None => None,
        };
        Ok(Self {
            account: row.parsed(0)?,
            prefix: row.parsed(1)?,
            upstream: row.parsed(2)?,
            upstream_registry: row.optional_text(3)?,
            upstream_prefix: row.parsed(4)?,
            credential,
            tag_freshness_seconds: row.size(7)?,
            created_at: row.time(8)?,
            updated_at: row.time(9)?,
            version: row.int(10)?,
        })
    }
}

const COUNT: &str = "SELECT COUNT(*) FROM pull_through_cache_rule WHERE account_id = $1";
const INSERT: &str = "
    INSERT INTO pull_through_cache_rule (account_id, prefix, upstream_url, upstream_registry, upstream_prefix, username,
                                         sealed_token, tag_freshness_seconds, created_ms, updated_ms, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
const SELECT: &str = "
    SELECT account_id, prefix, upstream_url, upstream_registry, upstream_prefix, username, sealed_token,
           tag_freshness_seconds, created_ms, updated_ms, version
      FROM pull_through_cache_rule WHERE account_id = $1 AND prefix = $2";
const LIST: &str = "
    SELECT account_id, prefix, upstream_url, upstream_registry, upstream_prefix, username, sealed_token,
           tag_freshness_seconds, created_ms, updated_ms, version
      FROM pull_through_cache_rule WHERE account_id = $1 AND prefix > $2 ORDER BY prefix LIMIT $3";
const DELETE: &str = "DELETE FROM pull_through_cache_rule WHERE account_id = $1 AND prefix = $2";

impl Store {
    /// Creates a rule. Creates that run at the same time may overshoot the limit by their number.
    pub async fn create_cache_rule(&self, rule: &CacheRuleRecord) -> Result<CacheRuleRecord, CreateCacheRuleError> {
        self.write(Durability::Full, rule.clone(), |session, rule| {
            Box::pin(async move {
                if find(session, &rule.account, &rule.prefix).await?.is_some() {
                    return Err(CreateCacheRuleError::AlreadyExists);
                }
                let count = session.fetch_one(COUNT, values![&rule.account]).await?.size(0)?;
                if count >= MAX_CACHE_RULES_PER_ACCOUNT as u64 {
                    return Err(CreateCacheRuleError::LimitExceeded);
                }
                let rule = CacheRuleRecord {
                    version: new_version(),
                    ..rule.clone()
                };
                insert(session, &rule).await?;
                Ok(rule)
            })
        })
        .await
    }

    /// The rule for a prefix.
    pub async fn cache_rule(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
    ) -> Result<Option<CacheRuleRecord>, StoreError> {
        find(&mut self.reader().await?, account, prefix).await
    }

    /// The rules of an account after `after`, by prefix, at most `limit` of them.
    pub async fn cache_rules(
        &self,
        account: &AccountId,
        after: Option<&RepositoryPrefix>,
        limit: usize,
    ) -> Result<Vec<CacheRuleRecord>, StoreError> {
        let after = after.map_or("", RepositoryPrefix::as_str);
        let mut session = self.reader().await?;
        let rows = session.fetch_all(LIST, values![account, after, limit]).await?;
        rows.iter().map(CacheRuleRecord::read).collect()
    }

    /// Replaces what can be changed about a rule, credential and freshness, if its version is the expected one.
    pub async fn update_cache_rule(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
        change: (Option<SealedCredential>, u64),
        updated_at: Timestamp,
        expected_version: i64,
    ) -> Result<CacheRuleRecord, ChangeCacheRuleError> {
        let input = (account.clone(), prefix.clone(), change, updated_at, expected_version);
        self.write(
            Durability::Full,
            input,
            |session, (account, prefix, (credential, freshness), updated_at, expected_version)| {
                Box::pin(async move {
                    let found = expected(session, account, prefix, Some(*expected_version)).await?;
                    let rule = CacheRuleRecord {
                        credential: credential.clone(),
                        tag_freshness_seconds: *freshness,
                        updated_at: *updated_at,
                        version: new_version(),
                        ..found
                    };
                    session.execute(DELETE, values![account, prefix.as_str()]).await?;
                    insert(session, &rule).await?;
                    Ok(rule)
                })
            },
        )
        .await
    }

    /// Deletes a rule, if it is of the expected version; returns what was deleted. What was cached stays.
    pub async fn delete_cache_rule(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
        expected_version: Option<i64>,
    ) -> Result<CacheRuleRecord, ChangeCacheRuleError> {
        self.write(
            Durability::Full,
            (account.clone(), prefix.clone(), expected_version),
            |session, (account, prefix, expected_version)| {
                Box::pin(async move {
                    let found = expected(session, account, prefix, *expected_version).await?;
                    session.execute(DELETE, values![account, prefix.as_str()]).await?;
                    Ok(found)
                })
            },
        )
        .await
    }
}

async fn find(
    session: &mut Session,
    account: &AccountId,
    prefix: &RepositoryPrefix,
) -> Result<Option<CacheRuleRecord>, StoreError> {
    let row = session
        .fetch_optional(SELECT, values![account, prefix.as_str()])
        .await?;
    row.as_ref().map(CacheRuleRecord::read).transpose()
}

async fn expected(
    session: &mut Session,
    account: &AccountId,
    prefix: &RepositoryPrefix,
    expected_version: Option<i64>,
) -> Result<CacheRuleRecord, ChangeCacheRuleError> {
    let found = find(session, account, prefix).await?;
    let found = found.ok_or(ChangeCacheRuleError::Unknown)?;
    if expected_version.is_some_and(|version| version != found.version) {
        return Err(ChangeCacheRuleError::VersionMismatch);
    }
    Ok(found)
}

async fn insert(session: &mut Session, rule: &CacheRuleRecord) -> Result<(), StoreError> {
    let credential = rule.credential.as_ref();
    let upstream = rule.upstream.to_string();
    let values = values![
        &rule.account,
        rule.prefix.as_str(),
        upstream.as_str(),
        rule.upstream_registry.as_deref(),
        rule.upstream_prefix.as_str(),
        credential.map(|it| it.username.as_str()),
        credential.map(|it| it.sealed_token.as_slice()),
        rule.tag_freshness_seconds,
        rule.created_at,
        rule.updated_at,
        rule.version,
    ];
    session.execute(INSERT, values).await.map(drop)
}
