// SPDX-License-Identifier: Apache-2.0
//! `hythe_pull_through_cache_rule`.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_client::wire::Secret;
use hythe_model::{AccountId, MirrorSettings, NamePattern, ParseError, RegistryUrl, RepositoryPrefix, TagPattern};
use hythe_wire::{CreatePullThroughCacheRule, ListQuery, PullThroughCacheCredential, UpdatePullThroughCacheRule, code};
use tfplugin::{Attr, Diagnostics, Object, Path, Result, Schema, Set};

use crate::argument::{invalid, parsed, parses};
use crate::noun::{Api, Listing, Noun, Outcome, fill};

/// ECR's names of the kinds of registries.
const KINDS: [&str; 9] = [
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
/// A day (ECR, "Pull through cache").
const USUAL_FRESHNESS: u64 = 86_400;
const MAX_FRESHNESS: u64 = 31_536_000;

/// What comes without a pull, and how often.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct MirrorModel {
    /// How many minutes lie between two runs, give or take a tenth: 1 to 43200 (30 days).
    #[tf(required)]
    pub interval_minutes: Attr<u64>,
    /// Which repositories, as the other registry names them: 1 to 100 names, and patterns in which `*` stands for any characters.
    /// For patterns the other registry must list its repositories.
    #[tf(required)]
    pub repositories: Attr<Set<String>>,
    /// Which tags: up to 50 patterns. Without it, all.
    #[tf(optional)]
    pub tags: Attr<Set<String>>,
    /// Which tags not, whatever `tags` says: up to 50 patterns.
    #[tf(optional)]
    pub exclude_tags: Attr<Set<String>>,
    /// Of the tags that are versions, such as `1.10`, only so many of each repository: the highest ones. Tags that are no versions
    /// come besides. Without it, all.
    #[tf(optional)]
    pub newest_tags: Attr<u64>,
    /// Whether tags that came from the other registry are removed here when they are gone there.
    #[tf(optional, default = false)]
    pub remove_vanished: Attr<bool>,
}

/// Manages a pull-through cache rule: repositories below a prefix come from another registry, and what was pulled is kept.
///
/// With `mirror`, images come on a schedule, too, before anybody pulls them.
///
/// Credential and mirror can be set, changed and removed in place. Its token is in neither plan nor state: raise
/// `access_token_wo_version` to send another one.
#[derive(Clone, Debug, Default, Schema)]
pub struct PullThroughCacheRule {
    /// How the names of the repositories begin, without a `/` at the end: `hub` is for `hub/library/alpine`. `ROOT` is for all
    /// repositories that no other rule is for.
    #[tf(required, replace, validate = parses::<RepositoryPrefix>)]
    pub ecr_repository_prefix: Attr<String>,
    /// The other registry: its host, with its port if it has one, such as `registry-1.docker.io`. With `http://` in front if it is
    /// without TLS, which the operator of the server has to allow.
    #[tf(required, replace, validate = registry)]
    pub upstream_registry_url: Attr<String>,
    /// What takes the place of the prefix in names there; `ROOT` for nothing.
    #[tf(optional, replace, default = "ROOT", validate = parses::<RepositoryPrefix>)]
    pub upstream_repository_prefix: Attr<String>,
    /// What kind of registry it is, in ECR's words; it changes nothing.
    #[tf(optional, replace, one_of = KINDS)]
    pub upstream_registry: Attr<String>,
    /// Who asks the other registry; without, anybody.
    #[tf(optional)]
    pub username: Attr<String>,
    /// The token or password of `username`. The server keeps it sealed and never shows it. An import cannot verify it.
    #[tf(optional, sensitive, write_only)]
    pub access_token_wo: Attr<String>,
    /// Says when there is a new token: a change sends it.
    #[tf(optional)]
    pub access_token_wo_version: Attr<u64>,
    /// For how many seconds an answer about a tag counts before the other registry is asked again.
    #[tf(optional, default = USUAL_FRESHNESS)]
    pub tag_freshness_seconds: Attr<u64>,
    /// What comes without a pull, and how often; without, nothing.
    #[tf(optional)]
    pub mirror: Attr<MirrorModel>,
    /// The registry whose repositories are meant: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When the rule was created (RFC 3339).
    #[tf(computed, stable)]
    pub created_at: Attr<String>,
    /// When the rule was last changed (RFC 3339).
    #[tf(computed)]
    pub updated_at: Attr<String>,
}

/// Lists the rules of the registry, by prefix.
#[derive(Clone, Debug, Default, Schema)]
pub struct PullThroughCacheRules {}

