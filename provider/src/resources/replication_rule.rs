// SPDX-License-Identifier: Apache-2.0
//! `hythe_replication_rule`, and what rules look like.

use futures::{StreamExt as _, TryStreamExt as _};
use hythe_client::Client;
use hythe_model::{AccountId, Region, ReplicatedSetting};
use hythe_rules::replication::{
    MAX_REPLICATION_DESTINATIONS, MAX_REPOSITORY_FILTERS, ReplicationRuleError, check_filter, check_rule_name,
};
use hythe_wire::{Enabled, ListQuery, NamedReplicationRule, ReplicationTarget, RepositoryFilterType};
use tfplugin::{Attr, Diagnostics, Object, Path, Result, Schema, Set};

use crate::argument::{invalid, parsed, parses};
use crate::noun::{Api, Listing, Noun, Outcome, fill};

pub(super) const PREFIX_MATCH: &str = "PREFIX_MATCH";

/// A registry to replicate to.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct DestinationModel {
    /// The name of a `hythe_replication_destination`.
    #[tf(required, validate = parses::<Region>)]
    pub region: Attr<String>,
    /// The account there: 12 digits. For destinations of kind `OCI` the own account.
    #[tf(required, validate = parses::<AccountId>)]
    pub registry_id: Attr<String>,
}

/// Which repositories a rule is for.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct FilterModel {
    /// How their names begin: 2 to 256 characters.
    #[tf(required, validate = check_filter)]
    pub filter: Attr<String>,
    /// How the filter is read.
    #[tf(optional, default = PREFIX_MATCH, one_of = [PREFIX_MATCH])]
    pub filter_type: Attr<String>,
}

/// Manages a rule of replication by itself, beside the document of the registry: several configurations can each have their
/// own rules in one registry.
#[derive(Clone, Debug, Default, Schema)]
pub struct ReplicationRule {
    /// What the rule is called: 1 to 128 letters, digits and `._-`.
    #[tf(required, replace, validate = check_rule_name)]
    pub name: Attr<String>,
    /// Where images go: 1 to 25 registries.
    #[tf(required)]
    pub destination: Attr<Set<DestinationModel>>,
    /// Of which repositories: of those that one of these is for, or of all if it is left out.
    #[tf(optional)]
    pub repository_filter: Attr<Set<FilterModel>>,
    /// Whether what is deleted here is deleted there.
    #[tf(optional, default = false)]
    pub delete_replication: Attr<bool>,
    /// Whether images go on that were replicated here themselves.
    #[tf(optional, default = false)]
    pub replica_replication: Attr<bool>,
    /// What of the repositories goes there beside their images; nothing if it is left out. The destinations need a
    /// `control_endpoint`.
    #[tf(optional, one_of = ReplicatedSetting::ALL.map(ReplicatedSetting::as_str))]
    pub replicated_settings: Attr<Set<String>>,
    /// The registry: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
    /// When the rule was last put (RFC 3339).
    #[tf(computed)]
    pub updated_at: Attr<String>,
}

/// Lists the rules of the registry that stand by themselves, by name.
#[derive(Clone, Debug, Default, Schema)]
pub struct ReplicationRules {}

/// What the server would say about the destinations and the filters of the rule at `place`, as far as they are known.
pub(super) fn check_rule(
    place: &Path,
    destinations: &Attr<Set<DestinationModel>>,
    filters: &Attr<Set<FilterModel>>,
) -> Diagnostics {
    let mut diagnostics = Diagnostics::new();
    let mut wrong = |name: &str, error: ReplicationRuleError| {
        diagnostics.push(invalid(place.clone().attribute(name), format!("{error}.")));
    };
    match destinations.known().map(|destinations| destinations.len()) {
        Some(0) => wrong("destination", ReplicationRuleError::Destinations),
        Some(count) if count > MAX_REPLICATION_DESTINATIONS => {
            wrong("destination", ReplicationRuleError::TooManyDestinations);
        }
        _ => {}
    }
    if filters
        .known()
        .is_some_and(|filters| filters.len() > MAX_REPOSITORY_FILTERS)
    {
        wrong("repository_filter", ReplicationRuleError::TooManyFilters);
    }
    diagnostics
}

pub(super) fn targets_of(destinations: &[DestinationModel]) -> Result<Vec<ReplicationTarget>> {
    let target = |destination: &DestinationModel| {
        Ok(ReplicationTarget {
            region: parsed("region", &destination.region)?,
            registry_id: Some(parsed("registry_id", &destination.registry_id)?),
        })
    };
    destinations.iter().map(target).collect()
}

