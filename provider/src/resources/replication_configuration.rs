// SPDX-License-Identifier: Apache-2.0
//! `hythe_replication_configuration`: the document of a registry.

use futures::StreamExt as _;
use hythe_client::Client;
use hythe_model::{AccountId, ReplicatedSetting};
use hythe_rules::replication::{MAX_REPLICATION_RULES, ReplicationRuleError};
use hythe_wire::{RegistryReplication, ReplicationConfiguration as Document};
use tfplugin::{Attr, Diagnostics, Object, Path, Result, Schema, Set};

use super::replication_rule::{
    DestinationModel, FilterModel, check_rule, destination, enabled, filter, filters_of, is_enabled, settings,
    settings_of, targets_of,
};
use crate::argument::invalid;
use crate::noun::{Api, Listing, Noun, Outcome, fill};

/// A rule of the document.
#[derive(Clone, Debug, PartialEq, Object)]
pub struct RuleModel {
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
}

/// Manages the document with the replication rules of the registry.
///
/// There is one for each registry, and this resource has all of it. Where several configurations share a registry, give each
/// its `hythe_replication_rule`s instead: these stand beside the document.
#[derive(Clone, Debug, Default, Schema)]
pub struct ReplicationConfiguration {
    /// The rules: up to 25. What several say about one destination adds up.
    #[tf(required)]
    pub rule: Attr<Vec<RuleModel>>,
    /// The registry: the 12 digits of its account.
    #[tf(computed, stable)]
    pub registry_id: Attr<String>,
}

/// Finds the document of the registry.
#[derive(Clone, Debug, Default, Schema)]
pub struct ReplicationConfigurations {}

impl ReplicationConfiguration {
    fn observed(mut self, server: RegistryReplication) -> Self {
        let before = self.rule.known().cloned().unwrap_or_default();
        let rules = server.replication_configuration.rules.into_iter().enumerate();
        let rules = rules.map(|(number, rule)| {
            // The server does not tell an empty set from none.
            let is_empty_set = before
                .get(number)
                .is_some_and(|before| before.repository_filter.known().is_some_and(|it| it.is_empty()));
            let repository_filter = match (rule.repository_filters.is_empty(), is_empty_set) {
                (true, false) => Attr::Null,
                _ => Attr::Known(rule.repository_filters.into_iter().map(filter).collect()),
            };
            RuleModel {
                destination: Attr::Known(rule.destinations.into_iter().map(destination).collect()),
                repository_filter,
                delete_replication: is_enabled(rule.delete_replication),
                replica_replication: is_enabled(rule.replica_replication),
                replicated_settings: settings(
                    before.get(number).map(|before| &before.replicated_settings),
                    &rule.replicated_settings,
                ),
            }
        });
        self.rule = Attr::Known(rules.collect());
        self.registry_id = server.registry_id.to_string().into();
        self
    }

    async fn put(api: &Api<'_>, document: &Document) -> Outcome<RegistryReplication> {
        let put = api
            .send(|| api.client().put_replication_configuration(document, None))
            .await?;
        Ok(put.value)
    }

    fn document(&self) -> Result<Document> {
        let rule = |rule: &RuleModel| {
            let filters = rule.repository_filter.known().map_or(&[][..], |filters| &filters[..]);
            Ok(hythe_wire::ReplicationRule {
                destinations: targets_of(rule.destination.required("destination")?)?,
                repository_filters: filters_of(filters)?,
                delete_replication: enabled(&rule.delete_replication),
                replica_replication: enabled(&rule.replica_replication),
                replicated_settings: settings_of(&rule.replicated_settings),
            })
        };
        let rules = self.rule.required("rule")?;
        Ok(Document {
            rules: rules.iter().map(rule).collect::<Result<_>>()?,
        })
    }
}

impl Noun for ReplicationConfiguration {
    const NAME: &'static str = "replication_configuration";
    const A_NOUN: &'static str = "a replication configuration";
    const KEY: &'static [&'static str] = &["registry_id"];
    const GONE: &'static [&'static str] = &[];
    const REPLACES: bool = true;
    const IS_SINGLETON: bool = true;
    type Filter = ReplicationConfigurations;

    async fn fetch(self, api: &Api<'_>) -> Outcome<Self> {
        let found = api.send(|| api.client().replication_configuration()).await?;
        Ok(self.observed(found.value))
    }

    async fn make(self, _: Self, api: &Api<'_>) -> Outcome<Self> {
        let put = Self::put(api, &self.document()?).await?;
        Ok(self.observed(put))
    }

    async fn change(self, _: Self, config: Self, api: &Api<'_>) -> Outcome<Self> {
        self.make(config, api).await
    }

    async fn remove(self, api: &Api<'_>) -> Outcome<()> {
        Self::put(api, &Document::default()).await.map(drop)
    }

    fn list(_: ReplicationConfigurations, client: &Client) -> Result<Listing<Self>> {
        let client = client.clone();
        let ask = async move {
            let found = client.replication_configuration().await?;
            Ok(Self::default().observed(found.value))
        };
        Ok(futures::stream::once(ask).boxed())
    }

    fn is_default(&self) -> bool {
        self.rule.known().is_some_and(Vec::is_empty)
    }

    fn validate(config: &Self) -> Diagnostics {
        let mut diagnostics = Diagnostics::new();
        let rules = config.rule.known().map_or(&[][..], |rules| &rules[..]);
        if rules.len() > MAX_REPLICATION_RULES {
            let error = ReplicationRuleError::TooManyRules(MAX_REPLICATION_RULES);
            diagnostics.push(invalid(Path::new("rule"), format!("{error}.")));
        }
        for (number, rule) in rules.iter().enumerate() {
            let place = Path::new("rule").index(number);
            diagnostics.extend(check_rule(&place, &rule.destination, &rule.repository_filter));
        }
        diagnostics
    }

    fn predict(&mut self, account: &AccountId) {
        fill(&mut self.registry_id, account);
    }
}