/// One spelling for one registry: `https://` is what is meant without, and would come back without.
fn registry(text: &str) -> Result<(), String> {
    text.parse::<RegistryUrl>().map_err(|error| error.to_string())?;
    if text.starts_with("https://") {
        return Err("Leave `https://` away: it is what is meant without.".into());
    }
    Ok(())
}

/// The patterns of a set, sorted: their order means nothing.
fn patterns<P: std::str::FromStr<Err = ParseError> + Ord>(name: &str, written: &Attr<Set<String>>) -> Result<Vec<P>> {
    let mut patterns = Vec::new();
    for text in written.known().into_iter().flatten() {
        let pattern = text.parse::<P>();
        patterns.push(pattern.map_err(|error| invalid(Path::new("mirror").attribute(name), error.to_string()))?);
    }
    patterns.sort();
    Ok(patterns)
}

/// What the server says of patterns, where `written` was there before: it does not tell an empty set from none.
fn observed_patterns<P: ToString>(written: Option<&Attr<Set<String>>>, server: &[P]) -> Attr<Set<String>> {
    if server.is_empty() && written.is_none_or(|written| written.known().is_none()) {
        return Attr::Null;
    }
    Attr::Known(server.iter().map(ToString::to_string).collect())
}

impl MirrorModel {
    fn observed(written: Option<&Self>, server: &MirrorSettings) -> Self {
        Self {
            interval_minutes: server.interval_minutes.into(),
            repositories: Attr::Known(server.repositories.iter().map(ToString::to_string).collect()),
            tags: observed_patterns(written.map(|it| &it.tags), &server.tags),
            exclude_tags: observed_patterns(written.map(|it| &it.exclude_tags), &server.exclude_tags),
            newest_tags: server.newest_tags.into(),
            remove_vanished: server.remove_vanished.into(),
        }
    }

    fn settings(&self) -> Result<MirrorSettings> {
        Ok(MirrorSettings {
            interval_minutes: *self.interval_minutes.required("interval_minutes")?,
            repositories: patterns::<NamePattern>("repositories", &self.repositories)?,
            tags: patterns::<TagPattern>("tags", &self.tags)?,
            exclude_tags: patterns::<TagPattern>("exclude_tags", &self.exclude_tags)?,
            newest_tags: self.newest_tags.known().copied(),
            remove_vanished: self.remove_vanished.known().copied().unwrap_or_default(),
        })
    }

    fn is_settled(&self) -> bool {
        let is_set = |set: &Attr<Set<String>>| !set.is_unknown();
        self.interval_minutes.known().is_some()
            && self.repositories.known().is_some()
            && is_set(&self.tags)
            && is_set(&self.exclude_tags)
            && !self.newest_tags.is_unknown()
    }

    /// What the server would say about it, at the attribute that it is about.
    fn check(&self) -> Diagnostics {
        use hythe_model::MirrorSettingsError as Wrong;
        let mut diagnostics = Diagnostics::default();
        let at = |name: &str| Path::new("mirror").attribute(name);
        if !self.is_settled() {
            return diagnostics;
        }
        match self.settings() {
            Err(error) => diagnostics.extend(error),
            Ok(settings) => {
                if let Err(error) = settings.check() {
                    let name = match error {
                        Wrong::Interval => "interval_minutes",
                        Wrong::Repositories => "repositories",
                        Wrong::Tags => "tags",
                        Wrong::ExcludeTags => "exclude_tags",
                        Wrong::NewestTags => "newest_tags",
                    };
                    diagnostics.push(invalid(at(name), format!("{error}.")));
                }
            }
        }
        diagnostics
    }
}

impl PullThroughCacheRule {
    fn observed(mut self, server: hythe_wire::PullThroughCacheRule) -> Self {
        self.ecr_repository_prefix = server.ecr_repository_prefix.to_string().into();
        self.upstream_registry_url = server.upstream_registry_url.to_string().into();
        self.upstream_repository_prefix = server.upstream_repository_prefix.to_string().into();
        self.upstream_registry = server.upstream_registry.into();
        self.username = server.credential.map(|credential| credential.username).into();
        self.tag_freshness_seconds = server.tag_freshness_seconds.into();
        self.mirror = match &server.mirror {
            Some(mirror) => Attr::Known(MirrorModel::observed(self.mirror.known(), mirror)),
            None => Attr::Null,
        };
        self.registry_id = server.registry_id.to_string().into();
        self.created_at = server.created_at.to_string().into();
        self.updated_at = server.updated_at.to_string().into();
        self
    }

    /// The credential, with the token that only the configuration has.
    fn credential(&self, config: &Self) -> Result<Option<PullThroughCacheCredential>> {
        let Some(username) = self.username.known() else {
            return Ok(None);
        };
        let token = config.access_token_wo.required("access_token_wo")?;
        Ok(Some(PullThroughCacheCredential {
            username: username.clone(),
            access_token: Secret::new(token.clone()),
        }))
    }
}

