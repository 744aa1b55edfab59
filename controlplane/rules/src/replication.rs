// SPDX-License-Identifier: Apache-2.0
//! Where images are replicated to (ECR, "Private image replication").
//!
//! A rule is for repositories whose names begin with one of its filters, and for all if it has none. What several rules say
//! about one destination counts together. A replica goes on only by rules that say so, and never back to a registry that
//! it came by: so rings end.

use std::collections::{BTreeMap, BTreeSet};

use hythe_model::{ParseError, RegistryPlace, ReplicatedSetting, ReplicationPath, RepositoryName};
use serde::{Deserialize, Serialize};

/// The most rules of the document (ECR API, `ReplicationRuleList`).
pub const MAX_REPLICATION_RULES: usize = 25;
/// The most rules that stand by themselves, beside the document.
pub const MAX_NAMED_REPLICATION_RULES: usize = 100;
/// The most destinations of all rules together (ECR API, `ReplicationDestinationsList`).
pub const MAX_REPLICATION_DESTINATIONS: usize = 25;
/// The most filters of a rule (ECR API, `RepositoryFilterList`).
pub const MAX_REPOSITORY_FILTERS: usize = 100;
/// The least rate of a destination, in bytes each second: with less, a chunk would take longer than anybody waits.
pub const MIN_BANDWIDTH: u64 = 1024;

/// What rules want brought to one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Whether deletions go there too.
    pub deletes: bool,
    /// What of the repository goes there beside its images.
    pub settings: BTreeSet<ReplicatedSetting>,
}

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct ReplicationRule {
    /// Where to, as `region/account`.
    #[serde(with = "places")]
    pub destinations: Vec<RegistryPlace>,
    /// How the names of repositories begin; for all if there is none.
    #[serde(default)]
    pub filters: Vec<String>,
    /// Whether deletions go there too.
    #[serde(default)]
    pub deletes: bool,
    /// Whether replicas go there too, rather than only what was pushed here.
    #[serde(default)]
    pub chains: bool,
    /// What of repositories goes there beside their images.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub settings: BTreeSet<ReplicatedSetting>,
}

/// What is wrong with rules. The texts are ECR's where ECR has one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplicationRuleError {
    /// Too many rules.
    #[error("a replication configuration may have at most {0} rules")]
    TooManyRules(usize),
    /// No destination, or one twice.
    #[error("a replication rule must have 1 to {MAX_REPLICATION_DESTINATIONS} destinations, each once")]
    Destinations,
    /// Too many destinations in all.
    #[error("the rules of a registry may have at most {MAX_REPLICATION_DESTINATIONS} different destinations in all")]
    TooManyDestinations,
    /// A destination is the registry itself.
    #[error("Replication destination cannot be the same as the source registry")]
    SameRegistry,
    /// Too many filters.
    #[error("a replication rule may have at most {MAX_REPOSITORY_FILTERS} repository filters")]
    TooManyFilters,
    /// A filter that no name of a repository begins with.
    #[error(
        "the repository filter `{0}` is none: it must have 2 to 256 lower-case letters, digits and `._-/`, as a repository's name begins"
    )]
    Filter(String),
}

impl ReplicationRule {
    /// Says what is wrong with the rule in the registry `home`.
    pub fn check(&self, home: &RegistryPlace) -> Result<(), ReplicationRuleError> {
        let unique: BTreeSet<_> = self.destinations.iter().collect();
        if unique.is_empty() || unique.len() != self.destinations.len() {
            return Err(ReplicationRuleError::Destinations);
        }
        if unique.len() > MAX_REPLICATION_DESTINATIONS {
            return Err(ReplicationRuleError::TooManyDestinations);
        }
        if unique.contains(home) {
            return Err(ReplicationRuleError::SameRegistry);
        }
        if self.filters.len() > MAX_REPOSITORY_FILTERS {
            return Err(ReplicationRuleError::TooManyFilters);
        }
        self.filters.iter().try_for_each(|filter| check_filter(filter))
    }

