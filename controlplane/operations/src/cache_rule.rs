// SPDX-License-Identifier: Apache-2.0
//! Rules that say which repositories come from another registry: create, list, describe, change, validate, delete, use.
//!
//! What a rule says is asked at every pull, and so remembered for a second, also that an account has none. The secret of a
//! rule is sealed in the store and leaves this crate only towards who asks upstream.

use std::sync::Arc;

use async_trait::async_trait;
use hythe_access::{Granted, Secret, kinds};
use hythe_catalog::{CatalogError, Referrer};
use hythe_meta::{
    CacheRuleRecord, CacheRuleUpdate, ChangeCacheRuleError, MAX_CACHE_RULES_PER_ACCOUNT, MirrorRecord,
    SealedCredential, StoreError,
};
use hythe_model::{
    AccountId, Digest, MirrorSettings, MirrorSettingsError, RegistryUrl, RepositoryName, RepositoryPath,
    RepositoryPrefix, Tag,
};

use crate::{ControlPlane, CryptoError, Page};

/// For how long an answer about a tag counts if a rule says nothing (ECR, "Pull through cache": 24 hours).
pub const USUAL_TAG_FRESHNESS_SECONDS: u64 = 24 * 60 * 60;
/// The longest time for which an answer may count.
pub const MAX_TAG_FRESHNESS_SECONDS: u64 = 365 * 24 * 60 * 60;
/// The longest user name and the longest token, in bytes.
const MAX_CREDENTIAL_BYTES: usize = 8192;
/// How often a change without an expected version is tried anew when others change the rule at the same time.
const MAX_ATTEMPTS: usize = 5;
/// ECR's names of the kinds of registries.
pub const UPSTREAM_REGISTRIES: &[&str] = &[
    "ecr",
    "ecr-public",
    "quay",
    "k8s",
    "docker-hub",
    "github-container-registry",
    "azure-container-registry",
    "gitlab-container-registry",
    "chainguard",
];

/// There is no rule for this prefix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Pull through cache rule with prefix '{0}' does not exist in the registry with id '{1}'")]
pub struct UnknownCacheRule(pub RepositoryPrefix, pub AccountId);

/// What is wrong with a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CacheRuleSettingsError {
    /// A kind of registry that there is not.
    #[error("it must be one of ECR's names of registries, such as docker-hub, or absent")]
    UpstreamRegistry,
    /// A prefix upstream beside `ROOT` here.
    #[error("it must be ROOT, or absent, if ecrRepositoryPrefix is ROOT")]
    UpstreamPrefix,
    /// No user, no token, or too long.
    #[error(
        "it must have a username without `:` and an accessToken, of 1 to {MAX_CREDENTIAL_BYTES} bytes without control characters"
    )]
    Credential,
    /// Too long.
    #[error("it must be at most {MAX_TAG_FRESHNESS_SECONDS}")]
    TagFreshness,
    /// A number of a mirror that is out of its bounds.
    #[error(transparent)]
    Mirror(#[from] MirrorSettingsError),
    /// A repository that cannot come by the rule.
    #[error(
        "each name must be that of a repository at the other registry, and begin with upstreamRepositoryPrefix and `/` unless that is ROOT"
    )]
    MirrorRepository,
}

