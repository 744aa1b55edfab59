// SPDX-License-Identifier: Apache-2.0
//! Rules that say which repositories come from another registry.

use hythe_model::{AccountId, MirrorSettings, RegistryUrl, RepositoryName, RepositoryPrefix};
use jiff::Timestamp;

use crate::repository_policy::new_version;
use crate::session::{Row, Session, values};
use crate::writer::Durability;
use crate::{MirrorRecord, Store, StoreError, mirror};

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
    /// What comes without a pull, if something does.
    pub mirror: Option<MirrorRecord>,
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

/// What can be changed about a rule, with the values that it has from then on.
#[derive(Clone, Debug)]
pub struct CacheRuleUpdate {
    /// Who asks there.
    pub credential: Option<SealedCredential>,
    /// For how long an answer about a tag counts.
    pub tag_freshness_seconds: u64,
    /// What comes without a pull: `None` leaves it as it is.
    pub mirror: Option<Option<MirrorSettings>>,
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
            mirror: MirrorRecord::read(row, 11)?,
        })
    }

    /// What a repository of the other registry is called here; `None` if it does not come by the rule.
    #[must_use]
    pub fn name_here(&self, name_there: &str) -> Option<RepositoryName> {
        let below = if self.upstream_prefix.is_root() {
            name_there
        } else {
            name_there
                .strip_prefix(self.upstream_prefix.as_str())?
                .strip_prefix('/')?
        };
        if self.prefix.is_root() {
            return below.parse().ok();
        }
        format!("{}/{below}", self.prefix).parse().ok()
    }
}

const COUNT: &str = "SELECT COUNT(*) FROM pull_through_cache_rule WHERE account_id = $1";
const INSERT: &str = "
    INSERT INTO pull_through_cache_rule (account_id, prefix, upstream_url, upstream_registry, upstream_prefix, username,
                                         sealed_token, tag_freshness_seconds, created_ms, updated_ms, version)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
macro_rules! columns {
    () => {
        "SELECT r.account_id, r.prefix, r.upstream_url, r.upstream_registry, r.upstream_prefix, r.username, r.sealed_token,
                r.tag_freshness_seconds, r.created_ms, r.updated_ms, r.version, m.settings, m.set_ms, m.due_ms, m.succeeded_ms
           FROM pull_through_cache_rule r LEFT JOIN mirror m ON m.account_id = r.account_id AND m.prefix = r.prefix"
    };
}

const SELECT: &str = concat!(columns!(), " WHERE r.account_id = $1 AND r.prefix = $2");
const LIST: &str = concat!(
    columns!(),
    " WHERE r.account_id = $1 AND r.prefix > $2 ORDER BY r.prefix LIMIT $3"
);
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
                if let Some(mirror) = &rule.mirror {
                    mirror::put(session, &rule.account, &rule.prefix, &mirror.settings, mirror.set_at).await?;
                }
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

    /// Replaces what can be changed about a rule, if its version is the expected one. A run of a mirror that is changed ends;
    /// with another mirror or credential a run is due at once.
    pub async fn update_cache_rule(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
        update: CacheRuleUpdate,
        updated_at: Timestamp,
        expected_version: i64,
    ) -> Result<CacheRuleRecord, ChangeCacheRuleError> {
        let input = (account.clone(), prefix.clone(), update, updated_at, expected_version);
        self.write(
            Durability::Full,
            input,
            |session, (account, prefix, update, updated_at, expected_version)| {
                Box::pin(async move {
                    let found = expected(session, account, prefix, Some(*expected_version)).await?;
                    let is_same_credential = found.credential == update.credential;
                    let rule = CacheRuleRecord {
                        credential: update.credential.clone(),
                        tag_freshness_seconds: update.tag_freshness_seconds,
                        updated_at: *updated_at,
                        version: new_version(),
                        ..found
                    };
                    session.execute(DELETE, values![account, prefix.as_str()]).await?;
                    insert(session, &rule).await?;
                    match &update.mirror {
                        Some(Some(settings)) => mirror::put(session, account, prefix, settings, *updated_at).await?,
                        Some(None) => mirror::remove(session, account, prefix, *updated_at).await?,
                        None if !is_same_credential => mirror::hasten(session, account, prefix, *updated_at).await?,
                        None => {}
                    }
                    let rule = find(session, account, prefix).await?;
                    rule.ok_or(ChangeCacheRuleError::Unknown)
                })
            },
        )
        .await
    }

    /// Deletes a rule, if it is of the expected version, with its mirror and all runs of that; returns what was deleted. What was
    /// cached stays.
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
                    mirror::forget(session, account, prefix).await?;
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