pub(super) fn filters_of(filters: &[FilterModel]) -> Result<Vec<hythe_wire::RepositoryFilter>> {
    let filter = |filter: &FilterModel| {
        Ok(hythe_wire::RepositoryFilter {
            filter: filter.filter.required("filter")?.clone(),
            filter_type: RepositoryFilterType::PrefixMatch,
        })
    };
    filters.iter().map(filter).collect()
}

pub(super) fn destination(target: ReplicationTarget) -> DestinationModel {
    DestinationModel {
        region: target.region.to_string().into(),
        registry_id: target.registry_id.map(|account| account.to_string()).into(),
    }
}

pub(super) fn filter(filter: hythe_wire::RepositoryFilter) -> FilterModel {
    FilterModel {
        filter: filter.filter.into(),
        filter_type: PREFIX_MATCH.into(),
    }
}

pub(super) fn enabled(attribute: &Attr<bool>) -> Option<Enabled> {
    attribute.unwrap_or_default().then_some(Enabled { enabled: true })
}

pub(super) fn is_enabled(member: Option<Enabled>) -> Attr<bool> {
    member.is_some_and(|it| it.enabled).into()
}

pub(super) fn settings_of(names: &Attr<Set<String>>) -> Vec<ReplicatedSetting> {
    let names = names.known().map_or(&[][..], |names| &names[..]);
    let is_named = |setting: &ReplicatedSetting| names.iter().any(|name| name == setting.as_str());
    ReplicatedSetting::ALL.into_iter().filter(is_named).collect()
}

/// What the server says, in place of what was there before: the server does not tell an empty set from none.
pub(super) fn settings(before: Option<&Attr<Set<String>>>, settings: &[ReplicatedSetting]) -> Attr<Set<String>> {
    let was_empty_set = before.and_then(Attr::known).is_some_and(|before| before.is_empty());
    if settings.is_empty() && !was_empty_set {
        return Attr::Null;
    }
    Attr::Known(settings.iter().map(|setting| setting.as_str().to_owned()).collect())
}

impl ReplicationRule {
    fn observed(mut self, server: NamedReplicationRule) -> Self {
        let rule = server.rule;
        self.name = server.rule_name.into();
        self.destination = Attr::Known(rule.destinations.into_iter().map(destination).collect());
        // The server does not tell an empty set from none.
        if !rule.repository_filters.is_empty() || self.repository_filter.known().is_none() {
            self.repository_filter = if rule.repository_filters.is_empty() {
                Attr::Null
            } else {
                Attr::Known(rule.repository_filters.into_iter().map(filter).collect())
            };
        } else {
            self.repository_filter = Attr::Known(Set::default());
        }
        self.delete_replication = is_enabled(rule.delete_replication);
        self.replica_replication = is_enabled(rule.replica_replication);
        self.replicated_settings = settings(Some(&self.replicated_settings), &rule.replicated_settings);
        self.registry_id = server.registry_id.to_string().into();
        self.updated_at = server.updated_at.to_string().into();
        self
    }
}

impl Noun for ReplicationRule {
    const NAME: &'static str = "replication_rule";
    const A_NOUN: &'static str = "a replication rule";
    const KEY: &'static [&'static str] = &["name"];
    const REPLACES: bool = true;
    type Filter = ReplicationRules;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?;
        let found = api.send(|| api.client().replication_rule(name)).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let name = self.name.required("name")?;
        let filters = self.repository_filter.known().map_or(&[][..], |filters| &filters[..]);
        let rule = hythe_wire::ReplicationRule {
            destinations: targets_of(self.destination.required("destination")?)?,
            repository_filters: filters_of(filters)?,
            delete_replication: enabled(&self.delete_replication),
            replica_replication: enabled(&self.replica_replication),
            replicated_settings: settings_of(&self.replicated_settings),
        };
        let put = api
            .send(|| api.client().put_replication_rule(name, &rule, None))
            .await?;
        Ok(self.observed(put.value))
    }

    async fn change(self, _: Self, config: Self, api: &Api<'_>) -> Outcome<Self> {
        self.make(config, api).await
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        let name = self.name.required("name")?;
        api.send(|| api.client().delete_replication_rule(name, None)).await?;
        Ok(())
    }

    fn list(_: ReplicationRules, client: &Client) -> Result<Listing<Self>> {
        let rules = client.all_replication_rules(ListQuery::default());
        Ok(rules.map_ok(|server| Self::default().observed(server)).boxed())
    }

    fn validate(config: &Self) -> Diagnostics {
        check_rule(&Path::root(), &config.destination, &config.repository_filter)
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }
}