/// Why a rule was not created or not changed.
#[derive(Debug, thiserror::Error)]
pub enum PutCacheRuleError {
    /// There is one for this prefix.
    #[error("A pull through cache rule with prefix '{0}' already exists in the registry with id '{1}'")]
    AlreadyExists(RepositoryPrefix, AccountId),
    /// The account has as many as it may have.
    #[error(
        "the registry with id '{0}' has {MAX_CACHE_RULES_PER_ACCOUNT} pull through cache rules, and that is the most"
    )]
    LimitExceeded(AccountId),
    /// There is none for this prefix.
    #[error(transparent)]
    Unknown(#[from] UnknownCacheRule),
    /// The request changes nothing.
    #[error(
        "the request changes nothing: give credential, removeCredential, tagFreshnessSeconds, mirror or removeMirror"
    )]
    Nothing,
    /// The rule has changed since the version that the request names.
    #[error("the pull through cache rule has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// A setting is wrong.
    #[error(transparent)]
    Settings(#[from] CacheRuleSettingsError),
    /// The cryptography library failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a rule was not found, or not deleted.
#[derive(Debug, thiserror::Error)]
pub enum CacheRuleError {
    /// There is none for this prefix.
    #[error(transparent)]
    Unknown(#[from] UnknownCacheRule),
    /// No rule is for the repository.
    #[error("no pull through cache rule in the registry with id '{1}' is for the repository with name '{0}'")]
    NotCovered(RepositoryName, AccountId),
    /// The rule has changed since the version that the request names.
    #[error("the pull through cache rule has changed since you read it: read it again and decide anew")]
    VersionMismatch,
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who asks upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamCredential {
    /// The user.
    pub username: String,
    /// The token.
    pub access_token: Secret,
}

/// A new rule.
#[derive(Clone, Debug)]
pub struct NewCacheRule {
    /// How the names of its repositories begin.
    pub prefix: RepositoryPrefix,
    /// Where they come from.
    pub upstream: RegistryUrl,
    /// What kind of registry that is.
    pub upstream_registry: Option<String>,
    /// What takes the place of the prefix there; `ROOT` if absent.
    pub upstream_prefix: Option<RepositoryPrefix>,
    /// Who asks there.
    pub credential: Option<UpstreamCredential>,
    /// For how long an answer about a tag counts.
    pub tag_freshness_seconds: Option<u64>,
    /// What comes without a pull.
    pub mirror: Option<MirrorSettings>,
}

/// Changes of a rule; what is absent stays as it is.
#[derive(Clone, Debug, Default)]
pub struct CacheRuleChange {
    /// Who asks upstream; `Some(None)` takes the credential away.
    pub credential: Option<Option<UpstreamCredential>>,
    /// For how long an answer about a tag counts.
    pub tag_freshness_seconds: Option<u64>,
    /// What comes without a pull; `Some(None)` lets nothing come so.
    pub mirror: Option<Option<MirrorSettings>>,
}

/// Asks another registry whether it can be used.
#[async_trait]
pub trait UpstreamProbe: std::fmt::Debug + Send + Sync {
    /// Whether `upstream` is there and takes the credential; if not, why.
    async fn probe(&self, upstream: &RegistryUrl, credential: Option<&UpstreamCredential>) -> Result<(), String>;
}

/// Tells what refers to an image in the registry that a repository comes from.
#[async_trait]
pub trait UpstreamReferrers: std::fmt::Debug + Send + Sync {
    /// The referrers by digest, each once; none if the repository comes from nowhere. They are asked for there if that is due and
    /// `granted` says that the caller may.
    async fn list(
        &self,
        repository: &RepositoryPath,
        subject: &Digest,
        granted: Option<&Granted<kinds::BatchImportUpstreamImage>>,
    ) -> Result<Vec<Referrer>, CatalogError>;
}

/// A rule in use: with its secret.
#[derive(Debug)]
pub struct UpstreamRule {
    /// The rule.
    pub record: CacheRuleRecord,
    /// Who asks upstream.
    pub credential: Option<UpstreamCredential>,
}

impl UpstreamRule {
    /// What a repository that the rule is for is called upstream; `None` if it is not for it.
    #[must_use]
    pub fn name_upstream(&self, name: &RepositoryName) -> Option<String> {
        let record = &self.record;
        if !record.prefix.contains(name) {
            return None;
        }
        if record.prefix.is_root() {
            return Some(name.to_string());
        }
        let below = name.as_str().strip_prefix(record.prefix.as_str())?.strip_prefix('/')?;
        Some(if record.upstream_prefix.is_root() {
            below.to_owned()
        } else {
            format!("{}/{below}", record.upstream_prefix)
        })
    }
}

/// The rule that a repository comes by: of several, the one with the longest prefix.
fn rule_for<'r>(rules: &'r [Arc<UpstreamRule>], name: &RepositoryName) -> Option<&'r Arc<UpstreamRule>> {
    let matching = rules.iter().filter(|rule| rule.record.prefix.contains(name));
    matching.max_by_key(|rule| rule.record.prefix.specificity())
}

impl ControlPlane {
    /// Creates a rule.
    #[tracing::instrument(name = "cache_rule.create", skip_all, fields(rule.prefix = %new.prefix))]
    pub async fn create_cache_rule(
        &self,
        granted: &Granted<kinds::CreatePullThroughCacheRule>,
        new: NewCacheRule,
    ) -> Result<CacheRuleRecord, PutCacheRuleError> {
        let (account, prefix) = (granted.resource().clone(), new.prefix);
        let is_known = |name: &String| UPSTREAM_REGISTRIES.contains(&name.as_str());
        if !new.upstream_registry.as_ref().is_none_or(is_known) {
            return Err(CacheRuleSettingsError::UpstreamRegistry.into());
        }
        let upstream_prefix = new.upstream_prefix.unwrap_or_else(RepositoryPrefix::root);
        if prefix.is_root() && !upstream_prefix.is_root() {
            return Err(CacheRuleSettingsError::UpstreamPrefix.into());
        }
        let freshness = checked_freshness(new.tag_freshness_seconds.unwrap_or(USUAL_TAG_FRESHNESS_SECONDS))?;
        let now = self.stored_now();
        let rule = CacheRuleRecord {
            credential: self.sealed_credential(&account, &prefix, new.credential)?,
            account: account.clone(),
            prefix: prefix.clone(),
            upstream: new.upstream,
            upstream_registry: new.upstream_registry,
            upstream_prefix,
            tag_freshness_seconds: freshness,
            mirror: new.mirror.map(|settings| MirrorRecord::new(settings, now)),
            created_at: now,
            updated_at: now,
            version: 0,
        };
        if let Some(mirror) = &rule.mirror {
            check_mirror(&rule, &mirror.settings)?;
        }
        let created = self.store().create_cache_rule(&rule).await;
        self.upstreams().clear();
        created.map_err(|error| match error {
            hythe_meta::CreateCacheRuleError::AlreadyExists => PutCacheRuleError::AlreadyExists(prefix, account),
            hythe_meta::CreateCacheRuleError::LimitExceeded => PutCacheRuleError::LimitExceeded(account),
            hythe_meta::CreateCacheRuleError::Store(error) => error.into(),
        })
    }

    /// Lists the rules of the account by prefix.
    #[tracing::instrument(name = "cache_rule.list", skip_all, fields(account.id = %granted.resource()))]
    pub async fn cache_rules(
        &self,
        granted: &Granted<kinds::DescribePullThroughCacheRules>,
        after: Option<RepositoryPrefix>,
        limit: usize,
    ) -> Result<Page<CacheRuleRecord, RepositoryPrefix>, StoreError> {
        let found = self
            .store()
            .cache_rules(granted.resource(), after.as_ref(), limit + 1)
            .await?;
        Ok(Page::of(found, limit, |rule| rule.prefix.clone()))
    }

    /// Describes a rule.
    #[tracing::instrument(name = "cache_rule.describe", skip_all, fields(rule.prefix = %prefix))]
    pub async fn cache_rule(
        &self,
        granted: &Granted<kinds::DescribePullThroughCacheRules>,
        prefix: &RepositoryPrefix,
    ) -> Result<CacheRuleRecord, CacheRuleError> {
        self.known_cache_rule(granted.resource(), prefix).await
    }

    /// Changes a rule.
    #[tracing::instrument(name = "cache_rule.update", skip_all, fields(rule.prefix = %prefix))]
    pub async fn update_cache_rule(
        &self,
        granted: &Granted<kinds::UpdatePullThroughCacheRule>,
        prefix: &RepositoryPrefix,
        change: CacheRuleChange,
        expected_version: Option<i64>,
    ) -> Result<CacheRuleRecord, PutCacheRuleError> {
        let account = granted.resource();
        if change.credential.is_none() && change.tag_freshness_seconds.is_none() && change.mirror.is_none() {
            return Err(PutCacheRuleError::Nothing);
        }
        let unknown = || UnknownCacheRule(prefix.clone(), account.clone());
        for _ in 0..MAX_ATTEMPTS {
            let found = self.store().cache_rule(account, prefix).await?.ok_or_else(unknown)?;
            if expected_version.is_some_and(|version| version != found.version) {
                break;
            }
            if let Some(Some(settings)) = &change.mirror {
                check_mirror(&found, settings)?;
            }
            let credential = match change.credential.clone() {
                Some(credential) => self.sealed_credential(account, prefix, credential)?,
                None => found.credential,
            };
            let freshness = checked_freshness(change.tag_freshness_seconds.unwrap_or(found.tag_freshness_seconds))?;
            let update = CacheRuleUpdate {
                credential,
                tag_freshness_seconds: freshness,
                mirror: change.mirror.clone(),
            };
            let now = self.stored_now();
            let updated = self
                .store()
                .update_cache_rule(account, prefix, update, now, found.version)
                .await;
            self.upstreams().clear();
            match updated {
                Ok(updated) => return Ok(updated),
                Err(ChangeCacheRuleError::VersionMismatch) => {}
                Err(ChangeCacheRuleError::Unknown) => return Err(unknown().into()),
                Err(ChangeCacheRuleError::Store(error)) => return Err(error.into()),
            }
        }
        Err(PutCacheRuleError::VersionMismatch)
    }

    /// Deletes a rule. What came by it stays.
    #[tracing::instrument(name = "cache_rule.delete", skip_all, fields(rule.prefix = %prefix))]
    pub async fn delete_cache_rule(
        &self,
        granted: &Granted<kinds::DeletePullThroughCacheRule>,
        prefix: &RepositoryPrefix,
        expected_version: Option<i64>,
    ) -> Result<CacheRuleRecord, CacheRuleError> {
        let account = granted.resource();
        let deleted = self.store().delete_cache_rule(account, prefix, expected_version).await;
        self.upstreams().clear();
        deleted.map_err(|error| match error {
            ChangeCacheRuleError::Unknown => UnknownCacheRule(prefix.clone(), account.clone()).into(),
            ChangeCacheRuleError::VersionMismatch => CacheRuleError::VersionMismatch,
            ChangeCacheRuleError::Store(error) => error.into(),
        })
    }

    /// Asks the upstream of a rule whether it can be used; the second part says why not.
    #[tracing::instrument(name = "cache_rule.validate", skip_all, fields(rule.prefix = %prefix))]
    pub async fn validate_cache_rule(
        &self,
        granted: &Granted<kinds::ValidatePullThroughCacheRule>,
        prefix: &RepositoryPrefix,
    ) -> Result<(CacheRuleRecord, Option<String>), CacheRuleError> {
        let record = self.known_cache_rule(granted.resource(), prefix).await?;
        let rule = self.unsealed(record);
        let failure = match (&rule, self.upstream_probe()) {
            (Ok(rule), Some(probe)) => probe.probe(&rule.record.upstream, rule.credential.as_ref()).await.err(),
            (Ok(_), None) => Some("this process reaches no other registries".into()),
            (Err(_), _) => Some("the credential was sealed with another master key: set it anew".into()),
        };
        let record = match rule {
            Ok(rule) => rule.record,
            Err(record) => *record,
        };
        Ok((record, failure))
    }

    /// Lets the upstream be asked at the next pull of a tag, or of all tags of a repository, and about what refers to their images;
    /// says how many tags that are.
    #[tracing::instrument(name = "cache_rule.refresh", skip_all, fields(repository.name = %granted.resource().name))]
    pub async fn refresh_upstream(
        &self,
        granted: &Granted<kinds::BatchImportUpstreamImage>,
        tag: Option<&Tag>,
    ) -> Result<u64, CacheRuleError> {
        let path = granted.resource();
        if self.upstream_rule(path).await?.is_none() {
            return Err(CacheRuleError::NotCovered(path.name.clone(), path.account.clone()));
        }
        // First what refers to images: which are meant by a tag is in its row.
        self.store().forget_upstream_referrers(path, tag).await?;
        Ok(self.store().forget_upstream_tags(path, tag).await?)
    }

    /// A rule with its secret, as it is stored now. One whose secret cannot be read is asked without.
    pub async fn stored_upstream_rule(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
    ) -> Result<Option<UpstreamRule>, StoreError> {
        let found = self.store().cache_rule(account, prefix).await?;
        Ok(found.map(|record| self.usable(record)))
    }

    /// The rule that a repository comes by, if that can be said without asking the store.
    #[must_use]
    pub fn remembered_upstream(&self, path: &RepositoryPath) -> Option<Option<Arc<UpstreamRule>>> {
        let rules = self.upstreams().get(&path.account, self.now()).ok()?;
        Some(rule_for(&rules, &path.name).cloned())
    }

    /// The rule that a repository comes by, if there is one.
    pub async fn upstream_rule(&self, path: &RepositoryPath) -> Result<Option<Arc<UpstreamRule>>, StoreError> {
        let now = self.now();
        let rules = match self.upstreams().get(&path.account, now) {
            Ok(rules) => rules,
            Err(generation) => {
                let found = self
                    .store()
                    .cache_rules(&path.account, None, MAX_CACHE_RULES_PER_ACCOUNT)
                    .await?;
                let mut rules = Vec::with_capacity(found.len());
                for record in found {
                    rules.push(Arc::new(self.usable(record)));
                }
                let rules: Arc<[Arc<UpstreamRule>]> = rules.into();
                self.upstreams()
                    .put(generation, path.account.clone(), Arc::clone(&rules), now);
                rules
            }
        };
        Ok(rule_for(&rules, &path.name).cloned())
    }

    async fn known_cache_rule(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
    ) -> Result<CacheRuleRecord, CacheRuleError> {
        let found = self.store().cache_rule(account, prefix).await?;
        Ok(found.ok_or_else(|| UnknownCacheRule(prefix.clone(), account.clone()))?)
    }

    fn sealed_credential(
        &self,
        account: &AccountId,
        prefix: &RepositoryPrefix,
        credential: Option<UpstreamCredential>,
    ) -> Result<Option<SealedCredential>, PutCacheRuleError> {
        let Some(credential) = credential else { return Ok(None) };
        let is_text =
            |text: &str| (1..=MAX_CREDENTIAL_BYTES).contains(&text.len()) && !text.chars().any(char::is_control);
        let token = credential.access_token.expose();
        if !is_text(&credential.username) || credential.username.contains(':') || !is_text(token) {
            return Err(CacheRuleSettingsError::Credential.into());
        }
        let sealed = self
            .gate()
            .keys()
            .seal(&seal_id(account, prefix), &credential.access_token)?;
        Ok(Some(SealedCredential {
            username: credential.username,
            sealed_token: sealed,
        }))
    }

    /// The rule with its secret. One whose secret cannot be read is asked without, and says so when it is validated.
    fn usable(&self, record: CacheRuleRecord) -> UpstreamRule {
        self.unsealed(record).unwrap_or_else(|record| UpstreamRule {
            record: *record,
            credential: None,
        })
    }

    /// The rule with its secret, or itself if that was not sealed here.
    fn unsealed(&self, record: CacheRuleRecord) -> Result<UpstreamRule, Box<CacheRuleRecord>> {
        let credential = match &record.credential {
            None => None,
            Some(sealed) => {
                let id = seal_id(&record.account, &record.prefix);
                let opened = self.gate().keys().unseal(&id, &sealed.sealed_token);
                let text = opened.and_then(|opened| str::from_utf8(&opened).map(str::to_owned).ok());
                match text {
                    Some(text) => Some(UpstreamCredential {
                        username: sealed.username.clone(),
                        access_token: Secret::new(text),
                    }),
                    None => return Err(Box::new(record)),
                }
            }
        };
        Ok(UpstreamRule { record, credential })
    }
}

/// What a secret is bound to: a row cannot be given that of another one.
fn seal_id(account: &AccountId, prefix: &RepositoryPrefix) -> String {
    format!("pull-through-cache-rule/{account}/{prefix}")
}

fn check_mirror(rule: &CacheRuleRecord, settings: &MirrorSettings) -> Result<(), CacheRuleSettingsError> {
    settings.check()?;
    if settings.named().all(|name| rule.name_here(name).is_some()) {
        return Ok(());
    }
    Err(CacheRuleSettingsError::MirrorRepository)
}

fn checked_freshness(seconds: u64) -> Result<u64, CacheRuleSettingsError> {
    if seconds > MAX_TAG_FRESHNESS_SECONDS {
        return Err(CacheRuleSettingsError::TagFreshness);
    }
    Ok(seconds)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn rule(prefix: &str, upstream_prefix: &str) -> Arc<UpstreamRule> {
        Arc::new(UpstreamRule {
            record: CacheRuleRecord {
                account: AccountId::default(),
                prefix: prefix.parse().unwrap(),
                upstream: "registry.example.com".parse().unwrap(),
                upstream_registry: None,
                upstream_prefix: upstream_prefix.parse().unwrap(),
                credential: None,
                tag_freshness_seconds: 0,
                mirror: None,
                created_at: Timestamp::UNIX_EPOCH,
                updated_at: Timestamp::UNIX_EPOCH,
                version: 0,
            },
            credential: None,
        })
    }

    #[test]
    fn names_are_mapped_by_the_longest_prefix() {
        let rules = [
            rule("ecr-public", "ROOT"),
            rule("team-a", "team-a"),
            rule("my-app", "upstream-app"),
            rule("my-app/deep", "other"),
        ];
        // Name here, name upstream (ECR, "Pull through cache": customising repository prefixes).
        let cases = [
            ("ecr-public/my-app/image1", Some("my-app/image1")),
            ("team-a/x", Some("team-a/x")),
            ("my-app/x", Some("upstream-app/x")),
            ("my-app/deep/x", Some("other/x")),
            ("my-app/deep", Some("upstream-app/deep")),
            ("ecr-public", None),
            ("elsewhere/x", None),
        ];
        for (name, wanted) in cases {
            let name: RepositoryName = name.parse().unwrap();
            let found = rule_for(&rules, &name).and_then(|rule| rule.name_upstream(&name));
            assert_eq!(found.as_deref(), wanted, "{name}");
            // And back.
            let back = wanted
                .zip(rule_for(&rules, &name))
                .map(|(there, rule)| rule.record.name_here(there));
            assert_eq!(back, wanted.map(|_| Some(name)));
        }
        let root = [rule("ROOT", "ROOT"), rule("team-a", "ROOT")];
        for (name, wanted) in [("my-app/image1", "my-app/image1"), ("team-a/x", "x")] {
            let name: RepositoryName = name.parse().unwrap();
            let found = rule_for(&root, &name).and_then(|rule| rule.name_upstream(&name));
            assert_eq!(found.as_deref(), Some(wanted), "{name}");
        }
        for (there, wanted) in [
            ("team-a", None),
            ("other/x", None),
            ("team-a/X", None),
            ("team-a/x", Some("team-a/x")),
        ] {
            let here = rule("team-a", "team-a").record.name_here(there);
            assert_eq!(here.as_ref().map(RepositoryName::as_str), wanted, "{there}");
        }
    }
}