    /// Whether the rule is for this repository.
    #[must_use]
    pub fn covers(&self, repository: &RepositoryName) -> bool {
        let is_start = |filter: &String| repository.as_str().starts_with(filter.as_str());
        self.filters.is_empty() || self.filters.iter().any(is_start)
    }
}

/// Says whether there are too many different destinations in all these rules.
pub fn check_destinations<'r>(
    rules: impl IntoIterator<Item = &'r ReplicationRule>,
) -> Result<(), ReplicationRuleError> {
    let all: BTreeSet<_> = rules.into_iter().flat_map(|rule| &rule.destinations).collect();
    if all.len() > MAX_REPLICATION_DESTINATIONS {
        return Err(ReplicationRuleError::TooManyDestinations);
    }
    Ok(())
}

/// Where what happens in `repository` goes, and what of it. `path`: by which registries it came, if it is a replica.
#[must_use]
pub fn targets<'r>(
    rules: impl IntoIterator<Item = &'r ReplicationRule>,
    repository: &RepositoryName,
    path: Option<&ReplicationPath>,
) -> BTreeMap<&'r RegistryPlace, Wanted> {
    let mut targets: BTreeMap<_, Wanted> = BTreeMap::new();
    for rule in rules {
        if !rule.covers(repository) || (path.is_some() && !rule.chains) {
            continue;
        }
        for destination in &rule.destinations {
            if !path.is_some_and(|path| path.contains(destination)) {
                let wanted = targets.entry(destination).or_default();
                wanted.deletes |= rule.deletes;
                wanted.settings.extend(&rule.settings);
            }
        }
    }
    targets
}

/// Says whether names of repositories could begin with `text`.
pub fn check_filter(text: &str) -> Result<(), ReplicationRuleError> {
    if is_filter(text) {
        return Ok(());
    }
    Err(ReplicationRuleError::Filter(text.chars().take(256).collect()))
}

/// Says whether a rule that stands by itself can have this name: 1 to 128 letters, digits and `._-`.
pub fn check_rule_name(text: &str) -> Result<(), ParseError> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    if (1..=128).contains(&text.len()) && text.bytes().all(is_allowed) {
        return Ok(());
    }
    let rule = "it must have 1 to 128 letters, digits and `._-`";
    Err(ParseError::new("name of a replication rule", text, rule))
}