impl Noun for PullThroughCacheRule {
    const NAME: &'static str = "pull_through_cache_rule";
    const A_NOUN: &'static str = "a pull-through cache rule";
    const KEY: &'static [&'static str] = &["ecr_repository_prefix"];
    const GONE: &'static [&'static str] = &[code::CACHE_RULE_NOT_FOUND];
    const TAKEN: &'static [&'static str] = &[code::CACHE_RULE_ALREADY_EXISTS];
    const UNREAD: &'static [&'static str] = &["access_token_wo_version"];
    type Filter = PullThroughCacheRules;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let prefix: RepositoryPrefix = parsed("ecr_repository_prefix", &self.ecr_repository_prefix)?;
        let found = api.send(|| api.client().pull_through_cache_rule(&prefix)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, config: Self, api: &Api<'_>) -> Outcome<Self> {
        let request = CreatePullThroughCacheRule {
            ecr_repository_prefix: parsed("ecr_repository_prefix", &self.ecr_repository_prefix)?,
            upstream_registry_url: parsed("upstream_registry_url", &self.upstream_registry_url)?,
            upstream_registry: self.upstream_registry.known().cloned(),
            upstream_repository_prefix: Some(parsed("upstream_repository_prefix", &self.upstream_repository_prefix)?),
            credential: self.credential(&config)?,
            tag_freshness_seconds: self.tag_freshness_seconds.known().copied(),
            mirror: self.mirror.known().map(MirrorModel::settings).transpose()?,
        };
        let made = api
            .send_once(|| api.client().create_pull_through_cache_rule(&request))
            .await?;
        Ok(self.observed(made.value))
    }

    async fn change(self, prior: Self, config: Self, api: &Api<'_>) -> Outcome<Self> {
        let prefix: RepositoryPrefix = parsed("ecr_repository_prefix", &prior.ecr_repository_prefix)?;
        let mut request = UpdatePullThroughCacheRule::default();
        // An imported rule has no version yet: the first one says nothing about the token.
        let is_new_token = prior.access_token_wo_version.known().is_some()
            && self.access_token_wo_version != prior.access_token_wo_version;
        if self.username != prior.username || (is_new_token && self.username.known().is_some()) {
            request.credential = self.credential(&config)?;
            request.remove_credential = request.credential.is_none();
        }
        if self.tag_freshness_seconds != prior.tag_freshness_seconds {
            request.tag_freshness_seconds = self.tag_freshness_seconds.known().copied();
        }
        if self.mirror != prior.mirror {
            request.mirror = self.mirror.known().map(MirrorModel::settings).transpose()?;
            request.remove_mirror = request.mirror.is_none();
        }
        if request == UpdatePullThroughCacheRule::default() {
            return self.fetch(api).await;
        }
        let changed = api
            .send(|| api.client().update_pull_through_cache_rule(&prefix, &request, None))
            .await?;
        Ok(self.observed(changed.value))
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let prefix: RepositoryPrefix = parsed("ecr_repository_prefix", &self.ecr_repository_prefix)?;
        api.send(|| api.client().delete_pull_through_cache_rule(&prefix, None))
            .await?;
        Ok(())
    }

    fn list(_: PullThroughCacheRules, client: &Client) -> Result<Listing<Self>> {
        let rules = client.all_pull_through_cache_rules(ListQuery::default());
        Ok(rules.map_ok(|server| Self::default().observed(server)).boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::default();
        let is_given = |attr: &Attr<String>| attr.known().is_some() || attr.is_unknown();
        if is_given(&config.username) != is_given(&config.access_token_wo) {
            let place = Path::new("username");
            diagnostics.push(invalid(place, "`username` and `access_token_wo` go together."));
        }
        if config
            .tag_freshness_seconds
            .known()
            .is_some_and(|it| *it > MAX_FRESHNESS)
        {
            let place = Path::new("tag_freshness_seconds");
            diagnostics.push(invalid(place, format!("It must be at most {MAX_FRESHNESS}.")));
        }
        if let Some(mirror) = config.mirror.known() {
            diagnostics.extend(mirror.check());
        }
        if config.ecr_repository_prefix.as_str() == Some("ROOT")
            && config
                .upstream_repository_prefix
                .as_str()
                .is_some_and(|it| it != "ROOT")
        {
            let place = Path::new("upstream_repository_prefix");
            diagnostics.push(invalid(place, "It must be `ROOT` if `ecr_repository_prefix` is."));
        }
        diagnostics
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }
}