fn is_filter(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
    (2..=256).contains(&text.len())
        && text.bytes().all(is_allowed)
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// Registries as texts.
mod places {
    use hythe_model::RegistryPlace;
    use serde::{Deserialize as _, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(places: &[RegistryPlace], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(places.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RegistryPlace>, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts
            .iter()
            .map(|text| text.parse().map_err(de::Error::custom))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Such as `eu us; prod test; deletes chains`, accounts left out.
    fn rule(text: &str) -> ReplicationRule {
        let parts: Vec<Vec<&str>> = text.split(';').map(|part| part.split_whitespace().collect()).collect();
        let words = |part: usize| parts.get(part).cloned().unwrap_or_default();
        ReplicationRule {
            destinations: words(0).into_iter().map(place).collect(),
            filters: words(1).into_iter().map(Into::into).collect(),
            deletes: words(2).contains(&"deletes"),
            chains: words(2).contains(&"chains"),
            settings: if words(2).contains(&"tags") {
                [ReplicatedSetting::ResourceTags].into()
            } else {
                BTreeSet::new()
            },
        }
    }

    fn place(region: &str) -> RegistryPlace {
        format!("{region}/000000000000").parse().unwrap()
    }

    #[test]
    fn images_go_where_rules_say() {
        // What it shows, rules, repository, path, destinations (with + if deletions go there, and * if resource tags do).
        let cases: [(&str, &[&str], &str, &str, &str); 12] = [
            ("no filter is for all", &["eu"], "team/web", "", "eu"),
            ("a filter is a prefix", &["eu; prod"], "production/web", "", "eu"),
            ("another name stays", &["eu; prod"], "team/prod", "", ""),
            ("one filter is enough", &["eu; test prod"], "prod/web", "", "eu"),
            ("rules add up", &["eu; prod", "us"], "prod/web", "", "eu us"),
            (
                "one of two rules deletes",
                &["eu", "eu; prod; deletes"],
                "prod/web",
                "",
                "eu+",
            ),
            (
                "a rule for others says nothing",
                &["eu", "eu; test; deletes"],
                "prod/web",
                "",
                "eu",
            ),
            ("replicas stay", &["eu us"], "web", "asia", ""),
            (
                "replicas go on by a chain",
                &["eu; ; chains", "us"],
                "web",
                "asia",
                "eu",
            ),
            ("rings end", &["eu us; ; chains"], "web", "asia eu", "us"),
            (
                "one of two rules brings settings",
                &["eu us", "eu; prod; tags", "us; test; tags"],
                "prod/web",
                "",
                "eu* us",
            ),
            (
                "settings of replicas go on by a chain",
                &["eu us; ; tags", "us; ; chains tags"],
                "web",
                "asia",
                "us*",
            ),
        ];
        for (what, rules, repository, path, want) in cases {
            let rules: Vec<_> = rules.iter().map(|text| rule(text)).collect();
            let path = path
                .split_whitespace()
                .map(place)
                .fold(None::<ReplicationPath>, |path, place| match path {
                    Some(path) => path.then(place),
                    None => Some(ReplicationPath::from_origin(place)),
                });
            let found = targets(&rules, &repository.parse().unwrap(), path.as_ref());
            let found: Vec<_> = found
                .into_iter()
                .map(|(place, wanted)| {
                    let deletes = if wanted.deletes { "+" } else { "" };
                    let settings = if wanted.settings.is_empty() { "" } else { "*" };
                    format!("{}{deletes}{settings}", place.region)
                })
                .collect();
            assert_eq!(found.join(" "), want, "{what}");
        }
    }

    #[test]
    fn rules_are_checked() {
        let home = place("here");
        let error = |text: &str| rule(text).check(&home).err();
        let many: Vec<_> = (0..26).map(|number| format!("r{number}")).collect();
        assert_eq!(error("eu; prod"), None);
        assert_eq!(error(""), Some(ReplicationRuleError::Destinations));
        assert_eq!(error("eu eu"), Some(ReplicationRuleError::Destinations));
        assert_eq!(error("here"), Some(ReplicationRuleError::SameRegistry));
        assert_eq!(error("eu; Prod"), Some(ReplicationRuleError::Filter("Prod".into())));
        assert_eq!(error("eu; p"), Some(ReplicationRuleError::Filter("p".into())));
        assert_eq!(error("eu; /p"), Some(ReplicationRuleError::Filter("/p".into())));
        assert_eq!(error(&many.join(" ")), Some(ReplicationRuleError::TooManyDestinations));
        let many: Vec<_> = many.iter().map(|text| rule(text)).collect();
        assert_eq!(
            check_destinations(&many),
            Err(ReplicationRuleError::TooManyDestinations)
        );
        assert_eq!(check_destinations(many.iter().skip(1)), Ok(()));
    }

    #[test]
    fn a_rule_is_stored_and_read() {
        let stored = serde_json::to_string(&rule("eu us; prod; deletes")).unwrap();
        assert_eq!(
            stored,
            r#"{"destinations":["eu/000000000000","us/000000000000"],"filters":["prod"],"deletes":true,"chains":false}"#
        );
        assert_eq!(
            serde_json::from_str::<ReplicationRule>(&stored).unwrap(),
            rule("eu us; prod; deletes")
        );
        let stored = serde_json::to_string(&rule("eu; ; tags")).unwrap();
        assert!(stored.ends_with(r#","settings":["RESOURCE_TAGS"]}"#), "{stored}");
        assert_eq!(
            serde_json::from_str::<ReplicationRule>(&stored).unwrap(),
            rule("eu; ; tags")
        );
    }
}
